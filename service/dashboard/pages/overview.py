"""The overview: what the collections hold, what is being learned, and whether all parts work."""

from __future__ import annotations

from markupsafe import Markup
from nicegui import ui

from service.api import collections, health, jobs
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show, told
from service.dashboard.markup import badge, link, moment, number, table, url
from service.dashboard.pages.jobs import list_jobs
from service.learning_schemas import JobsOut
from service.schemas import CollectionOut

EVERY_S = 2.0
SHOWN_JOBS = 5


@page("/", "Overview")
async def overview(desk: Desk) -> None:
    """Show all collections, the newest jobs and the state of the parts; it keeps up with what goes on."""
    heading("Overview")
    section("Collections")
    held = show(Markup(""))
    section("Newest jobs")
    newest = show(Markup(""))
    section("Parts of the service")
    states = show(Markup(""))

    async def refresh() -> None:
        async with told("refreshing the overview"):
            found = await desk.call(collections.list_all)
            held.content = _list_collections(found.collections)
            listed: JobsOut = await desk.call(jobs.list_newest, limit=SHOWN_JOBS)
            newest.content = list_jobs(listed.jobs, empty="No job yet. Documents are learned by jobs.")
            states.content = _list_parts((await health.describe(desk.parts, ending=False)).parts)

    await refresh()
    ui.timer(EVERY_S, refresh, immediate=False)


def _list_collections(found: list[CollectionOut]) -> str:
    rows = [
        (
            link(one.name, url("c", one.name, "documents")),
            number(one.documents),
            number(one.passages),
            number(one.phrases),
            number(one.facts),
            number(one.version),
            moment(one.created_at),
        )
        for one in found
    ]
    columns = ("Collection", "Documents#", "Passages#", "Phrases#", "Facts#", "Version#", "Since")
    return table("Collections", columns, rows, empty="There is no collection that this key may see.")


def _list_parts(parts: dict[str, str]) -> str:
    rows = []
    for name, said in parts.items():
        is_well = said.startswith("ok")
        rows.append((name, badge("ok", "good") if is_well else badge("look", "bad"), said))
    return table("Parts of the service", ("Part", "State", "What it says"), rows)
