"""How much the service takes on: bounds on requests in work and waiting, on their size, and on the time they take.

What is too much is refused at once, before it costs anything: a queue that grows without bound answers nobody in time.
"""

from __future__ import annotations

import logging
import re
from asyncio import FIRST_COMPLETED, Future, Task, create_task, gather, get_running_loop, timeout, wait
from collections.abc import Mapping
from contextvars import ContextVar
from threading import Event
from typing import Literal, TypeAlias

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.batching import until
from service.errors import HTTP_CODES, problem
from service.inbox import Inbox, too_large
from service.lines import Full, Line, Place
from service.settings import Settings

log = logging.getLogger(__name__)

Kind = Literal["searches", "answers", "writes"]
Lines: TypeAlias = Mapping[Kind, Line]

MB = 2**20
# Never refused, never waiting: who watches over the service must hear from it, above all when it is busy.
WATCHED = frozenset({"/healthz", "/readyz", "/metrics"})
_COLLECTION = re.compile(r"/v1/collections/([^/]+)(/search|/query)?$|/v1/collections/([^/]+)/")
_ANSWERING = ("/v1/chat/completions", "/mcp")
_place: ContextVar[Place | None] = ContextVar("place", default=None)


def make_lines(settings: Settings) -> Lines:
    """Return the lines that the settings ask for, with nobody in them."""
    return {
        "searches": Line(settings.searches_at_once, settings.searches_waiting),
        "answers": Line(settings.answers_at_once, settings.answers_waiting),
        "writes": Line(settings.writes_at_once, settings.writes_waiting),
    }


def kind_of(method: str, path: str) -> tuple[Kind | None, str]:
    """Return which line a request stands in, None for those that read rows, and the collection that it names."""
    if method in ("GET", "HEAD", "OPTIONS") or path in WATCHED:
        return None, ""
    found = _COLLECTION.match(path)
    collection = (found[1] or found[3]) if found else ""
    if found and method == "POST" and found[2]:
        return ("searches" if found[2] == "/search" else "answers"), collection
    if path.rstrip("/") in _ANSWERING:
        return "answers", collection
    return ("writes" if path.startswith("/v1/") else None), collection


def leave_line() -> None:
    """Give back the place of the request in work: from here on it costs nothing but a connection."""
    place = _place.get()
    if place is not None:
        place.leave()


class Overflow:
    """Refuses a request whose line is full, before anybody asks who sent it: ``429`` with ``Retry-After``.

    Looking a key up costs more than a refusal may: what comes in too fast would wait for that instead of in a line.
    """

    def __init__(self, app: ASGIApp, lines: Lines) -> None:
        self._app = app
        self._lines = lines

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = kind_of(scope["method"], scope["path"])[0] if scope["type"] == "http" else None
        if kind is not None:
            try:
                self._lines[kind].check()
            except Full as full:
                await _refuse(_too_many(kind, full), scope, receive, send)
                return
        await self._app(scope, receive, send)


class Admission:
    """Lets requests through to the app as long as there is room, and answers the others with a problem document.

    ``429`` with ``Retry-After`` where a line is full, ``413`` for a body that is too large, ``408`` for one that does
    not arrive, ``504`` where the answer has not begun in time. Writes have no time-out: they are done once they began.
    """

    def __init__(self, app: ASGIApp, settings: Settings, lines: Lines | None = None) -> None:
        self._app = app
        self.lines = lines if lines is not None else make_lines(settings)
        self._body_bytes = settings.max_body_mb * MB
        self._upload_bytes = settings.max_upload_mb * MB
        self._timeout_s = settings.request_timeout_s
        self._client_timeout_s = settings.client_timeout_s
        self._leftover: set[Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in WATCHED:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        uploads = headers.get("content-type", "").startswith("multipart/form-data")
        most_bytes = self._upload_bytes if uploads else self._body_bytes
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most_bytes:
            await _refuse(too_large(most_bytes), scope, receive, send)
            return
        kind, collection = kind_of(scope["method"], scope["path"])
        by = get_running_loop().time() + self._timeout_s
        inbox = Inbox(receive, most_bytes, self._client_timeout_s)
        try:
            place = self.lines[kind].enter(collection) if kind is not None else None
        except Full as full:
            assert kind is not None
            await _refuse(_too_many(kind, full), scope, receive, send)
            return
        goes_on = False
        try:
            if place is not None and not place.ready.done() and not await _wait(place, inbox, by):
                if inbox.refusal is not None:
                    await _refuse(inbox.refusal, scope, receive, send)
                elif get_running_loop().time() >= by:
                    await _refuse(_too_late(self._timeout_s), scope, receive, send)
                return  # else the client is gone
            goes_on = await self._serve(scope, inbox, send, place, by if kind != "writes" else None)
        finally:
            inbox.close()
            if place is not None and not goes_on:
                place.leave()

    async def _serve(self, scope: Scope, inbox: Inbox, send: Send, place: Place | None, by: float | None) -> bool:
        """Let the app answer, by then; return whether it goes on with work that nobody waits for any more."""
        started = False
        over = False  # the client was told otherwise, or is told no more
        expired: Future[None] = get_running_loop().create_future()
        timer = get_running_loop().call_at(by, expired.set_result, None) if by is not None else None

        async def answer(message: Message) -> None:
            nonlocal started, over
            if over:
                raise OSError("nobody waits for this answer any more")
            if inbox.refusal is not None and not started:
                return
            if not started:
                started = True
                if timer is not None:
                    timer.cancel()
            # A client that reads nothing does not hold what it was given a place for.
            try:
                async with timeout(self._client_timeout_s):
                    await send(message)
            except TimeoutError:
                over = True
                inbox.hang_up()
                raise OSError("the client reads too slowly") from None

        abandoned = Event()

        async def take() -> Message:
            message = await inbox()
            if inbox.whole:
                inbox.watch().add_done_callback(lambda _: abandoned.set())
            return message

        token = _place.set(place)
        with until(abandoned):
            work: Task[None] = create_task(self._run(scope, take, answer))
        _place.reset(token)
        try:
            await wait({work, expired}, return_when=FIRST_COMPLETED)
            if not work.done():
                over = True
                abandoned.set()
                inbox.hang_up()
                self._hold(work, place)
                await _refuse(_too_late(self._timeout_s), scope, inbox, send)
                return True
            error = work.exception()
            if inbox.refusal is not None and not started:
                await _refuse(inbox.refusal, scope, inbox, send)
            elif error is not None and not over:
                raise error
            return False
        finally:
            if timer is not None:
                timer.cancel()
            if not work.done() and not over:  # the server stops
                work.cancel()
                await gather(work, return_exceptions=True)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _hold(self, work: Task[None], place: Place | None) -> None:
        """Give the place back when the work ends: a thread cannot be stopped, and takes its part of the machine.

        Work is not cancelled, which would leave its threads behind unseen: it is told that its client has gone.
        """
        self._leftover.add(work)

        def end(done: Task[None]) -> None:
            self._leftover.discard(done)
            if place is not None:
                place.leave()
            if not done.cancelled() and done.exception() is not None:
                log.debug("work that nobody waited for ended with %r", done.exception())

        work.add_done_callback(end)


async def _wait(place: Place, inbox: Inbox, by: float) -> bool:
    """Wait for a place; False where the client hung up, sent what is refused, or waited too long."""
    gone = create_task(inbox.read_ahead())
    try:
        left = max(0.0, by - get_running_loop().time())
        await wait({place.ready, gone}, timeout=left, return_when=FIRST_COMPLETED)
        return place.ready.done()
    finally:
        gone.cancel()
        await gather(gone, return_exceptions=True)


def _too_many(kind: Kind, full: Full) -> HTTPException:
    detail = f"too many {kind} at once; try again in {full.retry_after_s} s"
    return HTTPException(429, detail, {"Retry-After": str(full.retry_after_s)})


def _too_late(seconds: float) -> HTTPException:
    return HTTPException(504, f"no answer within {seconds:g} s; what was under way was dropped")


async def _refuse(error: HTTPException, scope: Scope, receive: Receive, send: Send) -> None:
    response = problem(error.status_code, HTTP_CODES[error.status_code], str(error.detail))
    response.headers.update(error.headers or {})
    if error.status_code in (408, 413):
        response.headers["Connection"] = "close"  # the rest of the body is not waited for
    await response(scope, receive, send)
