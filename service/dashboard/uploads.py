"""Files that are dropped on a page, and texts that replace a document's.

Native inputs, which keyboards and screen readers know; the bytes go over HTTP, where they are bounded, and not through
the page's socket.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, FastAPI, Form, Request, UploadFile
from markupsafe import Markup
from nicegui import events, ui
from pydantic import ValidationError

from memory_graph.errors import InvalidInput, PreconditionFailed
from service.api import documents
from service.dashboard.desk import Desk
from service.dashboard.frame import show
from service.dashboard.markup import ROOT, url
from service.dashboard.sessions import Sessions
from service.learning_schemas import DocumentDetailOut, DocumentIn, DocumentsIn, JobRef

PATH = f"{ROOT}/uploads"
MB = 2**20
CHANGED = (
    "Nothing was replaced: the document was changed since this page was opened, or a job is about to change it. "
    "Look at it as it is now in another tab; then reload this page, and replace it there. Your text is still here."
)

_INPUT = Markup(
    '<div class="drop" role="group" aria-label="Learn files">'
    '<span class="strong">Drop files or folders here, or choose them.</span>'
    '<label>Files <input type="file" id="files" multiple></label>'
    '<button type="button" id="folder">Choose a folder</button>'
    '<p class="faint">{}</p></div>'
    '<p id="sent" role="status" class="faint"></p><ul id="sending" class="sending"></ul>'
)
_REPLACE = Markup(
    '<form id="replacing" class="replacing"><p>The document keeps its id, title, source, date and metadata. '
    "Passages that stay the same stay; the old text is not kept.</p>"
    '<label for="new-text">New text</label><textarea id="new-text" rows="12" required></textarea>'
    '<label>Or take it from a text file <input type="file" id="new-file" accept=".txt,.md,text/*"></label>'
    '<p id="replaced" role="status"></p><button>Replace it</button></form>'
)
_SCRIPT = (Path(__file__).parent / "uploads.js").read_text(encoding="utf-8")


def offer_upload(desk: Desk, collection: str, follow: Callable[[str], Awaitable[None]]) -> None:
    """Put the place to drop files on; ``follow`` is called with the id of each job that learns them."""
    settings = desk.parts.settings
    limits = f"A ZIP or tar archive is learned file by file. Up to {settings.max_file_mb} MB a file."
    show(_INPUT.format(limits))

    async def begun(event: events.GenericEventArguments) -> None:
        await follow(event.args["job_id"])

    ui.on("uploaded", begun)
    told = {
        "address": url("uploads", collection),
        "fileBytes": settings.max_file_mb * MB,
        "bytes": settings.max_upload_mb * MB,
    }
    ui.run_javascript(_script("offer", told))


def ask_for_text(collection: str, document_id: str, tag: str, follow: Callable[[str], Awaitable[None]]) -> ui.dialog:
    """Return a dialog that takes a new text of a document; ``follow`` is called with the id of its job.

    ``tag`` is the document's as the page shows it: what was written since is not replaced.
    """
    with ui.dialog().props('aria-label="Replace the text of this document"') as dialog, ui.card().classes("form"):
        show(Markup("<h2>Replace the text of this document</h2>") + _REPLACE)
        ui.button("Keep it as it is", color=None, on_click=dialog.close).props("flat")

    async def begun(event: events.GenericEventArguments) -> None:
        dialog.close()
        await follow(event.args["job_id"])

    ui.on("replaced", begun)
    told = {"address": url("uploads", collection, "replacing"), "document": document_id, "tag": tag}
    dialog.on("show", lambda: ui.run_javascript(_script("offerReplacing", told)))
    return dialog


def make_router(host: FastAPI, sessions: Sessions) -> APIRouter:
    """Return where pages send files and texts, in the name of who is signed in."""
    router = APIRouter(include_in_schema=False)

    def sit(request: Request) -> Desk:
        return Desk(host, sessions, request.scope["state"].get("session", ""), request.state.caller)

    @router.post(f"{PATH}/{{collection}}", status_code=202)
    async def take(request: Request, collection: str, files: list[UploadFile]) -> JobRef:
        ref: JobRef = await sit(request).call(documents.upload, collection=collection, files=files)
        return ref

    @router.post(f"{PATH}/{{collection}}/replacing", status_code=202)
    async def replace(
        request: Request,
        collection: str,
        document: Annotated[str, Form()],
        tag: Annotated[str, Form()],
        text: UploadFile,
    ) -> JobRef:
        desk = sit(request)
        old: DocumentDetailOut = await desk.call(
            documents.show, collection=collection, document_id=document, contents=False
        )
        kept = {name: getattr(old, name) for name in ("id", "title", "metadata", "source", "occurred_at")}
        try:
            given = DocumentIn(**kept, text=(await text.read()).decode("utf-8"))
        except UnicodeDecodeError:
            raise InvalidInput("text", "is not in UTF-8") from None
        except ValidationError as error:
            raise InvalidInput("text", error.errors()[0]["msg"]) from None
        try:
            ref: JobRef = await desk.call(
                documents.learn, collection=collection, body=DocumentsIn(documents=[given]), if_match=tag
            )
        except PreconditionFailed:
            raise PreconditionFailed(CHANGED) from None
        return ref

    return router


def _script(function: str, told: Mapping[str, object]) -> str:
    return f"(() => {{\n{_SCRIPT}\n{function}({json.dumps(told)});\n}})()"
