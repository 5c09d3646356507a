"""What the overview shows, as HTML and as the numbers of its charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from markupsafe import Markup

from service.dashboard.markup import badge, facts, link, milliseconds, moment, number, size, table, url
from service.overview_schemas import (
    GrowthOut,
    HeldOut,
    HourOut,
    InstallationOut,
    MinuteOut,
    OverviewOut,
    SpendingOut,
    TimeOut,
)

# What a caller was told with a status, in a word.
STATUSES = {
    401: "no valid key",
    403: "not allowed",
    404: "not found",
    408: "the request came too slowly",
    409: "in conflict with what is there",
    413: "too large",
    422: "invalid input",
    429: "too many requests",
    499: "the client went away",
    500: "a fault of ours",
    502: "the generator failed",
    503: "not to be had now",
    504: "took too long",
    507: "no space left",
}
_LENGTHS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_SPENT = ("calls", "prompt_tokens", "completion_tokens")
_SHAPES = {"minute": "%H:%M", "hour": "%m-%d %H:00", "day": "%Y-%m-%d"}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What a chart is updated with (``charts.Chart.update``)."""

    names: list[str]
    values: dict[str, list[float | None]]
    rows: list[tuple[object, ...]]


def sum_of(seen: OverviewOut) -> Markup:
    """Return the numbers at the top of the page."""
    told: dict[str, object] = {
        "Documents": number(_total(seen, "documents")),
        "Passages": number(_total(seen, "passages")),
    }
    if seen.installation is not None:
        hour = seen.installation.hour
        held = [one.resident + one.children for one in seen.installation.processes if one.resident is not None]
        told |= {
            "Searches, last minute": number(_last_whole(hour.minutes).searches),
            "Searches, last hour": number(sum(one.searches for one in hour.minutes)),
            "Search, 95 % within": milliseconds(hour.search.p95_ms if hour.search else None),
            "Refused or failed, last hour": number(sum(one.refused + one.failed for one in hour.minutes)),
            "Memory": size(sum(held) if held else None),
            "Free disk": size(seen.installation.disk.free),
        }
    return facts(told)


def list_collections(seen: OverviewOut) -> Markup:
    """Return a table of what the collections hold."""
    rows = [
        (
            link(one.name, url("c", one.name, "documents")),
            number(one.documents),
            number(one.passages),
            number(one.phrases),
            number(one.facts),
            number(one.version),
            _lag(one),
            moment(one.created_at),
        )
        for one in seen.collections
    ]
    columns = ("Collection", "Documents#", "Passages#", "Phrases#", "Facts#", "Version#", "View", "Since")
    listed = table("Collections", columns, rows, empty="There is no collection that this key may see.")
    if seen.left_out:
        listed += Markup('<p class="faint">{} more are not shown.</p>').format(number(seen.left_out))
    return listed


def draw_growth(growth: GrowthOut | None) -> Drawn:
    """Return how the memory grew, from the step before the first on, with the steps in which nothing was learned."""
    if growth is None or not growth.steps:
        return Drawn(names=[], values={"Documents": [], "Passages": []}, rows=[])
    length, shape = _LENGTHS[growth.step], _SHAPES[growth.step]
    learned = {one.at: one for one in growth.steps}
    at, last = growth.steps[0].at - length, growth.steps[-1].at
    names: list[str] = []
    documents: list[float | None] = []
    passages: list[float | None] = []
    rows: list[tuple[object, ...]] = []
    held = [0, 0]
    while at <= last:
        if at in learned:
            held = [held[0] + learned[at].documents, held[1] + learned[at].passages]
            more = number(learned[at].passages), number(learned[at].documents)
            rows.append((at.strftime("%Y-%m-%d" if growth.step == "day" else "%Y-%m-%d %H:%M UTC"), *more))
        names.append(at.strftime(shape))
        documents.append(held[0])
        passages.append(held[1])
        at += length
    return Drawn(names=names, values={"Documents": documents, "Passages": passages}, rows=rows[::-1])


def draw_searches(hour: HourOut) -> Drawn:
    """Return the searches and answers of each minute."""
    return Drawn(
        names=[_minute(one.at) for one in hour.minutes],
        values={
            "Searches": [one.searches for one in hour.minutes],
            "Answers": [one.answers for one in hour.minutes],
            "Refused or failed": [one.refused + one.failed for one in hour.minutes],
        },
        rows=[
            (_minute(one.at), number(one.searches), number(one.answers), number(one.refused + one.failed))
            for one in reversed(hour.minutes)
            if one.requests or one.searches or one.answers
        ],
    )


def draw_times(hour: HourOut) -> Drawn:
    """Return the times of searches by the minute, with gaps where there were none."""
    asked = [one for one in hour.minutes if one.searches]
    return Drawn(
        names=[_minute(one.at) for one in hour.minutes] if asked else [],
        values={
            "Half within": [one.search_p50_ms for one in hour.minutes],
            "95 % within": [one.search_p95_ms for one in hour.minutes],
        },
        rows=[
            (_minute(one.at), milliseconds(one.search_p50_ms), milliseconds(one.search_p95_ms))
            for one in reversed(asked)
        ],
    )


def draw_stages(hour: HourOut) -> Drawn:
    """Return the time of each stage over the last hour, and of searches and questions as a whole."""
    whole = [(f"{one.name}, whole", one) for one in (hour.search, hour.question) if one is not None]
    shown: list[tuple[str, TimeOut]] = [*((one.name, one) for one in hour.stages), *whole]
    return Drawn(
        names=[name for name, _ in shown],
        values={"Half within": [one.p50_ms for _, one in shown], "95 % within": [one.p95_ms for _, one in shown]},
        rows=[(name, milliseconds(one.p50_ms), milliseconds(one.p95_ms)) for name, one in shown],
    )


def list_troubles(hour: HourOut) -> Markup:
    """Return what happened otherwise than asked for, and what was refused."""
    fallbacks = [(one.reason, one.part, number(one.count)) for one in hour.fallbacks]
    refusals = [(one.status, STATUSES.get(one.status, ""), number(one.count)) for one in hour.refusals]
    return Markup('<div class="columns"><div><h3>Fallbacks</h3>{}</div><div><h3>Refusals</h3>{}</div></div>').format(
        table("Fallbacks", ("Reason", "Of", "Times#"), fallbacks, empty="Nothing fell back in the last hour."),
        table("Refusals", ("Status", "Meaning", "Times#"), refusals, empty="Nothing was refused in the last hour."),
    )


def describe_generator(hour: HourOut) -> Markup:
    """Return how the generator is, and what it was asked in the last hour."""
    of = hour.generator
    states = {None: badge("not asked yet"), True: badge("answers", "good"), False: badge("does not answer", "bad")}
    return facts(
        {
            "Generator": Markup("{} {}").format(of.name, states[of.reachable]),
            "Calls, last hour": number(of.calls),
            "Failed calls": number(of.failed),
            "Prompts": number(of.prompt_tokens, "tokens"),
            "Of these from a cache": number(of.cached_tokens, "tokens"),
            "Replies": number(of.completion_tokens, "tokens"),
        }
    )


def list_spending(of: SpendingOut) -> Markup:
    """Return what each kind of call cost in tokens, and all of them together."""
    rows: list[tuple[object, ...]] = [
        (
            one.kind,
            one.strategy or Markup('<span class="faint">jobs</span>'),
            number(one.calls),
            number(one.prompt_tokens),
            number(one.completion_tokens),
        )
        for one in of.spent
    ]
    if len(rows) > 1:
        sums = (sum(getattr(one, name) for one in of.spent) for name in _SPENT)
        rows.append((Markup("<b>All together</b>"), "", *map(number, sums)))
    columns = ("Kind of call", "Strategy", "Calls#", "Prompts, tokens#", "Replies, tokens#")
    empty = "No language model was asked in that time."
    answers = f"{of.questions:,} answer{'' if of.questions == 1 else 's'}"
    said = f"Of the newest {answers}" if of.left_out else f"Of {answers}"
    lead = Markup('<p class="faint">{} and the jobs at work in the last {} hours.</p>').format(said, of.hours)
    return table("Tokens by kind of call", columns, rows, empty=empty) + lead


def list_usage(of: InstallationOut) -> Markup:
    """Return what lies in the data folder, and the memory of the processes."""
    parts = [(one.name, size(one.bytes)) for one in of.disk.parts]
    parts += [("free", size(of.disk.free)), ("the whole disk", size(of.disk.total))]
    processes = [
        (
            Markup('{} <span class="faint">{} on {}</span>').format(one.role, one.pid, one.host),
            size(one.resident) if one.resident is not None else "not known",
            size(one.children),
        )
        for one in of.processes
    ]
    return Markup('<div class="columns"><div><h3>Disk</h3>{}</div><div><h3>Memory</h3>{}</div></div>').format(
        table("Disk", ("Part", "Size#"), parts) + Markup('<p class="faint">{}</p>').format(of.disk.folder),
        table("Memory", ("Process", "Its own#", "What it started#"), processes),
    )


def list_parts(parts: dict[str, str]) -> Markup:
    """Return whether every part of the service works."""
    rows: list[tuple[Any, ...]] = []
    for name, said in parts.items():
        is_well = said.startswith("ok")
        rows.append((name, badge("ok", "good") if is_well else badge("look", "bad"), said))
    return table("Parts of the service", ("Part", "State", "What it says"), rows)


def _lag(one: HeldOut) -> Markup:
    if one.view_lag is None:
        return badge("not loaded")
    if one.view_lag:
        return badge(f"{one.view_lag:,} versions behind", "busy")
    return badge("up to date", "good")


def _total(seen: OverviewOut, name: str) -> int | None:
    counts = [count for one in seen.collections if (count := getattr(one, name)) is not None]
    return sum(counts) if counts or not seen.collections else None


def _last_whole(minutes: Sequence[MinuteOut]) -> MinuteOut:
    return minutes[-2]  # the last one is still going on


def _minute(at: datetime) -> str:
    return at.strftime("%H:%M")
