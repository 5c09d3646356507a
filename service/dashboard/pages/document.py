"""One document: its passages with what was found in them, history, copies and who quotes it; to replace, to forget."""

from __future__ import annotations

import json

from fastapi import Response
from markupsafe import Markup
from nicegui import ui

from memory_graph.errors import InvalidInput
from service.api import documents, passages, queries
from service.dashboard.desk import Desk
from service.dashboard.following import offer_progress
from service.dashboard.frame import heading, page, section, show, told, visit
from service.dashboard.markup import facts, link, moment, number, table, url
from service.dashboard.passage_text import LIGHTING, draw_passage
from service.dashboard.uploads import ask_for_text
from service.learning_schemas import DocumentDetailOut, MarkedPassagesOut
from service.recall_schemas import QueriesOut

PAGE = 20
QUESTIONS = 20
_MOST = 2**31 - 2  # a place in a document


@page("/c/{collection}/documents/{document_id:path}", "Document")
async def one_document(desk: Desk, collection: str, document_id: str, first: str = "1") -> None:
    """Show one document, its passages from the one at place ``first`` on."""
    if not (first.isdecimal() and first.isascii() and 0 < int(first[:10]) <= _MOST):
        raise InvalidInput("first", "must be the number of a passage, from 1 on")
    start = int(first[:10]) - 1
    answered = Response()
    found: DocumentDetailOut = await desk.call(
        documents.show, collection=collection, document_id=document_id, contents=False, response=answered
    )
    shown: MarkedPassagesOut = await desk.call(
        passages.list_page, collection=collection, document=document_id, first=start, limit=PAGE
    )
    asked: QueriesOut = await desk.call(
        queries.list_newest, collection=collection, document=document_id, limit=QUESTIONS
    )
    heading(found.title or found.id, link("All documents", url("c", collection, "documents")))
    show(_describe(collection, found))
    if found.metadata:
        show(Markup("<pre>{}</pre>").format(json.dumps(found.metadata, indent=2, ensure_ascii=False)))
    with ui.row():
        replacing = ui.button("Replace", icon="edit")
        forgetting = ui.button("Forget", icon="delete", color="negative")
    follow = offer_progress(desk, collection)
    replacing.on_click(ask_for_text(collection, found.id, answered.headers["ETag"], follow).open)
    forgetting.on_click(lambda: _forget(desk, collection, found.id))
    section("Passages")
    pager = _draw_pager(collection, found.id, start, len(shown.passages), shown.total)
    show(pager)
    show(Markup("").join(draw_passage(one, collection) for one in shown.passages))
    show(pager if shown.total > PAGE else Markup(""))
    ui.run_javascript(LIGHTING)
    section("Questions whose answer quotes it")
    show(_list_questions(asked))
    section("History")
    show(_list_changes(found))
    section("Copies of it")
    show(_list_copies(collection, found))


def _describe(collection: str, found: DocumentDetailOut) -> Markup:
    of_source = link(found.source, url("c", collection, "documents", source=found.source)) if found.source else "none"
    return facts(
        {
            "Id": found.id,
            "Source": of_source,
            "Passages": number(found.passages),
            "Version": number(found.version),
            "Learned": moment(found.created_at),
            "Occurred": moment(found.occurred_at) if found.occurred_at else "not said",
        }
    )


def _draw_pager(collection: str, document_id: str, start: int, shown: int, total: int) -> Markup:
    """Return which passages are shown, the ways to others, and a field for the number of any."""
    if total <= PAGE and not start:
        return Markup("")

    def to(name: str, first: int) -> Markup:
        return link(name, url("c", collection, "documents", document_id, first=first + 1))

    ways = []
    if start:
        ways += [to("First passages", 0), to("Passages before", max(0, start - PAGE))]
    if start + shown < total:
        ways += [to("Passages after", start + PAGE), to("Last passages", (total - 1) // PAGE * PAGE)]
    said = f"Passages {start + 1:,} to {start + shown:,} of {total:,}" if shown else f"There are {total:,} passages"
    return Markup(
        '<nav class="pager" aria-label="Passages"><span>{}</span>{}<form action="{}"><label>From passage '
        '<input type="number" name="first" min="1" max="{}" value="{}" required></label> '
        "<button>Go</button></form></nav>"
    ).format(said, Markup(" ").join(ways), url("c", collection, "documents", document_id), max(total, 1), start + 1)


def _list_questions(asked: QueriesOut) -> Markup:
    rows = [(link(one.question, url("questions", one.id)), one.answer, moment(one.created_at)) for one in asked.queries]
    empty = "No answer that is in the log quotes this document."
    listed = table("Questions", ("Question", "Answer", "Asked"), rows, empty=empty)
    more = Markup('<p class="faint">These are the newest.</p>') if asked.next_cursor else Markup("")
    return listed + more


def _list_changes(found: DocumentDetailOut) -> Markup:
    rows = [
        (
            moment(one.at),
            number(one.version),
            number(one.added),
            number(one.removed),
            number(one.kept),
            link(one.job_id[:8], url("jobs", one.job_id)) if one.job_id else "",
        )
        for one in found.history
    ]
    columns = ("When", "Version#", "Passages added#", "Removed#", "Kept#", "Job")
    return table("History", columns, rows)


def _list_copies(collection: str, found: DocumentDetailOut) -> Markup:
    rows = [
        (
            link(one.document_id, url("c", collection, "documents", one.document_id)),
            one.kind,
            number(one.similarity * 100, "%"),
        )
        for one in found.duplicates
    ]
    return table("Copies", ("Document", "Kind", "Alike#"), rows, empty="No other document is like this one.")


async def _forget(desk: Desk, collection: str, document_id: str) -> None:
    async with told("looking at what would be forgotten"):
        preview = await desk.call(documents.forget, collection=collection, document_id=document_id, dry_run=True)
        with ui.dialog(value=True).props('aria-label="Forget this document?"') as dialog, ui.card():
            show(Markup("<h2>Forget this document?</h2>"))
            counts = [(name, number(count)) for name, count in preview.model_dump().items() if type(count) is int]
            show(table("What would go", ("What", "Number#"), counts))
            typed = ui.input("Type the id of the document to confirm").classes("wide")
            ui.label(document_id).classes("faint")
            with ui.row():
                sure = ui.button("Forget it", color="negative", on_click=lambda: dialog.submit(True))
                sure.bind_enabled_from(typed, "value", backward=lambda text: text == document_id)
                ui.button("Keep it", on_click=lambda: dialog.submit(False)).props("flat")
        if await dialog:
            await desk.call(documents.forget, collection=collection, document_id=document_id)
            visit(url("c", collection, "documents"))
