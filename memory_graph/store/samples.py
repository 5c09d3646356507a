"""How fast a job went from its begin to its end: what was committed, by slots of ten seconds; it survives restarts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from memory_graph.store.rows import now
from memory_graph.tables import job_samples

SLOT_S = 10
# As many steps at most are told of a job, however long it took.
MAX_STEPS = 120


@dataclass(frozen=True, kw_only=True)
class Step:
    """What was committed in ``seconds`` from ``at`` on."""

    at: datetime
    seconds: int
    passages: int
    bytes: int


def add_sample(
    connection: Connection, job_id: str, *, passages: int, bytes_done: int, at: datetime | None = None
) -> None:
    """Add what a commit brought to its job, in the slot of the present moment unless another one is given."""
    slot = int((at or now()).timestamp()) // SLOT_S * SLOT_S
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = dialect.insert(job_samples).values(job_id=job_id, slot=slot, passages=passages, bytes=bytes_done)
    connection.execute(
        added.on_conflict_do_update(
            index_elements=["job_id", "slot"],
            set_={
                "passages": job_samples.c.passages + added.excluded.passages,
                "bytes": job_samples.c.bytes + added.excluded.bytes,
            },
        )
    )


def read_samples(connection: Connection, job_id: str) -> Sequence[Step]:
    """Read how fast a job went, in steps of equal length; those in which nothing was committed are left out."""
    of_it = job_samples.c.job_id == job_id
    first, last = connection.execute(
        select(func.min(job_samples.c.slot), func.max(job_samples.c.slot)).where(of_it)
    ).one()
    if first is None:
        return []
    slots = (last - first) // SLOT_S + 1
    seconds = SLOT_S * -(-slots // MAX_STEPS)
    step = ((job_samples.c.slot - first) // seconds).label("step")
    rows = connection.execute(
        select(step, func.sum(job_samples.c.passages), func.sum(job_samples.c.bytes))
        .where(of_it)
        .group_by("step")
        .order_by("step")
    )
    return [
        Step(
            at=datetime.fromtimestamp(first + number * seconds, UTC),
            seconds=seconds,
            passages=int(passages),
            bytes=int(size),
        )
        for number, passages, size in rows
    ]
