"""Documents that a job left out because they are copies: rows beside its items, as failures are."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from memory_graph.store.duplicates import Copy, Kind
from memory_graph.tables import job_items


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A document that was not learned, by its id, and the one that was there."""

    document_id: str
    kind: Kind
    duplicate_of: str


def note_skipped(connection: Connection, job_id: str, document_id: str, original: Copy) -> bool:
    """Write down that a document was left out; False where an interrupted run has done so."""
    noted = select(job_items.c.id).where(
        job_items.c.job_id == job_id, job_items.c.state == "skipped", job_items.c.name == document_id
    )
    if connection.scalar(noted.limit(1)) is not None:
        return False
    connection.execute(
        insert(job_items).values(
            job_id=job_id,
            kind="part",
            name=document_id,
            state="skipped",
            reason=original.kind,
            error=original.document_id,
        )
    )
    return True


def list_skipped(connection: Connection, job_id: str, limit: int) -> tuple[Skipped, ...]:
    """List the first ``limit`` documents that a job left out, in the order in which they were read."""
    rows = connection.execute(
        select(job_items.c.name, job_items.c.reason, job_items.c.error)
        .where(job_items.c.job_id == job_id, job_items.c.state == "skipped")
        .order_by(job_items.c.id)
        .limit(limit)
    )
    return tuple(Skipped(document_id=row.name, kind=row.reason, duplicate_of=row.error) for row in rows)
