"""The overview: what the collections hold and how they grew, what is being learned, and how the service does."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup
from nicegui import ui

from service.api import health, jobs
from service.api import overview as figures
from service.dashboard.charts import Chart
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show, visit
from service.dashboard.job_parts import list_jobs
from service.dashboard.live import keep_up
from service.dashboard.markup import url
from service.dashboard.overview_parts import (
    describe_generator,
    draw_growth,
    draw_searches,
    draw_stages,
    draw_times,
    list_collections,
    list_parts,
    list_spending,
    list_troubles,
    list_usage,
    sum_of,
)
from service.learning_schemas import JobsOut
from service.overview_schemas import InstallationOut, OverviewOut

EVERY_S = 2.0
PARTS_S = 5.0
TOKENS_S = 60.0
SHOWN_JOBS = 5
QUIET = "Nobody asked anything in the last hour."


@page("/", "Overview")
async def overview(desk: Desk, growth: str | None = None) -> None:
    """Show all collections, the newest jobs and how the service does; it keeps up with what goes on."""
    first: OverviewOut = await desk.call(figures.overview, growth_of=growth)
    heading("Overview")
    numbers = show(Markup(""))
    section("Collections")
    held = show(Markup(""))
    names = [one.name for one in first.collections]
    if len(names) > 1:
        ui.select(
            {"": "all collections"} | {name: name for name in names},
            value=growth or "",
            label="Growth of",
            on_change=lambda to: visit(url("", growth=to.value)),
        ).props("dense outlined options-dense").classes("choice")
    grown = Chart(
        "Growth",
        {"Passages": "line", "Documents": "line"},
        category="Learned (UTC)",
        unit="documents and passages held, by time in UTC",
    )
    section("Newest jobs")
    newest = show(Markup(""))
    installed = _Installation() if first.installation is not None else None
    section("Tokens of the last 24 hours")
    spent = show(Markup(""))
    section("Parts of the service")
    states = show(Markup(""))

    def draw(seen: OverviewOut) -> None:
        numbers.content = sum_of(seen)
        held.content = list_collections(seen)
        drawn = draw_growth(seen.growth)
        grown.update(
            drawn.names,
            drawn.values,
            drawn.rows,
            empty="Nothing was learned yet." if seen.growth is not None else "It is being counted.",
        )
        if installed is not None and seen.installation is not None:
            installed.draw(seen.installation)

    async def refresh() -> None:
        listed: JobsOut = await desk.call(jobs.list_newest, limit=SHOWN_JOBS)
        newest.content = list_jobs(listed.jobs, empty="No job yet. Documents are learned by jobs.")
        draw(await desk.call(figures.overview, growth_of=growth))

    async def sum_up_tokens() -> None:
        spent.content = list_spending(await desk.call(figures.tokens))

    async def look_at_parts() -> None:
        states.content = list_parts((await health.describe(desk.parts, ending=False)).parts)

    await keep_up(refresh, every_s=EVERY_S, doing="refreshing the overview")
    # Seldom, as it reads many traces.
    await keep_up(sum_up_tokens, every_s=TOKENS_S, doing="summing up tokens")
    # By itself, as a generator that does not answer takes its time.
    states.content = Markup('<p class="empty">They are being asked.</p>')
    ui.timer(PARTS_S, look_at_parts, immediate=True)


class _Installation:
    """What is told of the installation as a whole, to keys that are bound to no collection."""

    def __init__(self) -> None:
        section("The last hour")
        with ui.element("div").classes("columns"):
            self._searches = Chart(
                "Searches and answers",
                {"Searches": "line", "Answers": "line", "Refused or failed": "line"},
                category="Minute (UTC)",
                unit="a minute, by time in UTC",
            )
            self._times = Chart(
                "Time of searches",
                {"Half within": "line", "95 % within": "line"},
                category="Minute (UTC)",
                unit="ms",
            )
        self._stages = Chart(
            "Time by stage",
            {"Half within": "bar", "95 % within": "bar"},
            category="Stage",
            unit="ms",
            across=True,
            height="26rem",
        )
        self._troubles = show(Markup(""))
        section("Generator")
        self._generator = show(Markup(""))
        section("Disk and memory")
        self._usage = show(Markup(""))

    def draw(self, of: InstallationOut) -> None:
        charts: tuple[tuple[Chart, Any], ...] = (
            (self._searches, draw_searches),
            (self._times, draw_times),
            (self._stages, draw_stages),
        )
        for chart, read in charts:
            drawn = read(of.hour)
            chart.update(drawn.names, drawn.values, drawn.rows, empty=QUIET)
        self._troubles.content = list_troubles(of.hour)
        self._generator.content = describe_generator(of.hour)
        self._usage.content = list_usage(of)
