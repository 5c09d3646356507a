"""Changes that are written down as they are made: by whom, through HTTP or the command line."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import Connection

from memory_graph.database import Database
from memory_graph.errors import SharpwaveError, StoreError
from memory_graph.store.audit import Actor, record
from memory_graph.store.forgetting import Erased, Selection
from service.access import Asking
from service.request_ids import request_id
from service.schemas import COLLECTION_NAME


@dataclass
class Change:
    """A change under way: its transaction, and what will be said of it."""

    connection: Connection
    target: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def get_actor(caller: Asking) -> Actor:
    """Return whom the log names for a request."""
    return Actor(id=caller.id, name=caller.name)


Acting = Annotated[Actor, Depends(get_actor)]


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
    told = target
    # What stands in a path may be anything: only what can be a collection's name is kept.
    named = collection if collection is not None and COLLECTION_NAME.fullmatch(collection) else None
    try:
        with database.write() as connection:
            change = Change(connection, target)
            yield change
            told = change.target
            if not dry_run:
                record(
                    connection,
                    actor=actor,
                    action=action,
                    collection=named,
                    target=told,
                    detail=change.detail,
                    request_id=request_id(),
                )
    except SharpwaveError as error:
        # A database that cannot be written to has refused the change as well: its error is the one to show.
        with suppress(StoreError):
            if not dry_run:
                with database.write() as connection:
                    record(
                        connection,
                        actor=actor,
                        action=action,
                        collection=named,
                        target=told,
                        request_id=request_id(),
                        outcome=error.code,
                    )
        raise


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


def describe_selection(selection: Selection) -> str:
    """Say how documents were chosen, without the words that chose them."""
    if selection.key is not None:
        return "document"
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
