"""Jobs: list, look at, follow, cancel, resume, retry, remove."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query

from memory_graph.store.jobs import get_job, job_head, list_jobs
from memory_graph.store.learned import list_learned
from memory_graph.store.samples import read_samples
from memory_graph.text import hash_text
from service.access import FOLLOWS, READS, WRITES, Acting, Asking
from service.auditing import job_change
from service.events import EventStream, event, event_stream
from service.learning_schemas import (
    JobOut,
    JobsOut,
    JobState,
    LearnedOut,
    LearnedPageOut,
    ThroughputOut,
    ThroughputStepOut,
)
from service.paging import MAX_ID, Cursor, Limit, Pages
from service.services import Parts, Services, choose_collection

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EVENT_S = 0.5
PAGES = Pages[tuple[datetime, str]]("jobs", datetime, str)
LEARNED = Pages[tuple[int]]("learned", int)


@router.get("", dependencies=[FOLLOWS])
def list_newest(
    parts: Parts,
    caller: Asking,
    state: Annotated[JobState | None, Query(description="Only jobs in this state")] = None,
    collection: Annotated[str | None, Query(description="Only jobs of this collection")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> JobsOut:
    """List the newest jobs, without their failed items."""
    after = PAGES.read(cursor)
    with parts.database.read() as connection:
        of = choose_collection(connection, caller, collection)
        found = list_jobs(
            connection, collection_id=of, among=caller.collections, state=state, after=after, limit=limit + 1
        )
    page, following = PAGES.cut(found, limit, lambda job: (job.created_at, job.id))
    return JobsOut(jobs=[JobOut.of(job) for job in page], next_cursor=following)


@router.get("/{job_id}", dependencies=[FOLLOWS])
def show(job_id: str, parts: Parts) -> JobOut:
    """Return a job with its progress and the items that failed."""
    with parts.database.read() as connection:
        return JobOut.of(get_job(connection, job_id))


# The dependency answers for an unknown job before the stream begins, while there still is a status to say so with.
@router.get("/{job_id}/throughput", dependencies=[FOLLOWS])
def throughput(job_id: str, parts: Parts) -> ThroughputOut:
    """Return how fast a job went from its begin on, in up to 120 steps of equal length."""
    with parts.database.read() as connection:
        job_head(connection, job_id)
        found = read_samples(connection, job_id)
    steps = [ThroughputStepOut.model_validate(one) for one in found]
    return ThroughputOut(step_s=found[0].seconds if found else None, steps=steps)


@router.get("/{job_id}/documents", dependencies=[READS])
def learned(job_id: str, parts: Parts, cursor: Cursor = None, limit: Limit = 50) -> LearnedPageOut:
    """List the documents that a job wrote last, in the order in which they were first learned."""
    (after,) = LEARNED.read(cursor) or (0,)
    with parts.database.read() as connection:
        job_head(connection, job_id)
        found = list_learned(connection, job_id, after=after, limit=limit + 1)
    page, following = LEARNED.cut(found, limit, lambda one: (one.row_id,))
    documents = [LearnedOut(id=one.key, title=one.title, created_at=one.created_at) for one in page]
    return LearnedPageOut(documents=documents, next_cursor=following)


@router.get("/{job_id}/events", response_class=EventStream, dependencies=[FOLLOWS, Depends(show)])
async def follow(job_id: str, parts: Parts, last_event_id: Annotated[str | None, Header()] = None) -> EventStream:
    """Follow a job: `progress` events while it runs, then one `done`.

    An event's id names the state that it tells: who comes back with it as `Last-Event-ID` is told the next one.
    """
    return event_stream(_states(job_id, parts, last_event_id))


async def _states(job_id: str, parts: Services, before: str | None) -> AsyncGenerator[bytes, None]:
    while True:
        job = await asyncio.to_thread(show, job_id, parts)
        data = job.model_dump(mode="json")
        state = hash_text(json.dumps(data, sort_keys=True))
        if job.finished_at is not None:
            yield event("done", data, state)
            return
        if state != before:
            yield event("progress", data, state)
            before = state
        await asyncio.sleep(EVENT_S)


@router.post("/{job_id}/cancel", dependencies=[WRITES])
def cancel(job_id: str, parts: Parts, actor: Acting) -> JobOut:
    """End a job, or give up a failed one: what it has committed stays, the rest is dropped."""
    with job_change(parts.database, actor, "job.cancel", job_id) as note:
        parts.jobs.cancel(job_id, noted=note)
    return show(job_id, parts)


@router.post("/{job_id}/resume", dependencies=[WRITES])
def resume(job_id: str, parts: Parts, actor: Acting) -> JobOut:
    """Queue a failed job again for what it has left."""
    with job_change(parts.database, actor, "job.resume", job_id) as note:
        parts.jobs.resume(job_id, noted=note)
    return show(job_id, parts)


@router.post("/{job_id}/retry", dependencies=[WRITES])
def retry(
    job_id: str,
    parts: Parts,
    actor: Acting,
    item: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only this one: `retry_id` of a failure")] = None,
) -> JobOut:
    """Queue a job that has ended again for its failed items, or for one of them."""
    with job_change(parts.database, actor, "job.retry", job_id) as note:
        parts.jobs.retry(job_id, item_id=item, noted=note)
    return show(job_id, parts)


@router.delete("/{job_id}", status_code=204, dependencies=[WRITES])
def remove(job_id: str, parts: Parts, actor: Acting) -> None:
    """Remove a job that has ended, with the texts kept of its failed items; what it learned stays."""
    with job_change(parts.database, actor, "job.remove", job_id) as note:
        parts.jobs.remove(job_id, noted=note)
