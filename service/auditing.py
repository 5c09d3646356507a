"""Changes that are written down as they are made: by whom, through HTTP or the command line."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from memory_graph.database import Database
from memory_graph.errors import NotFound, SharpwaveError, StoreError
from memory_graph.store.audit import Actor, record
from memory_graph.store.correcting import Correction
from memory_graph.store.forgetting import Erased, Selection
from memory_graph.store.jobs import get_job
from memory_graph.store.keys import Key
from service.request_ids import request_id
from service.schemas import COLLECTION_NAME

_KEY_ID = re.compile(r"[0-9a-f]{16}")
_JOB_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Change:
    """A change under way: its transaction, and what will be said of it."""

    connection: Connection
    collection: str | None = None
    target: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def cli_actor() -> Actor:
    """Return whom the log names for a command: the user of this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        name = "unknown"
    return Actor(id="cli", name=name)


@contextmanager
def audited(
    database: Database,
    actor: Actor,
    action: str,
    *,
    collection: str | None = None,
    target: str = "",
    dry_run: bool = False,
) -> Iterator[Change]:
    """Open a write transaction that writes down what is done in it; a refusal is written down with its error's code.

    A dry run changes nothing and is not written down.
    """
    # What stands in a path may be anything: only what can be a collection's name is kept.
    named = collection if collection is not None and COLLECTION_NAME.fullmatch(collection) else None
    refused = nullcontext() if dry_run else refusals(database, actor, action, collection=named, target=target)
    with refused, database.write() as connection:
        change = Change(connection, named, target)
        yield change
        if not dry_run:
            record(
                connection,
                actor=actor,
                action=action,
                collection=change.collection,
                target=change.target,
                detail=change.detail,
                request_id=request_id(),
            )


@contextmanager
def refusals(
    database: Database, actor: Actor, action: str, *, collection: str | None = None, target: str = ""
) -> Iterator[None]:
    """Write down what is refused within, with its error's code."""
    try:
        yield
    except SharpwaveError as error:
        # A database that cannot be written to has refused the change as well: its error is the one to show.
        with suppress(StoreError), database.write() as connection:
            record(
                connection,
                actor=actor,
                action=action,
                collection=collection,
                target=target,
                request_id=request_id(),
                outcome=error.code,
            )
        raise


@contextmanager
def job_change(
    database: Database, actor: Actor, action: str, job_id: str
) -> Iterator[Callable[[Connection, str], None]]:
    """Give what writes down, in the transaction that changes a job, who did; a refusal is written down too."""
    collection, target = None, f"job:{job_id}" if _JOB_ID.fullmatch(job_id) else "job"
    with suppress(NotFound), database.read() as connection:
        collection = get_job(connection, job_id, failures=0).collection

    def note(connection: Connection, _job_id: str) -> None:
        record(connection, actor=actor, action=action, collection=collection, target=target, request_id=request_id())

    with refusals(database, actor, action, collection=collection, target=target):
        yield note


def key_target(key_id: str) -> str:
    """Return what the log calls a key; what is no id, such as a key in full by mistake, it does not repeat."""
    return f"key:{key_id}" if _KEY_ID.fullmatch(key_id) else "key"


def describe_key(change: Change, key: Key) -> None:
    """Say in a change which key it was of, and what that key may do; of one that is bound to one collection, there."""
    change.target = key_target(key.id)
    change.detail |= {"name": key.name, "scopes": sorted(key.scopes)}
    if key.collections is not None:
        change.detail["collections"] = list(key.collections)
        change.collection = key.collections[0] if len(key.collections) == 1 else None


def describe_correction(change: Change, correction: Correction) -> None:
    """Say in a change which correction it was of, without its words."""
    change.target = f"correction:{correction.id}"
    change.detail = {"kind": correction.kind, "version": correction.version, "passages": correction.passages}


def submitted_by(actor: Actor, collection: str, items: int) -> Callable[[Connection, str], None]:
    """Return what writes down, in the transaction that queues a job, who submitted it."""

    def note(connection: Connection, job_id: str) -> None:
        record(
            connection,
            actor=actor,
            action="documents.submit",
            collection=collection,
            target=f"job:{job_id}",
            detail={"items": items},
            request_id=request_id(),
        )

    return note


def imported_by(actor: Actor) -> Callable[[Connection, str, Mapping[str, int]], None]:
    """Return what writes down, in the transaction of an import, who made the collection, and of how much."""

    def note(connection: Connection, collection: str, counts: Mapping[str, int]) -> None:
        record(
            connection,
            actor=actor,
            action="collection.import",
            collection=collection,
            detail={"documents": counts.get("document", 0), "passages": counts.get("passage", 0)},
            request_id=request_id(),
        )

    return note


def describe_selection(selection: Selection) -> str:
    """Say how documents were chosen, without the words that chose them."""
    if selection.key is not None:
        return "document"
    if selection.keys:
        return "documents"
    if selection.source is not None:
        return "source"
    return "filter" if selection.filter else "all"


def describe_erased(erased: Erased) -> dict[str, Any]:
    """Return the numbers of a forgetting."""
    return {
        "documents": erased.documents,
        "passages": erased.passages,
        "version": erased.version,
        "purge_id": erased.purge_id,
    }
