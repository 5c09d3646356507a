"""One passage with those beside it."""

from __future__ import annotations

from markupsafe import Markup

from service.api import passages
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import link, url
from service.learning_schemas import NeighbourOut, PassageDetailOut

BESIDE = 2


@page("/c/{collection}/passages/{passage_id}", "Passage")
async def one_passage(desk: Desk, collection: str, passage_id: int) -> None:
    """Show a passage, and what stands before and after it."""
    found: PassageDetailOut = await desk.call(
        passages.show, collection=collection, passage_id=passage_id, context=BESIDE
    )
    document = link(found.document_id, url("c", collection, "documents", found.document_id))
    heading(found.title or f"Passage {found.id}", Markup("Passage {} of {}").format(found.ordinal + 1, document))
    before = Markup("").join(_draw(one, is_asked=False) for one in found.before)
    after = Markup("").join(_draw(one, is_asked=False) for one in found.after)
    show(before + _draw(found, is_asked=True) + after)


def _draw(passage: NeighbourOut, *, is_asked: bool) -> Markup:
    head = f"{passage.ordinal + 1}. {passage.heading}" + (f", page {passage.page}" if passage.page else "")
    return Markup(
        '<article class="passage{}"><header><span>{}</span></header><div class="text">{}</div></article>'
    ).format(" cited" if is_asked else "", head, passage.text)
