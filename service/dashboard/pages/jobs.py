"""Jobs: how far they are, what failed and why; to cancel, resume or retry one."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup
from nicegui import ui

from service.api import jobs
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, is_sure, page, show, told
from service.dashboard.markup import badge, facts, link, moment, number, table, url
from service.learning_schemas import JobOut

EVERY_S = 1.0
KINDS = {"succeeded": "good", "failed": "bad", "running": "busy", "queued": "busy", "cancelled": "plain"}
CANCEL = "Cancel this job? What it has learned stays, the rest is dropped."
_ACTIONS = {"cancel": jobs.cancel, "resume": jobs.resume, "retry": jobs.retry}
COLUMNS = ("Job", "Collection", "State", "Progress", "Documents#", "Passages#", "Failed#", "Pace#", "Begun")


@page("/jobs", "Jobs")
async def all_jobs(desk: Desk) -> None:
    """Show the newest jobs; the list keeps up with them."""
    heading("Jobs", "Documents are learned by jobs, which go on after a restart.")
    listed = show(Markup(""))

    async def refresh() -> None:
        async with told("refreshing the jobs"):
            found = await desk.call(jobs.list_newest, limit=100)
            listed.content = list_jobs(found.jobs, empty="No job yet.")

    await refresh()
    ui.timer(EVERY_S * 2, refresh, immediate=False)


@page("/jobs/{job_id}", "Job")
async def one_job(desk: Desk, job_id: str) -> None:
    """Show one job live, with its failed items, and let it be cancelled, resumed or retried."""
    job: JobOut = await desk.call(jobs.show, job_id=job_id)
    heading(f"Job {job_id[:8]}")
    state = show(Markup(""))
    with ui.row():
        buttons = {
            "cancel": ui.button("Cancel", icon="close", color="negative"),
            "resume": ui.button("Resume", icon="play_arrow"),
            "retry": ui.button("Retry what failed", icon="replay"),
        }
    failed = show(Markup(""))

    def draw(now: JobOut) -> None:
        nonlocal job
        job = now
        state.content = _describe(now)
        failed.content = _list_failures(now)
        buttons["cancel"].set_visibility(now.finished_at is None)
        buttons["resume"].set_visibility(now.state == "failed")
        buttons["retry"].set_visibility(now.finished_at is not None and now.progress.retryable > 0)

    async def refresh() -> None:
        async with told("refreshing a job"):
            draw(await desk.call(jobs.show, job_id=job_id))

    async def act(name: str) -> None:
        if name == "cancel" and not await is_sure(CANCEL, yes="Cancel the job", no="Let it go on"):
            return
        async with told(f"to {name} a job"):
            draw(await desk.call(_ACTIONS[name], job_id=job_id))

    for name, button in buttons.items():
        button.on_click(lambda name=name: act(name))
    draw(job)
    ui.timer(EVERY_S, refresh, immediate=False)


def list_jobs(found: Sequence[JobOut], *, empty: str) -> str:
    """Return a table of jobs."""
    rows = [
        (
            link(job.id[:8], url("jobs", job.id), f"Job {job.id[:8]}"),
            job.collection,
            badge(job.state, KINDS[job.state]),
            _bar(job),
            number(job.progress.documents),
            number(job.progress.passages),
            number(job.progress.failed),
            number(job.passages_per_s, "passages/s"),
            moment(job.created_at),
        )
        for job in found
    ]
    return table("Jobs", COLUMNS, rows, empty=empty)


def _bar(job: JobOut) -> Markup:
    share = 100.0 if job.state == "succeeded" else 100.0 * job.progress.bytes / max(job.progress.total_bytes, 1)
    left = f", {job.seconds_left:,.0f} s left" if job.seconds_left else ""
    return Markup(
        '<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{0:.0f}" '
        'aria-label="Progress">'
        '<span style="width:{0:.0f}%"></span></div><span class="faint number">{0:.0f} %{1}</span>'
    ).format(share, left)


def _describe(job: JobOut) -> str:
    told_of = {
        "Collection": link(job.collection, url("c", job.collection, "documents")),
        "State": badge(job.state, KINDS[job.state]),
        "Progress": _bar(job),
        "Documents": number(job.progress.documents),
        "Known already": number(job.progress.known),
        "Passages": number(job.progress.passages),
        "Copies": number(job.progress.exact + job.progress.near),
        "Failed": number(job.progress.failed),
        "Pace": number(job.passages_per_s, "passages/s"),
        "Begun": moment(job.started_at),
        "Ended": moment(job.finished_at),
    }
    if job.tokens.calls:
        told_of["Tokens"] = number(job.tokens.prompt + job.tokens.completion, "tokens")
    rows = [(name, number(float(seconds), "s")) for name, seconds in job.seconds.items()]
    stages = table("Time by stage", ("Stage", "Time#"), rows, empty="No stage has ended yet.")
    error = Markup('<p class="empty">{}</p>').format(job.error) if job.error else Markup("")
    return facts(told_of) + error + Markup("<h2>Time by stage</h2>") + stages


def _list_failures(job: JobOut) -> str:
    rows = [(one.name, badge(one.reason, "bad"), one.error) for one in job.failures]
    failures = table("Failed items", ("Item", "Reason", "What was wrong"), rows, empty="Nothing failed.")
    return Markup("<h2>Failed items</h2>") + failures
