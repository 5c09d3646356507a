"""Files that are dropped on a page: a native input, which keyboards and screen readers know, and where it sends to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Request, UploadFile
from markupsafe import Markup
from nicegui import events, ui

from service.api import documents
from service.dashboard.desk import Desk
from service.dashboard.frame import show
from service.dashboard.markup import ROOT, url
from service.dashboard.sessions import Sessions
from service.learning_schemas import JobRef

PATH = f"{ROOT}/uploads"

_INPUT = Markup(
    '<label class="drop"><span class="strong">Drop files here, or choose them</span>'
    '<input type="file" multiple aria-describedby="sent"><span id="sent" role="status" class="faint"></span></label>'
)
# Events of the browser alone: the bytes go over HTTP, where they are bounded, and not through the page's socket.
_SCRIPT = """
(() => {
  const label = document.querySelector('.drop');
  const input = label.querySelector('input'), sent = label.querySelector('#sent');
  const send = files => {
    if (!files.length) return;
    const form = new FormData(), request = new XMLHttpRequest();
    for (const file of files) form.append('files', file);
    request.upload.onprogress = now => sent.textContent = `Sending: ${Math.round(100 * now.loaded / now.total)} %`;
    request.onload = () => {
      let told = {};
      try { told = JSON.parse(request.responseText); } catch { told = {detail: 'The service did not take the files.'}; }
      sent.textContent = request.status < 300 ? 'Sent.' : told.detail;
      if (request.status < 300) emitEvent('uploaded', told);
      input.value = '';
    };
    request.onerror = () => sent.textContent = 'The service cannot be reached.';
    request.open('POST', ADDRESS);
    request.send(form);
  };
  input.addEventListener('change', () => send(input.files));
  label.addEventListener('dragover', drag => { drag.preventDefault(); label.classList.add('over'); });
  label.addEventListener('dragleave', () => label.classList.remove('over'));
  label.addEventListener('drop', drop => {
    drop.preventDefault();
    label.classList.remove('over');
    send(drop.dataTransfer.files);
  });
})()
"""


def offer_upload(collection: str, follow: Callable[[str], Awaitable[None]]) -> None:
    """Put the place to drop files on; ``follow`` is called with the id of the job that learns them."""
    show(_INPUT)

    async def begun(event: events.GenericEventArguments) -> None:
        await follow(event.args["job_id"])

    ui.on("uploaded", begun)
    ui.run_javascript(_SCRIPT.replace("ADDRESS", repr(url("uploads", collection))))


def make_router(host: FastAPI, sessions: Sessions) -> APIRouter:
    """Return where pages send files, in the name of who is signed in."""
    router = APIRouter(include_in_schema=False)

    @router.post(f"{PATH}/{{collection}}", status_code=202)
    async def take(request: Request, collection: str, files: list[UploadFile]) -> JobRef:
        desk = Desk(host, sessions, request.scope["state"].get("session", ""), request.state.caller)
        ref: JobRef = await desk.call(documents.upload, collection=collection, files=files)
        return ref

    return router
