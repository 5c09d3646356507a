"""Which failures are tried again, after how long, and what a consumer who goes away leaves behind."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from memory_graph.errors import GeneratorTimeout, GeneratorUnavailable
from retrieval.breaker import BreakerParams
from retrieval.generator import ClientParams, Delta
from retrieval.openai_client import OpenAIGenerator
from tests.unit.model_server import (
    CHAT,
    MESSAGES,
    QUICK,
    Handler,
    Request,
    Server,
    Write,
    chunk,
    completion,
    reply_bytes,
    reply_events,
    reply_json,
    reply_status,
    serving,
)

PATIENT = replace(QUICK, retries=2, breaker=BreakerParams(failures=0))


class Pauses:
    """Notes how long the client means to wait, and does not."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def _client(server: Server, pauses: Pauses, params: ClientParams = PATIENT) -> OpenAIGenerator:
    return OpenAIGenerator(server.url, model="m1", params=params, pause=pauses)


def _then(*handlers: Handler) -> Handler:
    """Answer with one handler after the other, the last one from then on."""
    left = list(handlers)

    async def handle(request: Request, write: Write) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, write)

    return handle


async def _reset(request: Request, write: Write) -> None:
    request.reset()


async def _close(request: Request, write: Write) -> None:
    pass


def _too_many(retry_after: str) -> Handler:
    async def handle(request: Request, write: Write) -> None:
        await write(f"HTTP/1.1 429 X\r\nRetry-After: {retry_after}\r\nContent-Length: 0\r\n\r\n".encode())

    return handle


@pytest.mark.parametrize(
    "failing",
    [*(reply_status(status, {}) for status in (429, 502, 503, 504)), _reset, _close],
    ids=["429", "502", "503", "504", "reset", "closed"],
)
def test_a_named_failure_is_tried_again_until_it_passes(failing: Handler) -> None:
    async def scenario() -> None:
        pauses = Pauses()
        async with serving({CHAT: _then(failing, failing, reply_json(completion("now")))}) as server:
            client = _client(server, pauses)
            assert (await client.complete(MESSAGES, schema=None, max_tokens=8)).text == "now"
            assert len(server.asked()) == 3
            first, second = pauses.seconds
            assert 0.125 <= first <= 0.25 <= second <= 0.5
            await client.aclose()

    asyncio.run(scenario())


def test_it_ends_after_so_many_tries_with_the_last_reason() -> None:
    async def scenario() -> None:
        pauses = Pauses()
        async with serving({CHAT: reply_status(503, {})}) as server:
            client = _client(server, pauses)
            with pytest.raises(GeneratorUnavailable, match="status 503"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            assert len(server.asked()) == 3
            await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_another_status_is_final(status: int) -> None:
    async def scenario() -> None:
        pauses = Pauses()
        async with serving({CHAT: reply_status(status, {})}) as server:
            client = _client(server, pauses)
            with pytest.raises(GeneratorUnavailable, match=f"status {status}"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            assert (len(server.asked()), pauses.seconds) == (1, [])
            await client.aclose()

    asyncio.run(scenario())


def test_a_reply_out_of_form_is_final() -> None:
    async def scenario() -> None:
        pauses = Pauses()
        async with serving({CHAT: reply_bytes(b"{garbage")}) as server:
            client = _client(server, pauses)
            with pytest.raises(Exception, match="not JSON"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            assert len(server.asked()) == 1
            await client.aclose()

    asyncio.run(scenario())


def test_retry_after_is_waited_for_and_a_little_longer() -> None:
    async def scenario() -> None:
        pauses = Pauses()
        async with serving({CHAT: _then(_too_many("3"), reply_json(completion("now")))}) as server:
            client = _client(server, pauses)
            assert (await client.complete(MESSAGES, schema=None, max_tokens=8)).text == "now"
            (waited,) = pauses.seconds
            assert 3.0 <= waited <= 3.3
            await client.aclose()

    asyncio.run(scenario())


def test_a_retry_after_beyond_the_time_for_the_call_is_not_waited_for() -> None:
    async def scenario() -> None:
        pauses = Pauses()
        async with serving({CHAT: _too_many("6")}) as server:  # of 5 s
            client = _client(server, pauses)
            with pytest.raises(GeneratorUnavailable, match="status 429"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            assert (len(server.asked()), pauses.seconds) == (1, [])
            await client.aclose()

    asyncio.run(scenario())


def test_a_stream_that_breaks_before_its_first_text_is_tried_again_and_after_it_is_not() -> None:
    async def scenario() -> None:
        pauses = Pauses()
        silent = reply_events(chunk(""), end=b"", declared_extra=100)  # the role, as servers send it at once
        broken = reply_events(chunk("He"), end=b"", declared_extra=100)
        async with serving({CHAT: _then(silent, broken)}) as server:
            client = _client(server, pauses)
            stream = client.stream(MESSAGES, schema=None, max_tokens=8)
            assert await anext(stream) == Delta(text="He")
            assert len(server.asked()) == 2
            with pytest.raises(GeneratorUnavailable, match="connection closed"):
                await anext(stream)
            assert len(server.asked()) == 2
            await client.aclose()

    asyncio.run(scenario())


def test_a_server_killed_in_the_middle_of_a_stream_is_said_and_not_asked_again() -> None:
    async def scenario() -> None:
        read = asyncio.Event()

        async def begin_and_die(request: Request, write: Write) -> None:
            await reply_events(chunk("He"), end=b"", declared_extra=1000)(request, write)
            await read.wait()
            request.reset()

        async with serving({CHAT: begin_and_die}) as server:
            client = _client(server, Pauses())
            stream = client.stream(MESSAGES, schema=None, max_tokens=8)
            assert await anext(stream) == Delta(text="He")
            read.set()
            with pytest.raises(GeneratorUnavailable, match="connection"):
                await anext(stream)
            assert len(server.asked()) == 1
            await client.aclose()

    asyncio.run(scenario())


def test_closing_a_stream_closes_the_connection() -> None:
    async def scenario() -> None:
        async with serving({}) as server:

            async def go_on(request: Request, write: Write) -> None:
                await reply_events(chunk("He"), end=b"", declared_extra=10**9)(request, write)
                await request.gone.wait()

            server.routes[CHAT] = go_on
            client = _client(server, Pauses(), replace(PATIENT, max_calls=1))
            stream = client.stream(MESSAGES, schema=None, max_tokens=8)
            await anext(stream)
            await stream.aclose()
            async with asyncio.timeout(5):
                await server.asked()[0].gone.wait()
            server.routes[CHAT] = reply_json(completion("free"))  # the only place is free again
            assert (await client.complete(MESSAGES, schema=None, max_tokens=8)).text == "free"
            await client.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("streaming", [True, False])
def test_a_cancelled_call_closes_the_connection(streaming: bool) -> None:
    async def scenario() -> None:
        async with serving({}) as server:
            arrived = asyncio.Event()

            async def hang(request: Request, write: Write) -> None:
                arrived.set()
                await request.gone.wait()

            server.routes[CHAT] = hang
            client = _client(server, Pauses(), replace(PATIENT, max_calls=1))
            call = (
                anext(client.stream(MESSAGES, schema=None, max_tokens=8))
                if streaming
                else client.complete(MESSAGES, schema=None, max_tokens=8)
            )
            task = asyncio.ensure_future(call)
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(5):
                await server.asked()[0].gone.wait()
            server.routes[CHAT] = reply_json(completion("free"))
            assert (await client.complete(MESSAGES, schema=None, max_tokens=8)).text == "free"
            await client.aclose()

    asyncio.run(scenario())


def test_a_call_that_takes_too_long_closes_the_connection_and_is_not_tried_again() -> None:
    async def scenario() -> None:
        async with serving({}) as server:

            async def hang(request: Request, write: Write) -> None:
                await request.gone.wait()

            server.routes[CHAT] = hang
            client = _client(server, Pauses(), replace(PATIENT, total_timeout_s=0.3))
            with pytest.raises(GeneratorTimeout, match="no answer in time"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            async with asyncio.timeout(5):
                await server.asked()[0].gone.wait()
            assert len(server.asked()) == 1
            await client.aclose()

    asyncio.run(scenario())
