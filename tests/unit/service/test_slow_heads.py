"""A connection on which no head arrives is closed; one on which heads arrive is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.types import Receive, Scope, Send

from service.slow_heads import closing_after

PATIENCE_S = 30.0
ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def _run(story: Callable[[int], Awaitable[None]], seconds: float) -> None:
    config = uvicorn.Config(_app, http=closing_after(seconds), lifespan="off", log_config=None, timeout_keep_alive=60)
    server = uvicorn.Server(config)

    async def play() -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            serving = asyncio.create_task(server.serve([listening]))
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await story(int(listening.getsockname()[1]))
            finally:
                server.should_exit = True
                await serving

    asyncio.run(play())


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    while True:
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.001)  # the server does not listen yet


def test_who_sends_no_head_or_half_a_head_is_cut_off() -> None:
    async def story(port: int) -> None:
        for first in (b"", ASK[:10]):
            reader, writer = await _connect(port)
            writer.write(first)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    _run(story, 0.05)


def test_half_a_head_behind_a_whole_one_is_cut_off_too() -> None:
    async def story(port: int) -> None:
        reader, writer = await _connect(port)
        writer.write(ASK)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(ASK[:10])
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    _run(story, 2.0)
