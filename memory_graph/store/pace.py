"""Who is at a job, and how fast it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from memory_graph.tables import job_shares


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Who is at a job and how fast; the rates are over the time that each of these workers has been at it."""

    workers: Sequence[str] = ()
    passages_per_s: float = 0.0
    bytes_per_s: float = 0.0


def read_pace(connection: Connection, job_id: str) -> Pace:
    """Read who is at a job and how fast it goes."""
    rows = connection.execute(
        select(job_shares).where(job_shares.c.job_id == job_id, job_shares.c.worker.is_not(None)).order_by("number")
    ).all()
    spans = [(row.noted_at - row.began_at).total_seconds() if row.noted_at and row.began_at else 0.0 for row in rows]
    at_work = [(row, span) for row, span in zip(rows, spans, strict=True) if span > 0]
    return Pace(
        workers=[row.worker for row in rows],
        passages_per_s=sum(row.passages / span for row, span in at_work),
        bytes_per_s=sum(row.bytes / span for row, span in at_work),
    )
