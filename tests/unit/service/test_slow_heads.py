"""A connection on which no head arrives is closed; one on which heads arrive is not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.http_server import KEEP_ALIVE_S, configure

PATIENCE_S = 30.0
IDLE_S = 1
ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(IDLE_S)  # a clock of idle connections that began before rings before
        await send({"type": "websocket.send", "text": "hi"})
        await receive()
        return
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def _run(story: Callable[[int], Awaitable[None]], seconds: float, idle_s: int = 60) -> None:
    config = configure(_app, seconds)
    config.lifespan = "off"
    config.timeout_keep_alive = idle_s
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


@pytest.mark.parametrize("between", [b"", b"\r\n"], ids=["nothing", "an empty line"])
def test_a_connection_without_a_next_request_is_closed(between: bytes) -> None:
    async def story(port: int) -> None:
        reader, writer = await _connect(port)
        writer.write(ASK)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(between)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    _run(story, 60.0, idle_s=IDLE_S)


def test_empty_lines_between_requests_are_no_harm() -> None:
    async def story(port: int) -> None:
        reader, writer = await _connect(port)
        for _ in range(3):
            writer.write(b"\r\n" + ASK + b"\r\n")
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()

    _run(story, 60.0)


def test_a_kept_connection_outlives_those_of_the_usual_proxies() -> None:
    nginx_s = 60
    assert configure(_app, 1.0).timeout_keep_alive == KEEP_ALIVE_S > nginx_s


def test_what_was_upgraded_on_a_kept_connection_is_not_closed_as_idle() -> None:
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    async def story(port: int) -> None:
        reader, writer = await _connect(port)
        writer.write(ASK)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        writer.write(upgrade)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        assert await reader.readexactly(4) == b"\x81\x02hi"
        writer.close()
        await writer.wait_closed()

    _run(story, 60.0, idle_s=IDLE_S)
