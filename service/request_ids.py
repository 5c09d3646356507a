"""A name for every request: what a client and a log call it by.

``X-Request-Id`` is taken over where it is well-formed, else one is made. It is on every answer, in every problem
document as ``request_id``, and in ``request_id()`` for whoever logs.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-Id"
WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}")

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def request_id() -> str | None:
    """Return the id of the request that this code runs for, None outside of any."""
    return _current.get()


class RequestIds:
    """Names each request; the outermost middleware, so that refusals and their logs have the name too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist(HEADER)
        # Two of them are a proxy's mistake: neither can be trusted to be the one that the client knows.
        name = given[0] if len(given) == 1 and WELL_FORMED.fullmatch(given[0]) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = name
        # Never taken back: a request has a task of its own, and the handler of faults runs after this one.
        _current.set(name)

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = name
            await send(message)

        await self._app(scope, receive, named)
