"""A model server that is scripted byte by byte, on a real socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from retrieval.generator import ClientParams
from retrieval.openai_client import OpenAIGenerator

KEY = "sk-very-secret"
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Who?"}]
USAGE = {"id": "1", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
QUICK = ClientParams(
    connect_timeout_s=5, total_timeout_s=5, idle_timeout_s=5, probe_timeout_s=5, retries=0, trust_env=False
)

Write = Callable[[bytes], Awaitable[None]]
Handler = Callable[["Request", Write], Awaitable[None]]


class Request:
    """What was asked; ``gone`` is set when the client closes the connection, ``reset`` breaks it off like a crash."""

    def __init__(self, head: str, body: bytes, transport: asyncio.BaseTransport) -> None:
        self.gone = asyncio.Event()
        self._transport = transport
        self.path = head.split(" ")[1]
        self.headers = dict(re.findall(r"(?m)^([\w-]+): (.*?)\r?$", head.lower()))
        self.json: dict[str, Any] = json.loads(body) if body else {}

    def reset(self) -> None:
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._transport.abort()  # type: ignore[attr-defined]


class Server:
    """Routes a path to a handler that writes the raw response; ``/v1/models`` lists one model unless told otherwise."""

    def __init__(self, routes: dict[str, Handler]) -> None:
        self.routes = {"/v1/models": reply_json({"object": "list", "data": [{"id": "m1", "max_model_len": 2048}]})}
        self.routes |= routes
        self.requests: list[Request] = []
        self.released = asyncio.Event()
        self._watches: list[asyncio.Task[None]] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            request = Request(head, await reader.readexactly(int(length[1]) if length else 0), writer.transport)
            self.requests.append(request)
            watch = asyncio.create_task(self._watch(reader, request))
            self._watches.append(watch)
            await self.routes.get(request.path, reply_status(404, {"error": {"message": "no such route"}}))(
                request, write
            )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _watch(self, reader: asyncio.StreamReader, request: Request) -> None:
        with suppress(ConnectionError):
            await reader.read()
        request.gone.set()

    def asked(self, path: str = CHAT) -> list[Request]:
        """The requests for ``path``."""
        return [request for request in self.requests if request.path == path]

    async def hang(self, request: Request, write: Write) -> None:
        await self.released.wait()


@asynccontextmanager
async def serving(routes: dict[str, Handler]) -> AsyncIterator[Server]:
    script = Server(routes)
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield script
    finally:
        script.released.set()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def asking(
    routes: dict[str, Handler], model: str = "m1", params: ClientParams = QUICK
) -> AsyncIterator[tuple[OpenAIGenerator, Server]]:
    async with serving(routes) as server:
        client = OpenAIGenerator(server.url, model=model, api_key=KEY, params=params)
        try:
            yield client, server
        finally:
            await client.aclose()


def reply_bytes(data: bytes, status: int = 200, kind: str = "application/json") -> Handler:
    async def handle(request: Request, write: Write) -> None:
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        )
        await write(head.encode() + data)

    return handle


def reply_json(value: object) -> Handler:
    return reply_bytes(json.dumps(value).encode())


def reply_status(status: int, value: object) -> Handler:
    return reply_bytes(json.dumps(value).encode(), status=status)


def reply_events(*events: object, end: bytes = b"data: [DONE]\n\n", declared_extra: int = 0) -> Handler:
    """Answer with server-sent events; ``declared_extra`` bytes are announced and never sent."""
    data = b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events) + end

    async def handle(request: Request, write: Write) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: {len(data) + declared_extra}\r\n"
        await write(head.encode() + b"Connection: close\r\n\r\n" + data)

    return handle


def completion(text: object = "{}", finish_reason: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text}}
    return {"id": "1", "choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}


def chunk(text: str | None = None, finish_reason: str | None = None) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish_reason}]}
