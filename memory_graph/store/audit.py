"""Who changed what, and when: one row a change, written in the transaction of the change itself.

A row holds no text of a document, no question and no key. A document is named by the hash of its id: whoever knows the
id can look up what became of it, and nobody can read it off the log once it is forgotten (decision 0037).
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from memory_graph.store.rows import now
from memory_graph.tables import audit
from memory_graph.text import hash_text

DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who acts: a key by its id and name, ``cli`` with the user's name, or a ``worker`` that carries out a rule."""

    id: str
    name: str


WORKER = Actor(id="worker", name="retention")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One change. ``outcome`` is ``done``, or the code of the error with which it was refused."""

    id: int
    at: datetime
    actor_id: str
    actor_name: str
    action: str
    collection: str | None
    target: str
    detail: Mapping[str, Any]
    request_id: str | None
    outcome: str


def record(
    connection: Connection,
    *,
    actor: Actor,
    action: str,
    collection: str | None = None,
    target: str = "",
    detail: Mapping[str, Any] | None = None,
    request_id: str | None = None,
    outcome: str = DONE,
) -> None:
    """Write down a change in the transaction that makes it.

    ``action`` is ``thing.verb``. ``target`` and ``detail`` hold ids of ours, names that operators give, counts, and
    documents as ``document_target`` names them: nothing that was learned.
    """
    connection.execute(
        insert(audit).values(
            at=now(),
            actor_id=actor.id,
            actor_name=actor.name,
            action=action,
            collection=collection,
            target=target,
            detail=dict(detail or {}),
            request_id=request_id,
            outcome=outcome,
        )
    )


def document_target(collection: str, document_id: str) -> str:
    """Return what the log calls a document: a hash of its collection's name and its id."""
    return f"document:{hash_text(collection, document_id)}"


def list_entries(
    connection: Connection,
    *,
    limit: int,
    before: int | None = None,
    collections: Names[str] | None = None,
    action: str | None = None,
    target: str | None = None,
) -> list[Entry]:
    """List the newest changes with ids below ``before``; of these ``collections`` alone where some are given."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    if collections is not None:
        query = query.where(audit.c.collection.in_(sorted(collections)))
    if action is not None:
        query = query.where(audit.c.action == action)
    if target is not None:
        query = query.where(audit.c.target == target)
    return [Entry(**row) for row in connection.execute(query).mappings()]


def drop_entries(connection: Connection, days: int, moment: datetime) -> int:
    """Drop what is older than ``days``, 0 keeping all; return how many rows that were."""
    if not days:
        return 0
    return connection.execute(delete(audit).where(audit.c.at < moment - timedelta(days=days))).rowcount
