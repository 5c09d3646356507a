"""Documents: the list, and one with its passages, its history and its copies; to forget one."""

from __future__ import annotations

import json

from markupsafe import Markup
from nicegui import ui

from service.api import documents, jobs
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, section, show, told
from service.dashboard.markup import facts, link, moment, number, pager, table, url
from service.dashboard.uploads import offer_upload
from service.learning_schemas import DocumentDetailOut, DocumentOut, DocumentsOut, JobOut, PassageOut

PAGE = 50


@page("/c/{collection}/documents", "Documents")
async def all_documents(desk: Desk, collection: str, cursor: str = "") -> None:
    """Show the documents, a page at a time, and take new ones."""
    heading("Documents", f"What the collection {collection} has learned.")
    _offer_upload(desk, collection)
    found: DocumentsOut = await desk.call(documents.list_page, collection=collection, limit=PAGE, cursor=cursor or None)
    rows = [
        (
            _name(collection, one),
            one.source if one.source and one.source != one.id else "",
            number(one.passages),
            moment(one.created_at),
        )
        for one in found.documents
    ]
    columns = ("Document", "Source", "Passages#", "Learned")
    show(table("Documents", columns, rows, empty="No documents yet. Drop files above, or run: sharpwave ingest FOLDER"))
    here = url("c", collection, "documents")
    following = url("c", collection, "documents", cursor=found.next_cursor) if found.next_cursor else None
    show(pager(following, here if cursor else None))


@page("/c/{collection}/documents/{document_id:path}", "Document")
async def one_document(desk: Desk, collection: str, document_id: str) -> None:
    """Show one document."""
    found: DocumentDetailOut = await desk.call(documents.show, collection=collection, document_id=document_id)
    heading(found.title or found.id, link("All documents", url("c", collection, "documents")))
    show(
        facts(
            {
                "Id": found.id,
                "Source": found.source or "none",
                "Passages": number(found.passages),
                "Version": number(found.version),
                "Learned": moment(found.created_at),
                "Occurred": moment(found.occurred_at) if found.occurred_at else "not said",
            }
        )
    )
    if found.metadata:
        show(Markup("<pre>{}</pre>").format(json.dumps(found.metadata, indent=2, ensure_ascii=False)))
    with ui.row():
        forgetting = ui.button("Forget", icon="delete", color="negative")
    forgetting.on_click(lambda: _forget(desk, collection, found.id))
    section("Passages")
    show(Markup("").join(_draw(passage) for passage in found.contents))
    section("History")
    changes = [
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
    show(table("History", ("When", "Version#", "Added#", "Removed#", "Kept#", "Job"), changes))
    section("Copies of it")
    copies = [
        (
            link(one.document_id, url("c", collection, "documents", one.document_id)),
            one.kind,
            number(one.similarity * 100, "%"),
        )
        for one in found.duplicates
    ]
    show(table("Copies", ("Document", "Kind", "Alike#"), copies, empty="No other document is like this one."))


def _name(collection: str, document: DocumentOut) -> Markup:
    named = link(document.title or document.id, url("c", collection, "documents", document.id))
    return named if not document.title else Markup('{}<div class="faint">{}</div>').format(named, document.id)


def _draw(passage: PassageOut) -> Markup:
    head = Markup("").join(
        Markup("<span>{}</span>").format(part)
        for part in (f"Passage {passage.ordinal + 1}", passage.heading, f"page {passage.page}" if passage.page else "")
        if part
    )
    return Markup('<article class="passage" id="p{}"><header>{}</header><div class="text">{}</div></article>').format(
        passage.id, head, passage.text
    )


def _offer_upload(desk: Desk, collection: str) -> None:
    """Take files, and tell how far the newest job with them is."""
    newest = ""

    async def begin(job_id: str) -> None:
        nonlocal newest
        newest = job_id
        timer.activate()

    async def follow() -> None:
        async with told("following a job"):
            job: JobOut = await desk.call(jobs.show, job_id=newest)
            done = job.progress
            text = f"{job.state}: {done.documents} of {done.total} documents, {done.failed} failed. "
            progress.content = Markup('<p role="status">{}{}</p>').format(text, link("Job", url("jobs", job.id)))
            if job.finished_at is not None:
                timer.deactivate()

    offer_upload(collection, begin)
    progress = show(Markup(""))
    timer = ui.timer(0.5, follow, active=False)


async def _forget(desk: Desk, collection: str, document_id: str) -> None:
    async with told("looking at what would be forgotten"):
        preview = await desk.call(documents.forget, collection=collection, document_id=document_id, dry_run=True)
        with ui.dialog(value=True) as dialog, ui.card():
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
            ui.navigate.to(url("c", collection, "documents"))
