"""Jobs: how far they are, how fast they went, what failed and why; to cancel, resume or retry one."""

from __future__ import annotations

from typing import get_args

from markupsafe import Markup
from nicegui import events, ui

from memory_graph.errors import InvalidInput
from service.api import jobs
from service.dashboard.charts import Chart
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, is_sure, page, section, show, told, visit
from service.dashboard.job_parts import (
    describe_job,
    draw_progress,
    draw_stages,
    draw_throughput,
    list_failures,
    list_jobs,
    list_learned,
    list_tokens,
)
from service.dashboard.live import keep_up
from service.dashboard.markup import link, pager, url
from service.learning_schemas import JobOut, JobsOut, JobState

EVERY_S = 2.0
PAGE = 50
CANCEL = "Cancel this job? What it has learned stays, the rest is dropped."
_ACTIONS = {"cancel": jobs.cancel, "resume": jobs.resume, "retry": jobs.retry}
# Sends the item of the button that was clicked in a table of failed items.
_CLICKED = (
    "(event) => { const one = event.target.closest('button[data-item]'); if (one) emit(Number(one.dataset.item)) }"
)


@page("/jobs", "Jobs")
async def all_jobs(desk: Desk, state: str = "", collection: str = "", cursor: str = "") -> None:
    """Show the jobs, the newest first, a page at a time; the page keeps up with them."""
    if state and state not in get_args(JobState):
        raise InvalidInput("state", f"must be one of {', '.join(get_args(JobState))}, not {state!r}")
    heading("Jobs", "Documents are learned by jobs, which go on after a restart.")
    names = await desk.list_names()
    with ui.row():
        ui.select(
            {"": "all states"} | {one: one for one in get_args(JobState)},
            value=state,
            label="State",
            on_change=lambda to: visit(url("jobs", state=to.value, collection=collection)),
        ).props("dense outlined options-dense").classes("choice")
        ui.select(
            {"": "all collections"} | {one: one for one in names},
            value=collection if collection in names else "",
            label="Collection",
            on_change=lambda to: visit(url("jobs", state=state, collection=to.value)),
        ).props("dense outlined options-dense").classes("choice")
    listed = show(Markup(""))
    pages = show(Markup(""))
    empty = "No job is like that." if state or collection or cursor else "No job yet."

    async def refresh() -> None:
        found: JobsOut = await desk.call(
            jobs.list_newest,
            state=state or None,
            collection=collection or None,
            cursor=cursor or None,
            limit=PAGE,
        )
        listed.content = list_jobs(found.jobs, empty=empty)
        older = url("jobs", state=state, collection=collection, cursor=found.next_cursor) if found.next_cursor else None
        pages.content = pager(older, url("jobs", state=state, collection=collection) if cursor else None)

    await keep_up(refresh, every_s=EVERY_S, doing="refreshing the jobs")


@page("/jobs/{job_id}", "Job")
async def one_job(desk: Desk, job_id: str, failures: int = 1, learned: str = "") -> None:
    """Show one job live, with its failed items, and let it be cancelled, resumed or retried."""
    job: JobOut = await desk.call(jobs.show, job_id=job_id)
    heading(f"Job {job_id[:8]}", link("All jobs", url("jobs")))
    state = show(Markup(""))
    with ui.row():
        buttons = {
            "cancel": ui.button("Cancel", icon="close", color="negative"),
            "resume": ui.button("Resume", icon="play_arrow"),
            "retry": ui.button("Retry what failed", icon="replay"),
        }
    section("Progress")
    progress = show(Markup(""))
    pace = Chart("Throughput", {"Passages": "bar"}, category="From (UTC)", unit="passages/s", height="12rem")
    section("Time by stage")
    stages = show(Markup(""))
    tokens = show(Markup(""))
    section("Failed items")
    failed = show(Markup(""))
    section("What it learned")
    documents = show(Markup(""))
    seen: tuple[int, int] | None = None  # documents and passages that the lists below were drawn for

    async def draw(now: JobOut) -> None:
        nonlocal job, seen
        job = now
        state.content = describe_job(now)
        progress.content = draw_progress(now)
        stages.content = draw_stages(now)
        tokens.content = list_tokens(now)
        failed.content = list_failures(now, failures)
        buttons["cancel"].set_visibility(now.finished_at is None)
        buttons["resume"].set_visibility(now.state == "failed")
        buttons["retry"].set_visibility(now.finished_at is not None and now.progress.retryable > 0)
        if seen != (now.progress.documents, now.progress.passages):
            drawn = draw_throughput(await desk.call(jobs.throughput, job_id=job_id))
            pace.update(drawn.names, drawn.values, drawn.rows, empty="Nothing was committed yet.")
            found = await desk.call(jobs.learned, job_id=job_id, cursor=learned or None)
            documents.content = list_learned(now, found, learned)
            seen = now.progress.documents, now.progress.passages

    async def refresh() -> None:
        await draw(await desk.call(jobs.show, job_id=job_id))

    async def act(name: str, item: int | None = None) -> None:
        if name == "cancel" and not await is_sure(CANCEL, yes="Cancel the job", no="Let it go on"):
            return
        async with told(f"to {name} a job"):
            given = {"item": item} if item is not None else {}
            await draw(await desk.call(_ACTIONS[name], job_id=job_id, **given))

    async def retry_one(event: events.GenericEventArguments) -> None:
        await act("retry", int(event.args))

    for name, button in buttons.items():
        button.on_click(lambda name=name: act(name))
    failed.on("click", retry_one, js_handler=_CLICKED)
    await keep_up(refresh, every_s=EVERY_S, doing="refreshing a job")
