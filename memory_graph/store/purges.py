"""Purges: what remembers that the bytes of something forgotten are still to be removed, until they are.

A forgetting commit asks for a purge in its own transaction. Those that no one has begun are one row a collection, so
that several commits cost one purge. Rows hold no text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.rows import now
from memory_graph.tables import collections, passages, purges

KEPT = 100  # purges that are done, for whoever looks back
_LEASE_KEY = 0x5AA2_77A8  # any constant: names PostgreSQL's advisory lock


@dataclass(frozen=True, kw_only=True)
class Purge:
    """A purge as it stands; ``steps`` are those that are done, with what they found.

    ``collection`` is None where the collection was deleted.
    """

    id: int
    collection_id: int
    collection: str | None
    version: int
    state: str
    steps: Mapping[str, Mapping[str, Any]]
    attempts: int
    waits_for: str | None
    requested_at: datetime
    finished_at: datetime | None


def request_purge(connection: Connection, collection_id: int, version: int) -> int:
    """Ask for a purge of what was forgotten up to ``version``; return its id."""
    waiting = connection.scalar(
        update(purges)
        .where(purges.c.collection_id == collection_id, purges.c.state == "waiting")
        .values(version=version)
        .returning(purges.c.id)
    )
    if waiting is not None:
        return int(waiting)
    values = {
        "collection_id": collection_id,
        "version": version,
        "state": "waiting",
        "steps": {},
        "attempts": 0,
        "requested_at": now(),
    }
    (purge_id,) = connection.execute(insert(purges).values(values)).inserted_primary_key or (0,)
    return int(purge_id)


def begin_purges(connection: Connection) -> list[Purge]:
    """Return the purges to carry out now: those that were begun and not finished, else all that wait."""
    begun = _read(connection, purges.c.state == "running")
    if begun:
        return begun
    connection.execute(update(purges).where(purges.c.state == "waiting").values(state="running"))
    return _read(connection, purges.c.state == "running")


def note_step(connection: Connection, purge_ids: Sequence[int], step: str, found: Mapping[str, Any]) -> None:
    """Write down that a step of these purges is done."""
    for row in connection.execute(select(purges.c.id, purges.c.steps).where(purges.c.id.in_(purge_ids))).all():
        steps = {**row.steps, step: dict(found)}
        connection.execute(update(purges).where(purges.c.id == row.id).values(steps=steps, waits_for=None))


def note_wait(connection: Connection, purge_ids: Sequence[int], reason: str) -> None:
    """Write down why these purges did not get through."""
    connection.execute(
        update(purges).where(purges.c.id.in_(purge_ids)).values(attempts=purges.c.attempts + 1, waits_for=reason)
    )


def finish_purges(connection: Connection, purge_ids: Sequence[int]) -> None:
    """Mark purges as done, and drop the oldest of those that are."""
    connection.execute(
        update(purges).where(purges.c.id.in_(purge_ids)).values(state="done", waits_for=None, finished_at=now())
    )
    done = select(purges.c.id).where(purges.c.state == "done").order_by(purges.c.id.desc())
    last = connection.scalar(done.offset(KEPT).limit(1))
    if last is not None:
        connection.execute(delete(purges).where(purges.c.state == "done", purges.c.id <= last))


def list_purges(
    connection: Connection, *, limit: int, before: int | None = None, among: Iterable[str] | None = None
) -> list[Purge]:
    """List the newest purges: those with an id below ``before``, of the collections that are named ``among``."""
    older = () if before is None else (purges.c.id < before,)
    ours = () if among is None else (collections.c.name.in_(among),)
    return _read(connection, *older, *ours, limit=limit)


def open_purges(connection: Connection) -> list[Purge]:
    """List the purges that are not done."""
    return _read(connection, purges.c.state != "done")


def get_purge(connection: Connection, purge_id: int) -> Purge:
    """Read a purge. Errors: ``NotFound``."""
    found = _read(connection, purges.c.id == purge_id)
    if not found:
        raise NotFound("purge", str(purge_id))
    return found[0]


def last_forgotten(connection: Connection, collection_id: int) -> int:
    """Return the version of the last forgetting commit whose purge is on record; 0 if there is none."""
    return connection.scalar(select(func.max(purges.c.version)).where(purges.c.collection_id == collection_id)) or 0


def holds_passages(connection: Connection, collection_id: int) -> bool:
    """Say whether a collection holds anything that a search could find."""
    return (
        connection.scalar(select(passages.c.id).where(passages.c.collection_id == collection_id).limit(1)) is not None
    )


@contextmanager
def purge_lease(database: Database) -> Iterator[bool]:
    """Try to become the one process that purges this database; yields whether it is. The lease ends with its holder."""
    if database.path is not None:
        lock = FileLock(f"{database.path}.purge.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()
        return
    with database.outside() as connection:
        ours = bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LEASE_KEY}))
        try:
            yield ours
        finally:
            if ours:
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LEASE_KEY})


def _read(connection: Connection, *conditions: Any, limit: int | None = None) -> list[Purge]:
    statement = (
        select(purges, collections.c.name.label("collection"))
        .outerjoin(collections, collections.c.id == purges.c.collection_id)
        .where(*conditions)
        .order_by(purges.c.id.desc())
        .limit(limit)
    )
    return [_purge(row) for row in connection.execute(statement)]


def _purge(row: Row[tuple[Any, ...]]) -> Purge:
    return Purge(**row._mapping)
