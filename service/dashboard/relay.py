"""The dashboard in a service of several processes: one has the pages, and the others pass on what comes for them.

A page keeps its state in the process that made it, and its socket may come to any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import httpx
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Origin, Subprotocol

from service.errors import problem

# Of one connection (RFC 9110, 7.6.1), and what the other end says anew.
_OF_ONE_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OF_A_HANDSHAKE = "sec-websocket-"
_REFUSED = 403


class Relay:
    """Passes requests and sockets on to the process that listens on a Unix socket, which looks who asks.

    Where it does not answer, as while it is being replaced: ``503``; pages try again by themselves.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        # Nothing is kept open: connecting costs nothing here, and who keeps connections must close them at the end.
        unkept = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=path, limits=unkept), timeout=None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass_on = self._pass_request if scope["type"] == "http" else self._pass_socket
        await pass_on(scope, receive, send)

    async def _pass_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        has_body = "content-length" in headers or "transfer-encoding" in headers
        request = httpx.Request(
            scope["method"],
            f"http://{headers.get('host', 'localhost')}{_target(scope)}",
            headers=_kept(headers),
            content=_body(receive) if has_body else None,
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TransportError:
            await problem(503, "shutting_down", "the process with the dashboard ended; ask again")(scope, receive, send)
            return
        async with aclosing(answer):
            told = [(name, value) for name, value in answer.headers.raw if name.lower().decode() not in _OF_ONE_HOP]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": told})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _pass_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the client's wish to connect
        headers = Headers(scope=scope)
        try:
            there = await unix_connect(
                self._path,
                f"ws://{headers.get('host', 'localhost')}{_target(scope)}",
                origin=Origin(headers["origin"]) if "origin" in headers else None,
                subprotocols=[Subprotocol(one) for one in scope["subprotocols"]] or None,
                additional_headers=[
                    (name, value)
                    for name, value in _kept(headers)
                    if name not in ("host", "origin") and not name.startswith(_OF_A_HANDSHAKE)
                ],
                user_agent_header=None,
                compression=None,
                max_size=None,
                proxy=None,
            )
        except (OSError, InvalidHandshake):
            await send({"type": "websocket.close", "code": _REFUSED})
            return
        async with there:
            await send({"type": "websocket.accept", "subprotocol": there.subprotocol})
            ways = {asyncio.create_task(_upstream(receive, there)), asyncio.create_task(_downstream(there, send))}
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


async def _upstream(receive: Receive, there: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            await there.send(text if text is not None else message["bytes"])


async def _downstream(there: ClientConnection, send: Send) -> None:
    with suppress(ConnectionClosed):  # with a code that says more than that it is over
        async for piece in there:
            kind = "text" if isinstance(piece, str) else "bytes"
            await send({"type": "websocket.send", kind: piece})
    await send({"type": "websocket.close", "code": there.close_code or 1000})


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            raise httpx.WriteError("the client went away")
        yield message.get("body", b"")
        more = message.get("more_body", False)


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode("latin-1")
    return str(scope["raw_path"].decode("latin-1")) + (f"?{query}" if query else "")


def _kept(headers: Headers) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in _OF_ONE_HOP]
