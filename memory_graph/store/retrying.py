"""Failed items whose text is held, so that a job can be told to try them again; and what erases it earlier."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, exists, select, update

from memory_graph.store.rows import chunks
from memory_graph.tables import documents, job_items, job_samples, job_shares, jobs

_STAGED = ("document", "upload")  # kinds of item that hold a text; a file's holds its path


def retry_items(connection: Connection, job_id: str, only: int | None = None) -> int:
    """Let the failed items of a job, or ``only`` that with this id, wait to be learned again; return how many.

    An item of which parts failed is read again as a whole: what was learned of it is known. What cannot be read again
    stays failed: a text that was erased meanwhile, and paths that could not even be listed.
    """
    held = select(job_items.c.id).where(job_items.c.job_id == job_id, job_items.c.held.is_(True))
    waiting = list(connection.scalars(held if only is None else held.where(job_items.c.id == only)))
    for some in chunks(waiting):
        connection.execute(
            update(job_items)
            .where(job_items.c.id.in_(some))
            .values(state="pending", held=False, reason=None, error=None, attempts=0, done=0, share=None)
        )
        connection.execute(delete(job_items).where(job_items.c.job_id == job_id, job_items.c.item_id.in_(some)))
    return len(waiting)


def drop_held(connection: Connection, collection_id: int, keys: Sequence[str], *, but_of: str | None = None) -> int:
    """Erase the texts held of failed items that hold one of these documents; return how many.

    An item holds a document that has its name, that failed as a part of it, or that was learned from it. Items of the
    job ``but_of`` are left alone.
    """
    dropped = 0
    ours = select(jobs.c.id).where(jobs.c.collection_id == collection_id, jobs.c.id != (but_of or ""))
    part = job_items.alias()
    for some in chunks(keys):
        parts = exists().where(part.c.item_id == job_items.c.id, part.c.kind == "part", part.c.name.in_(some))
        learned = exists().where(
            documents.c.collection_id == collection_id,
            documents.c.key.in_(some),
            documents.c.item_id == job_items.c.id,
        )
        dropped += _erase(connection, job_items.c.job_id.in_(ours), job_items.c.name.in_(some) | parts | learned)
    return dropped


def drop_held_of(connection: Connection, item_id: int) -> None:
    """Erase the text held of one item."""
    _erase(connection, job_items.c.id == item_id)


def remove_job(connection: Connection, job_id: str) -> None:
    """Remove a job with its items and their texts; what it learned stays."""
    for table in (job_items, job_shares, job_samples):
        connection.execute(delete(table).where(table.c.job_id == job_id))
    connection.execute(delete(jobs).where(jobs.c.id == job_id))


def _erase(connection: Connection, *conditions: object) -> int:
    return connection.execute(
        update(job_items)
        .where(job_items.c.held.is_(True), job_items.c.kind.in_(_STAGED), *conditions)  # type: ignore[arg-type]
        .values(held=False, payload=None, data=None)
    ).rowcount
