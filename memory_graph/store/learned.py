"""The documents that a job wrote last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from memory_graph.tables import documents


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A document of a job."""

    row_id: int
    key: str
    title: str
    created_at: datetime


def list_learned(connection: Connection, job_id: str, *, after: int, limit: int) -> Sequence[Learned]:
    """List the documents that a job wrote last, behind the row ``after``."""
    rows = connection.execute(
        select(documents.c.id, documents.c.key, documents.c.title, documents.c.created_at)
        .where(documents.c.job_id == job_id, documents.c.id > after)
        .order_by(documents.c.id)
        .limit(limit)
    )
    return [Learned(row_id=row.id, key=row.key, title=row.title, created_at=row.created_at) for row in rows]
