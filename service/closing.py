"""The end of an API process as its requests see it: whoever keeps a connection or a stream open is told in time."""

from __future__ import annotations

import json
from asyncio import CancelledError, Event, Lock, Task, create_task, current_task

from fastapi.sse import format_sse_event
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import describe_shutdown

# When a client that followed something should come back: another process answers by then.
RETRY_MS = 1000


class Closing:
    """How far a process is with its end: once begun nothing new is promised, once late what runs is cut off."""

    def __init__(self) -> None:
        self._begun = Event()
        self._late = Event()

    @property
    def has_begun(self) -> bool:
        """Whether the process is about to end."""
        return self._begun.is_set()

    def begin(self) -> None:
        """Say that the process is about to end. On the event loop."""
        self._begun.set()

    def cut(self) -> None:
        """Say that what still runs has no more time. On the event loop."""
        self._begun.set()
        self._late.set()

    async def wait_begun(self) -> None:
        """Return when the end begins."""
        await self._begun.wait()

    async def wait_late(self) -> None:
        """Return when work is cut off."""
        await self._late.wait()


class Farewell:
    """Says good-bye to clients of a process that ends.

    Responses carry ``Connection: close``, so that no client sends its next request into a connection that closes. Event
    streams end with a last event of their own: those that only follow something (GET) at once, by ``closing`` with a
    time to come back (``retry``); an answer under way (POST) has the time that all requests have, and then ends with
    ``error``. Both carry a problem of the code ``shutting_down``.
    """

    def __init__(self, app: ASGIApp, closing: Closing) -> None:
        self._app = app
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stream = _Stream(send, self._closing, follows=scope["method"] == "GET")

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if self._closing.has_begun and scope["http_version"].startswith("1"):
                    headers["connection"] = "close"
                if headers.get("content-type", "").startswith("text/event-stream"):
                    stream.watch()
            await stream.send(message)

        try:
            await self._app(scope, receive, tell)
        except CancelledError:
            if not stream.was_cut_here():
                raise
        finally:
            stream.unwatch()


class _Stream:
    """One response, which can be ended from here before the app has ended it."""

    def __init__(self, send: Send, closing: Closing, *, follows: bool) -> None:
        self._send = send
        self._closing = closing
        self._follows = follows
        self._sending = Lock()
        self._ended = False
        self._cut = False
        self._request: Task[None] | None = current_task()
        self._watcher: Task[None] | None = None

    async def send(self, message: Message) -> None:
        async with self._sending:
            if self._ended:
                return
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                self._ended = True
            await self._send(message)

    def watch(self) -> None:
        self._watcher = create_task(self._end())

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    def was_cut_here(self) -> bool:
        """Whether the request was cancelled by this stream's end alone, and not by the server too."""
        return self._cut and self._request is not None and self._request.uncancel() == 0

    async def _end(self) -> None:
        await (self._closing.wait_begun() if self._follows else self._closing.wait_late())
        async with self._sending:
            if self._ended:
                return
            self._ended = True
            event = format_sse_event(
                event="closing" if self._follows else "error",
                data_str=json.dumps(describe_shutdown()),
                retry=RETRY_MS if self._follows else None,
            )
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
        if self._request is not None:
            self._cut = True
            self._request.cancel()
