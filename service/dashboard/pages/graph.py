"""The memory graph: names found as they are typed, what is around them, why, and how to put it right."""

from __future__ import annotations

from markupsafe import Markup
from nicegui import ui

from service.api import inspection
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show, told
from service.dashboard.graph_explorer import Explorer
from service.dashboard.graph_finder import offer_search
from service.dashboard.graph_state import read_shown
from service.dashboard.graph_tables import best_connected, largest_communities
from service.inspection_schemas import CommunitiesOut, PhrasesOut

LEAD = "The names in the collection {}, and what joins them."
BEST = 20
COMMUNITIES = 20


@page("/c/{collection}/graph", "Memory graph")
async def graph_page(
    desk: Desk,
    collection: str,
    phrase: str = "",
    member: str = "",
    hidden: str = "",
    community: str = "",
    chosen: str = "",
    kind: str = "",
    least: str = "",
    steps: str = "",
    limit: str = "",
    source: str = "",
    target: str = "",
    cursor: str = "",
) -> None:
    """Show what is asked for in the address; without a name, where one may begin."""
    heading("Memory graph", LEAD.format(collection))
    shown = read_shown(
        phrase=phrase,
        member=member,
        hidden=hidden,
        community=community,
        chosen=chosen,
        kind=kind,
        least=least,
        steps=steps,
        limit=limit,
        source=source,
        target=target,
    )
    explorer = Explorer(desk, collection, shown)
    with explorer.acting():
        offer_search(desk, collection, beside=not shown.is_empty)
        if shown.is_empty:
            await _begin(desk, collection)
        else:
            explorer.offer_picture()
        explorer.offer_path()
        section("Corrections")
        await explorer.list_corrections(cursor)
    explorer.follow()


async def _begin(desk: Desk, collection: str) -> None:
    """Show the names in most passages and the largest communities, from which one may begin."""
    found: PhrasesOut = await desk.call(inspection.list_phrases, collection=collection, sort="degree", limit=BEST)
    with ui.element("div").classes("columns"):
        with ui.column():
            section("Names in most passages")
            show(best_connected(collection, found.phrases))
        with ui.column():
            section("Largest communities")
            groups = show(Markup('<p class="empty" role="status">Grouping the names …</p>'))

    async def group() -> None:
        async with told("grouping the names"):
            answer: CommunitiesOut = await desk.call(inspection.list_communities, collection=collection)
            groups.content = str(largest_communities(collection, answer, COMMUNITIES))

    # It reads much: the page does not wait for it.
    ui.timer(0.1, group, once=True)
