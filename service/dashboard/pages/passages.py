"""One passage with those beside it, and what was found in them."""

from __future__ import annotations

from markupsafe import Markup
from nicegui import ui

from memory_graph.errors import InvalidInput
from service.api import passages
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import link, url
from service.dashboard.passage_text import LIGHTING, draw_passage
from service.learning_schemas import MarkedPassagesOut, PassageDetailOut

BESIDE = 2


@page("/c/{collection}/passages/{passage_id}", "Passage")
async def one_passage(desk: Desk, collection: str, passage_id: str) -> None:
    """Show a passage, and what stands before and after it."""
    if not (passage_id.isdecimal() and passage_id.isascii() and len(passage_id) < 19):
        raise InvalidInput("passage", "must be the number of a passage")
    found: PassageDetailOut = await desk.call(passages.show, collection=collection, passage_id=int(passage_id))
    first = max(0, found.ordinal - BESIDE)
    near: MarkedPassagesOut = await desk.call(
        passages.list_page,
        collection=collection,
        document=found.document_id,
        first=first,
        limit=found.ordinal - first + BESIDE + 1,
    )
    document = link(found.document_id, url("c", collection, "documents", found.document_id, first=first + 1))
    lead = Markup("Passage {} of {} in {}").format(found.ordinal + 1, near.total, document)
    heading(found.title or f"Passage {found.id}", lead)
    show(Markup("").join(draw_passage(one, collection, is_asked=one.id == found.id) for one in near.passages))
    ui.run_javascript(LIGHTING)
