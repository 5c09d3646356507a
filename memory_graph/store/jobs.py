"""Ingestion jobs, their items, and the workers that carry them out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, case, delete, exists, func, insert, select, update

from memory_graph.errors import NotFound
from memory_graph.store.pace import Pace, read_pace
from memory_graph.store.replies import drop_replies_of
from memory_graph.store.rows import chunks, database_now, now, older_than
from memory_graph.store.skipped import Skipped, list_skipped
from memory_graph.store.tokens import Tokens, begin_tokens
from memory_graph.tables import collections, job_items, jobs, workers

UNFINISHED = ("queued", "running")
# Of two jobs that wait, the one with the lower number comes first.
NORMAL = 5
# A worker that has not been heard of for so long counts as dead: more than any pause of a healthy one.
WORKER_TTL_S = 10.0
_SUMMED = ("documents", "known", "passages", "kept", "removed", "exact", "near", "size", "done")


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """One thing to learn: a path, an address, a submitted document, or an uploaded file's bytes, or what reads them."""

    kind: str
    name: str
    size: int
    payload: Mapping[str, Any] | None = None
    data: bytes | Callable[[], bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class Item:
    """A pending item of a job."""

    id: int
    kind: str
    name: str
    size: int
    attempts: int
    known: int
    payload: Mapping[str, Any] | None
    data: bytes | None


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A thing that could not be learned, and why."""

    name: str
    reason: str
    error: str
    item_id: int | None = None  # that it is a part of
    # The item that is read again where this is tried again alone; none where nothing of it is kept.
    retry_id: int | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it stands: how much is done, what failed, and how many items can be tried again.

    ``documents`` were learned, ``known`` were there already; ``items`` counts what was given (files or documents).
    Of the ``passages`` of those that were learned, ``kept`` stayed from an earlier state, of which ``removed`` went.
    ``exact`` and ``near`` are copies of others, of which ``skipped`` were not learned; ``copies`` lists the first.
    """

    id: str
    collection: str
    state: str
    split: str
    error: str | None
    version: int | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: Mapping[str, float]
    tokens: Tokens = field(default_factory=Tokens)
    max_tokens: int | None = None
    duplicates: str = "link"
    priority: int = NORMAL
    items: int = 0
    pending: int = 0
    failed: int = 0
    retryable: int = 0
    documents: int = 0
    known: int = 0
    passages: int = 0
    kept: int = 0
    removed: int = 0
    exact: int = 0
    near: int = 0
    skipped: int = 0
    size: int = 0
    done: int = 0
    failures: Sequence[Failure] = field(default_factory=tuple)
    copies: Sequence[Skipped] = field(default_factory=tuple)
    pace: Pace = field(default_factory=Pace)

    @property
    def seconds_left(self) -> float | None:
        """How long it may still take at the pace of its workers; None where that is not known."""
        return (self.size - self.done) / self.pace.bytes_per_s if self.pace.bytes_per_s and self.size else None


def create_job(
    connection: Connection,
    *,
    job_id: str,
    collection_id: int,
    split: str,
    fingerprint: str,
    items: Sequence[NewItem],
    max_tokens: int | None = None,
    duplicates: str = "link",
    priority: int = NORMAL,
    traceparent: str | None = None,
    key_id: str | None = None,
) -> None:
    """Write a queued job with its items; ``traceparent`` and ``key_id`` tell the request that submitted it."""
    connection.execute(
        insert(jobs).values(
            id=job_id,
            collection_id=collection_id,
            state="queued",
            split=split,
            fingerprint=fingerprint,
            duplicates=duplicates,
            priority=priority,
            runs=1,
            seconds={},
            max_tokens=max_tokens,
            traceparent=traceparent,
            key_id=key_id,
            created_at=now(),
        )
    )
    add_items(connection, job_id, items)


def add_items(connection: Connection, job_id: str, items: Sequence[NewItem]) -> None:
    """Write more pending items of a job."""
    # Those with bytes one by one, so that no more than one is in memory; the others together.
    some: list[NewItem] = []
    for item in items:
        if item.data is not None:
            _add_items(connection, job_id, some)
            _add_items(connection, job_id, [item])
            some = []
        else:
            some.append(item)
    _add_items(connection, job_id, some)


def _add_items(connection: Connection, job_id: str, items: Sequence[NewItem]) -> None:
    if items:
        connection.execute(
            insert(job_items),
            [
                {
                    "job_id": job_id,
                    "kind": item.kind,
                    "name": item.name,
                    "size": item.size,
                    "payload": item.payload,
                    "data": item.data() if callable(item.data) else item.data,
                    "state": "pending",
                }
                for item in items
            ],
        )


def replace_item(connection: Connection, item_id: int, items: Sequence[NewItem]) -> None:
    """Put other items in the place of a pending one; nothing, where another worker has ended it meanwhile."""
    job_id = connection.scalar(
        delete(job_items).where(job_items.c.id == item_id, job_items.c.state == "pending").returning(job_items.c.job_id)
    )
    if job_id is not None:
        add_items(connection, job_id, items)


def add_failures(connection: Connection, job_id: str, failures: Sequence[Failure]) -> None:
    """Write down parts of an item that could not be learned; those that an interrupted run wrote down stay single."""
    noted: set[tuple[str, str | None, str | None]] = set()
    for names in chunks(sorted({f.name for f in failures})):
        rows = connection.execute(
            select(job_items.c.name, job_items.c.reason, job_items.c.error).where(
                job_items.c.job_id == job_id, job_items.c.kind == "part", job_items.c.name.in_(names)
            )
        )
        noted.update((name, reason, error) for name, reason, error in rows)
    new = [f for f in failures if (f.name, f.reason, f.error) not in noted]
    if new:
        connection.execute(
            insert(job_items),
            [
                {
                    "job_id": job_id,
                    "kind": "part",
                    "item_id": f.item_id,
                    "name": f.name,
                    "state": "failed",
                    "reason": f.reason,
                    "error": f.error,
                }
                for f in new
            ],
        )


def find_unfinished(connection: Connection, collection_id: int, fingerprint: str) -> RowMapping | None:
    """Return the row of an equal request's job that still has something to learn, if there is one."""
    waiting = exists().where(job_items.c.job_id == jobs.c.id, job_items.c.state == "pending")
    return (
        connection.execute(
            select(jobs)
            .where(
                jobs.c.collection_id == collection_id,
                jobs.c.fingerprint == fingerprint,
                jobs.c.state.in_(UNFINISHED) | ((jobs.c.state == "failed") & waiting),
            )
            .order_by(jobs.c.created_at.desc())
            .limit(1)
        )
        .mappings()
        .one_or_none()
    )


def restart_job(connection: Connection, job_id: str) -> int | None:
    """Queue a job that ended again for what it has left; return the number of the new run, None if it had not ended."""
    begin_tokens(connection, job_id)
    run: int | None = connection.scalar(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(("failed", "succeeded")))
        .values(state="queued", error=None, finished_at=None, runs=jobs.c.runs + 1)
        .returning(jobs.c.runs)
    )
    return run


def job_head(connection: Connection, job_id: str, *, lock: bool = False) -> RowMapping:
    """Read a job's own row; with ``lock`` nobody else changes it in this transaction's time. Errors: ``NotFound``."""
    query = select(jobs).where(jobs.c.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise NotFound("job", job_id)
    return row


def get_job(connection: Connection, job_id: str, *, failures: int = 1000) -> Job:
    """Read a job with its progress and up to ``failures`` failed and skipped items. Errors: ``NotFound``."""
    head = job_head(connection, job_id)
    return _job(connection, head, failures)


def list_jobs(
    connection: Connection,
    *,
    collection_id: int | None = None,
    among: Iterable[str] | None = None,
    state: str | None = None,
    after: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> list[Job]:
    """List the newest jobs, without their failures: of one collection, of those named ``among``, in one ``state``.

    ``after`` is the (created_at, id) of the last one of the page before.
    """
    query = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
    if collection_id is not None:
        query = query.where(jobs.c.collection_id == collection_id)
    if among is not None:
        query = query.where(jobs.c.collection_id.in_(select(collections.c.id).where(collections.c.name.in_(among))))
    if state is not None:
        query = query.where(jobs.c.state == state)
    if after is not None:
        query = query.where(older_than(jobs.c.created_at, jobs.c.id, after))
    return [_job(connection, head, 0) for head in connection.execute(query).mappings().all()]


def replaces_waiting(connection: Connection, collection_id: int, key: str) -> bool:
    """Say whether a job that has not ended is about to write a document; none begins to in this transaction's time."""
    connection.execute(select(collections.c.id).where(collections.c.id == collection_id).with_for_update())
    waiting = (
        select(job_items.c.id)
        .join(jobs, jobs.c.id == job_items.c.job_id)
        .where(jobs.c.collection_id == collection_id, jobs.c.state.in_(UNFINISHED))
        .where(job_items.c.state == "pending", job_items.c.name == key)
    )
    return connection.scalar(waiting.limit(1)) is not None


def is_pending(connection: Connection, item_id: int) -> bool:
    """Say whether an item still waits to be learned."""
    return connection.scalar(select(job_items.c.state).where(job_items.c.id == item_id)) == "pending"


def advance_item(
    connection: Connection,
    item_id: int,
    *,
    documents: int,
    known: int,
    passages: int,
    done: int,
    kept: int = 0,
    removed: int = 0,
    exact: int = 0,
    near: int = 0,
) -> None:
    """Add to what an item has given so far; ``kept`` of its ``passages`` were there before."""
    connection.execute(
        update(job_items)
        .where(job_items.c.id == item_id)
        .values(
            documents=job_items.c.documents + documents,
            known=job_items.c.known + known,
            passages=job_items.c.passages + passages,
            kept=job_items.c.kept + kept,
            removed=job_items.c.removed + removed,
            done=job_items.c.done + done,
            exact=job_items.c.exact + exact,
            near=job_items.c.near + near,
            # Whoever makes progress is not poison, however often its worker is killed.
            **({"attempts": 0} if documents or known or exact or near else {}),
        )
    )


def finish_item(connection: Connection, item_id: int, failure: Failure | None = None) -> None:
    """End an item, learned or failed; what was staged of it is erased, or held for a retry where anything failed."""
    failed_parts = exists().where(job_items.c.item_id == item_id, job_items.c.kind == "part")
    values: dict[str, Any] = {"state": "done", "done": job_items.c.size}
    if failure is not None:
        values |= {"state": "failed", "reason": failure.reason, "error": failure.error, "held": True}
    elif connection.scalar(select(failed_parts)):
        values |= {"held": True}
    else:
        values |= {"payload": None, "data": None}
    connection.execute(update(job_items).where(job_items.c.id == item_id).values(values))


def start_job(connection: Connection, job_id: str) -> None:
    """Mark a queued job as running."""
    connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state == "queued")
        .values(state="running", started_at=func.coalesce(jobs.c.started_at, now()))
    )


def note_version(connection: Connection, job_id: str, version: int) -> None:
    """Remember the version of a job's last commit."""
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(version=version))


def note_time(connection: Connection, job_id: str, seconds: Mapping[str, float]) -> None:
    """Add the seconds that a job's stages took."""
    spent = dict(job_head(connection, job_id)["seconds"])
    for stage, more in seconds.items():
        spent[stage] = round(spent.get(stage, 0.0) + more, 4)
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(seconds=spent))


def forgive_attempts(connection: Connection, job_id: str) -> None:
    """Count the attempts at a job's pending items anew: it stopped, and none of them took its worker down."""
    connection.execute(
        update(job_items).where(job_items.c.job_id == job_id, job_items.c.state == "pending").values(attempts=0)
    )


def end_job(connection: Connection, job_id: str, state: str, error: str | None = None) -> bool:
    """End an unfinished job; False if it had ended already. Cancelling erases the staged texts, of a failed job too."""
    cancelled = state == "cancelled"
    ended = connection.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_((*UNFINISHED, "failed") if cancelled else UNFINISHED))
        .values(state=state, error=error, finished_at=now())
    )
    if cancelled and ended.rowcount:
        of_it = update(job_items).where(job_items.c.job_id == job_id)
        connection.execute(of_it.where(job_items.c.held.is_(True)).values(held=False, payload=None, data=None))
        connection.execute(
            of_it.where(job_items.c.state == "pending").values(state="cancelled", payload=None, data=None)
        )
        drop_replies_of(connection, job_head(connection, job_id)["collection_id"], job_id)
    return bool(ended.rowcount)


def beat(connection: Connection, worker_id: str, host: str, pid: int) -> None:
    """Say that a worker is alive."""
    moment = database_now(connection)
    changed = connection.execute(update(workers).where(workers.c.id == worker_id).values(beat_at=moment))
    if not changed.rowcount:
        connection.execute(insert(workers).values(id=worker_id, host=host, pid=pid, beat_at=moment))


def list_workers(connection: Connection) -> list[RowMapping]:
    """List the workers that were heard of lately."""
    fresh = database_now(connection) - timedelta(seconds=WORKER_TTL_S)
    return list(connection.execute(select(workers).where(workers.c.beat_at > fresh)).mappings())


def remove_worker(connection: Connection, worker_id: str) -> None:
    """Strike a worker that leaves or died, and those that have been silent for a day."""
    long_ago = database_now(connection) - timedelta(days=1)
    connection.execute(delete(workers).where((workers.c.id == worker_id) | (workers.c.beat_at < long_ago)))


def _job(connection: Connection, head: RowMapping, failures: int) -> Job:
    def total(column: Any) -> Any:
        return func.coalesce(func.sum(column), 0)

    def having(state: str) -> Any:
        return total(case((job_items.c.state == state, 1), else_=0))

    sums = (
        connection.execute(
            select(
                total(case((job_items.c.kind != "part", 1), else_=0)).label("items"),
                having("pending").label("pending"),
                having("failed").label("failed"),
                having("skipped").label("skipped"),
                total(case((job_items.c.held.is_(True), 1), else_=0)).label("retryable"),
                *(total(job_items.c[name]).label(name) for name in _SUMMED),
            ).where(job_items.c.job_id == head["id"])
        )
        .mappings()
        .one()
    )
    whole = job_items.alias()
    retry_id = case((job_items.c.held.is_(True), job_items.c.id), (whole.c.held.is_(True), whole.c.id), else_=None)
    failed = connection.execute(
        select(job_items.c.name, job_items.c.reason, job_items.c.error, retry_id.label("retry_id"))
        .outerjoin(whole, whole.c.id == job_items.c.item_id)
        .where(job_items.c.job_id == head["id"], job_items.c.state == "failed")
        .order_by(job_items.c.id)
        .limit(failures)
    ).mappings()
    own = (
        "id",
        "state",
        "split",
        "duplicates",
        "error",
        "version",
        "created_at",
        "started_at",
        "finished_at",
        "seconds",
        "priority",
    )
    values: dict[str, Any] = {name: head[name] for name in own}
    values |= {"tokens": Tokens.of(head["tokens"]), "max_tokens": head["max_tokens"]}
    values |= {name: int(count) for name, count in sums.items()}
    if head["state"] == "running":
        values["pace"] = read_pace(connection, head["id"])
    name = connection.scalar(select(collections.c.name).where(collections.c.id == head["collection_id"]))
    return Job(
        **values,
        collection=name or "",
        failures=tuple(Failure(**row) for row in failed),
        copies=list_skipped(connection, head["id"], failures),
    )
