"""The shares of a job: who learns which of its items, how fast, and when one gives way to another job.

A share is learned by one worker at a time and takes free items as it goes. What it has taken stays with it: when its
worker dies, whoever takes over the share has its items too, so an item needs no lease.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, or_, select, update

from memory_graph.store.jobs import UNFINISHED, Item
from memory_graph.store.rows import now
from memory_graph.store.samples import add_sample
from memory_graph.tables import job_items, job_shares, jobs

_ITEM = ("id", "kind", "name", "size", "attempts", "known", "payload", "data")


@dataclass(frozen=True, kw_only=True)
class Share:
    """One of the parts into which a job's run is cut; ``turn`` counts how often it gave way."""

    job_id: str
    number: int
    turn: int = 0


def begin_run(connection: Connection, job_id: str) -> Share:
    """Begin a job's new run with one share; all that is left to learn is free again."""
    connection.execute(delete(job_shares).where(job_shares.c.job_id == job_id))
    connection.execute(
        update(job_items).where(job_items.c.job_id == job_id, job_items.c.state == "pending").values(share=None)
    )
    return _add(connection, Share(job_id=job_id, number=1))


def add_share(connection: Connection, job_id: str, *, at_most: int) -> Share | None:
    """Cut one more share off a job, for another worker; None where it has ``at_most`` or nothing is free to take."""
    if connection.scalar(select(jobs.c.state).where(jobs.c.id == job_id).with_for_update()) not in UNFINISHED:
        return None
    last = connection.scalar(select(func.max(job_shares.c.number)).where(job_shares.c.job_id == job_id)) or 1
    if last >= at_most or not has_free_items(connection, job_id):
        return None
    return _add(connection, Share(job_id=job_id, number=last + 1))


def has_free_items(connection: Connection, job_id: str) -> bool:
    """Say whether a job has an item that no share has taken."""
    free = exists().where(job_items.c.job_id == job_id, job_items.c.state == "pending", job_items.c.share.is_(None))
    return bool(connection.scalar(select(free)))


def list_shares(connection: Connection, job_id: str) -> list[Share]:
    """List the shares of a job's newest run."""
    rows = connection.execute(
        select(job_shares.c.number, job_shares.c.turn)
        .where(job_shares.c.job_id == job_id)
        .order_by(job_shares.c.number)
    )
    return [Share(job_id=job_id, number=number, turn=turn) for number, turn in rows]


def take_item(connection: Connection, share: Share, *, after: int, suspect_from: int) -> Item | None:
    """Take the next item for a share, or find one that it had taken before; None where nothing is left to take.

    ``after`` is the id of the last one that the caller was given. The attempt is counted, unless there were
    ``suspect_from`` already: then it is for the caller to count, once nothing else is in hand.
    """
    while True:
        row = (
            connection.execute(
                select(*(job_items.c[name] for name in (*_ITEM, "share")))
                .where(*_open_to(share), job_items.c.id > after)
                .order_by(job_items.c.id)
                .limit(1)
            )
            .mappings()
            .one_or_none()
        )
        if row is None:
            return None
        # Another share may have taken it between the two statements; then the next one is looked for.
        taken = connection.execute(
            update(job_items)
            .where(job_items.c.id == row["id"], *_open_to(share))
            .values(share=share.number, attempts=job_items.c.attempts + int(row["attempts"] < suspect_from))
        )
        if taken.rowcount:
            return Item(**{name: row[name] for name in _ITEM})


def count_attempt(connection: Connection, item_id: int) -> None:
    """Count that an item is about to be tried."""
    connection.execute(update(job_items).where(job_items.c.id == item_id).values(attempts=job_items.c.attempts + 1))


def has_work(connection: Connection, share: Share) -> bool:
    """Say whether an unfinished job has an item that a share has taken or could take."""
    wanted = exists().where(*_open_to(share))
    return connection.scalar(
        select(func.count()).select_from(jobs).where(jobs.c.id == share.job_id, jobs.c.state.in_(UNFINISHED), wanted)
    ) not in (0, None)


def begin_share(connection: Connection, share: Share, worker: str) -> None:
    """Note which worker is at a share from now on."""
    moment = now()
    connection.execute(
        update(job_shares)
        .where(*_row(share))
        .values(worker=worker, passages=0, bytes=0, began_at=moment, noted_at=moment)
    )


def note_progress(connection: Connection, share: Share, *, passages: int, bytes_done: int) -> None:
    """Add what a commit brought to what a share's worker has done, and to what its job did at this moment."""
    add_sample(connection, share.job_id, passages=passages, bytes_done=bytes_done)
    connection.execute(
        update(job_shares)
        .where(*_row(share))
        .values(passages=job_shares.c.passages + passages, bytes=job_shares.c.bytes + bytes_done, noted_at=now())
    )


def leave_share(connection: Connection, share: Share) -> None:
    """Note that nobody is at a share now; a job that nobody is at waits again."""
    connection.execute(update(job_shares).where(*_row(share)).values(worker=None))
    busy = exists().where(job_shares.c.job_id == share.job_id, job_shares.c.worker.is_not(None))
    connection.execute(
        update(jobs).where(jobs.c.id == share.job_id, jobs.c.state == "running", ~busy).values(state="queued")
    )


def end_share(connection: Connection, share: Share) -> bool:
    """Note that a share found nothing more to take; return whether the whole job has nothing left.

    Of shares that end at the same time, one sees what all others have committed: the job's row is locked.
    """
    connection.execute(select(jobs.c.id).where(jobs.c.id == share.job_id).with_for_update())
    connection.execute(update(job_shares).where(*_row(share)).values(worker=None))
    left = exists().where(job_items.c.job_id == share.job_id, job_items.c.state == "pending")
    return not connection.scalar(select(left))


def next_turn(connection: Connection, share: Share) -> Share | None:
    """Note that a share gives way, to go on later; None where that is noted already."""
    moved = connection.execute(
        update(job_shares).where(*_row(share), job_shares.c.turn == share.turn).values(turn=share.turn + 1)
    )
    if not moved.rowcount:
        return None
    leave_share(connection, share)
    return Share(job_id=share.job_id, number=share.number, turn=share.turn + 1)


def forsake_shares(connection: Connection, workers: Sequence[str]) -> None:
    """Note that these workers are at no share any more, because they died."""
    connection.execute(update(job_shares).where(job_shares.c.worker.in_(workers)).values(worker=None))


def is_outranked(connection: Connection, job_id: str, *, at_once: int) -> bool:
    """Say whether a job of higher priority waits that a worker of this job could begin.

    ``at_once`` is how many workers may learn into one collection: where so many are at it, it waits for one of those.
    """
    mine = connection.execute(select(jobs.c.priority, jobs.c.collection_id).where(jobs.c.id == job_id)).one_or_none()
    if mine is None:
        return False
    other, running = jobs.alias(), jobs.alias()
    at_it = (
        select(func.count())
        .select_from(job_shares.join(running, running.c.id == job_shares.c.job_id))
        .where(running.c.collection_id == other.c.collection_id, job_shares.c.worker.is_not(None))
        .scalar_subquery()
    )
    waiting = exists().where(
        other.c.state == "queued",
        other.c.priority < mine.priority,
        or_(other.c.collection_id == mine.collection_id, at_it < at_once),
    )
    return bool(connection.scalar(select(waiting)))


def _add(connection: Connection, share: Share) -> Share:
    connection.execute(
        insert(job_shares).values(job_id=share.job_id, number=share.number, turn=share.turn, passages=0, bytes=0)
    )
    return share


def _row(share: Share) -> tuple[Any, ...]:
    return job_shares.c.job_id == share.job_id, job_shares.c.number == share.number


def _open_to(share: Share) -> tuple[Any, ...]:
    return (
        job_items.c.job_id == share.job_id,
        job_items.c.state == "pending",
        or_(job_items.c.share.is_(None), job_items.c.share == share.number),
    )
