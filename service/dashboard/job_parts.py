"""What pages show of jobs, as HTML and as the numbers of a chart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from service.dashboard.markup import badge, facts, link, moment, number, table, url
from service.dashboard.overview_parts import Drawn
from service.learning_schemas import JobOut, LearnedPageOut, ThroughputOut

KINDS = {"succeeded": "good", "failed": "bad", "running": "busy", "queued": "busy", "cancelled": "plain"}
COLUMNS = ("Job", "Collection", "State", "Progress", "Documents#", "Passages#", "Failed#", "Pace#", "Submitted")
# What the time of a stage was spent on; a stage without a sentence is shown by its name.
STAGES = {
    "read": "reading and splitting files",
    "embed": "making vectors of passages",
    "extract": "finding names and facts, beside the others",
    "wait": "waiting for the extraction",
    "embed_names": "making vectors of names and facts",
    "commit": "writing to the database",
}
SHOWN_FAILURES = 100


def list_jobs(found: Sequence[JobOut], *, empty: str) -> Markup:
    """Return a table of jobs."""
    rows = [
        (
            link(job.id[:8], url("jobs", job.id), f"Job {job.id[:8]}"),
            job.collection,
            badge(job.state, KINDS[job.state]),
            bar(share_of(job), "Progress", _left(job)),
            number(job.progress.documents),
            number(job.progress.passages),
            number(job.progress.failed),
            number(job.passages_per_s, "passages/s"),
            moment(job.created_at),
        )
        for job in found
    ]
    return table("Jobs", COLUMNS, rows, empty=empty)


def describe_job(job: JobOut) -> Markup:
    """Return how far a job is, and what it has done."""
    told_of = {
        "Collection": link(job.collection, url("c", job.collection, "documents")),
        "State": badge(job.state, KINDS[job.state]),
        "Documents": number(job.progress.documents),
        "Known already": number(job.progress.known),
        "Passages": number(job.progress.passages),
        "Copies": number(job.progress.exact + job.progress.near),
        "Failed": number(job.progress.failed),
        "Pace": number(job.passages_per_s, "passages/s"),
        "Priority": job.priority,
        "Workers": ", ".join(job.workers) or "none",
        "Submitted": moment(job.created_at),
        "Begun": moment(job.started_at) if job.started_at else "not yet",
        "Ended": moment(job.finished_at) if job.finished_at else "not yet",
    }
    error = Markup('<p class="stale">{}</p>').format(job.error) if job.error else Markup("")
    return facts(told_of) + error


def draw_progress(job: JobOut) -> Markup:
    """Return how much of a job is done, as bars."""
    of = job.progress
    items = of.documents + of.known + of.skipped + of.failed
    rows = [
        ("Bytes read", bar(share_of(job), "Bytes read", _left(job)), _of(of.bytes, of.total_bytes, "bytes")),
        ("Documents and files", bar(_share(items, of.total), "Documents and files"), _of(items, of.total)),
    ]
    return table("Progress", ("What", "Share", "Done#"), rows)


def draw_stages(job: JobOut) -> Markup:
    """Return what the time of the workers went into, as bars."""
    whole = sum(job.seconds.values())
    rows = [
        (
            Markup('{} <div class="faint">{}</div>').format(name, STAGES.get(name, "")),
            bar(_share(seconds, whole), name),
            number(float(seconds), "s"),
        )
        for name, seconds in job.seconds.items()
    ]
    return table("Time by stage", ("Stage", "Share", "Time#"), rows, empty="No batch is learned yet.")


def list_tokens(job: JobOut) -> Markup:
    """Return what a job has spent on a language model, nothing where it asked none."""
    spent = job.tokens
    if not (spent.calls or spent.reused):
        return Markup("")
    rows = [
        ("Read in prompts", number(spent.prompt, "tokens")),
        ("Written in replies", number(spent.completion, "tokens")),
        (
            "Both, in this run",
            _of(spent.run, spent.max_tokens, "tokens") if spent.max_tokens else number(spent.run, "tokens"),
        ),
        ("Calls", number(spent.calls)),
        ("Calls saved by earlier replies", number(spent.reused)),
    ]
    return Markup("<h2>Tokens</h2>") + table("Tokens", ("Of", "Spent#"), rows)


def draw_throughput(found: ThroughputOut) -> Drawn:
    """Return the pace of a job over its time, pauses included."""
    if not found.steps or found.step_s is None:
        return Drawn(names=[], values={"Passages": []}, rows=[])
    by_start = {int(one.at.timestamp()): one for one in found.steps}
    starts = range(min(by_start), max(by_start) + 1, found.step_s)
    # A job that rested for days is drawn without the rest: its steps are as many as they are.
    shown = starts if len(starts) <= 2 * len(by_start) + 100 else sorted(by_start)
    rates = {at: one.passages / found.step_s for at, one in by_start.items()}
    return Drawn(
        names=[_clock(found, at) for at in shown],
        values={"Passages": [round(rates.get(at, 0.0), 2) for at in shown]},
        rows=[(_clock(found, at), number(rates[at], "passages/s")) for at in reversed(sorted(by_start))],
    )


def list_failures(job: JobOut, number_of_page: int) -> Markup:
    """Return the failed items, a page of them, each with a button to retry it where that can be done."""
    pages = max(1, -(-len(job.failures) // SHOWN_FAILURES))
    chosen = min(max(1, number_of_page), pages)
    shown = job.failures[(chosen - 1) * SHOWN_FAILURES : chosen * SHOWN_FAILURES]
    can_retry = job.finished_at is not None
    rows = [
        (
            one.name,
            badge(one.reason, "bad"),
            one.error,
            _button(one.retry_id, one.name) if can_retry and one.retry_id is not None else "",
        )
        for one in shown
    ]
    failures = table("Failed items", ("Item", "Reason", "What was wrong", "Again"), rows, empty="Nothing failed.")
    if job.progress.failed > len(job.failures):
        failures += Markup('<p class="faint">The first {} of {} are listed.</p>').format(
            number(len(job.failures)), number(job.progress.failed)
        )
    if pages > 1:
        links = [
            Markup('<b aria-current="page">{}</b>').format(one)
            if one == chosen
            else link(one, url("jobs", job.id, failures=one), f"Page {one} of the failed items")
            for one in range(1, pages + 1)
        ]
        failures += Markup('<nav class="pager" aria-label="Pages of failed items">{}</nav>').format(
            Markup(" ").join(links)
        )
    return failures


def list_learned(job: JobOut, found: LearnedPageOut, cursor: str) -> Markup:
    """Return the documents that a job wrote last."""
    rows = [
        (
            link(one.title or one.id, url("c", job.collection, "documents", one.id)),
            one.id if one.title and one.title != one.id else "",
            moment(one.created_at),
        )
        for one in found.documents
    ]
    empty = "It has written no document, or later jobs have written them anew."
    listed = table("Documents of this job", ("Document", "Id", "First learned"), rows, empty=empty)
    pages = []
    if cursor:
        pages.append(link("First page", url("jobs", job.id), "First page of the documents"))
    if found.next_cursor:
        pages.append(link("Next page", url("jobs", job.id, learned=found.next_cursor), "Next page of the documents"))
    if pages:
        listed += Markup('<nav class="pager" aria-label="Pages of documents">{}</nav>').format(Markup(" ").join(pages))
    return listed


def share_of(job: JobOut) -> float:
    """Return how much of a job is done, in percent."""
    return 100.0 if job.state == "succeeded" else _share(job.progress.bytes, job.progress.total_bytes)


def bar(share: float, label: str, said: str = "") -> Markup:
    """Return a bar of so many percent, with what is ``said`` after the number."""
    return Markup(
        '<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{0:.0f}" '
        'aria-label="{2}">'
        '<span style="width:{0:.0f}%"></span></div><span class="faint number">{0:.0f} %{1}</span>'
    ).format(share, said, label)


def _left(job: JobOut) -> str:
    if not job.seconds_left:
        return ""
    seconds = round(job.seconds_left)
    if seconds < 100:
        return f", {seconds} s left"
    return f", {seconds // 60:,} min left" if seconds < 6_000 else f", {seconds / 3_600:,.1f} h left"


def _share(done: float, whole: float) -> float:
    return min(100.0, 100.0 * done / whole) if whole else 0.0


def _of(done: int, whole: int, unit: str = "") -> Markup:
    return Markup('<span class="number">{:,} of {:,}{}</span>').format(done, whole, f" {unit}" if unit else "")


def _button(item: int, name: str) -> Markup:
    return Markup('<button type="button" class="small" data-item="{}" aria-label="Retry {}">Retry</button>').format(
        item, name
    )


def _clock(found: ThroughputOut, at: int) -> str:
    is_short = found.steps[-1].at.date() == found.steps[0].at.date()
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S" if is_short else "%m-%d %H:%M")
