"""Jobs that a page began, followed to their end: how far they are, and what failed and why."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from markupsafe import Markup
from nicegui import ui

from service.api import jobs
from service.dashboard.desk import Desk
from service.dashboard.frame import show, told
from service.dashboard.markup import badge, link, number, table, url
from service.learning_schemas import JobOut

EVERY_S = 0.5
SHOWN = 5  # jobs
SHOWN_FAILURES = 20
KINDS = {"succeeded": "good", "failed": "bad", "running": "busy", "queued": "busy", "cancelled": "plain"}


def offer_progress(desk: Desk, collection: str) -> Callable[[str], Awaitable[None]]:
    """Put the place where jobs are followed on the page, and return what begins to follow one, by its id.

    In the browser ``window.jobEnded`` is called with each that has ended, where it is set.
    """
    followed: dict[str, JobOut] = {}

    async def look(job_id: str) -> None:
        job: JobOut = await desk.call(jobs.show, job_id=job_id)
        followed[job_id] = job
        if job.finished_at is not None:
            failures = [{"name": one.name, "error": one.error} for one in job.failures]
            told_of = json.dumps({"id": job.id, "state": job.state, "failures": failures})
            ui.run_javascript(f"window.jobEnded?.({told_of})")

    async def refresh() -> None:
        async with told("following a job"):
            for job_id, job in followed.items():
                if job.finished_at is None:
                    await look(job_id)
            place.content = Markup("").join(_draw(job, collection) for job in list(followed.values())[-SHOWN:])
            if all(job.finished_at is not None for job in followed.values()):
                timer.deactivate()

    async def begin(job_id: str) -> None:
        async with told("following a job"):
            await look(job_id)
            timer.activate()
            await refresh()

    place = show(Markup(""))
    timer = ui.timer(EVERY_S, refresh, active=False)
    return begin


def _draw(job: JobOut, collection: str) -> Markup:
    done = job.progress
    ended = done.documents + done.known + done.skipped + done.failed
    said = f"{done.documents} of {done.total} documents, {done.failed} failed"
    if done.known:
        said += f", {done.known} known already"
    if done.skipped:
        said += f", {done.skipped} left out as copies"
    if job.seconds_left is not None:
        said += f", about {job.seconds_left:.0f} s left"
    bar = Markup('<progress max="{}" value="{}" aria-label="Progress of the job"></progress>').format(
        max(done.total, 1), min(ended, done.total)
    )
    ways = [link("Job", url("jobs", job.id))]
    if job.finished_at is not None and done.documents:
        ways.append(link("What it learned", url("c", collection, "documents", job=job.id)))
    parts = [
        Markup('<div class="job"><p role="status">{} {}. {}</p>{}</div>').format(
            badge(job.state, KINDS[job.state]), said, Markup(" ").join(ways), "" if job.finished_at else bar
        )
    ]
    if job.error:
        parts.append(Markup('<p class="empty">{}</p>').format(job.error))
    if job.failures:
        rows = [(one.name, one.reason, one.error) for one in job.failures[:SHOWN_FAILURES]]
        parts.append(table("What failed", ("Name", "Reason", "What is wrong"), rows))
    more = len(job.failures) - SHOWN_FAILURES
    if more > 0:
        parts.append(Markup("<p>{} more failed: see the job.</p>").format(number(more)))
    return Markup("").join(parts)
