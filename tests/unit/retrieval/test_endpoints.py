"""Several servers behind one generator: places, the choice among them, and breakers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from memory_graph.errors import GeneratorError, GeneratorTimeout, GeneratorUnavailable
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
    reply_events,
    reply_json,
    reply_status,
    serving,
)

TOUCHY = replace(QUICK, breaker=BreakerParams(failures=2, rest_s=10))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def _several(
    *handlers: Handler, params: ClientParams = TOUCHY, clock: Clock | None = None
) -> AsyncIterator[tuple[OpenAIGenerator, list[Server]]]:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving({CHAT: handler})) for handler in handlers]
        urls = [server.url for server in servers]
        client = OpenAIGenerator(urls, params=params, clock=clock or Clock())
        stack.push_async_callback(client.aclose)
        yield client, servers


def _counts(servers: list[Server]) -> list[int]:
    return [len(server.asked()) for server in servers]


async def _ask(client: OpenAIGenerator) -> str:
    return (await client.complete(MESSAGES, schema=None, max_tokens=8)).text


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_another_server_answers_when_one_cannot(status: int) -> None:
    async def scenario() -> None:
        async with _several(reply_status(status, {}), reply_json(completion("b"))) as (client, servers):
            assert await _ask(client) == "b"
            assert _counts(servers) == [1, 1]

    asyncio.run(scenario())


def test_another_server_streams_when_one_dies_before_its_first_text() -> None:
    dying = reply_events(chunk(""), end=b"", declared_extra=100)

    async def scenario() -> None:
        async with _several(dying, reply_events(chunk("Hi"), chunk(None, "stop"))) as (client, servers):
            pieces = [delta.text async for delta in client.stream(MESSAGES, schema=None, max_tokens=8)]
            assert "".join(pieces) == "Hi"
            assert _counts(servers) == [1, 1]

    asyncio.run(scenario())


def test_no_other_server_goes_on_with_a_stream_that_began() -> None:
    dying = reply_events(chunk("He"), end=b"", declared_extra=100)

    async def scenario() -> None:
        async with _several(dying, reply_events(chunk("Hi"), chunk(None, "stop"))) as (client, servers):
            stream = client.stream(MESSAGES, schema=None, max_tokens=8)
            assert await anext(stream) == Delta(text="He")
            with pytest.raises(GeneratorUnavailable):
                await anext(stream)
            assert _counts(servers) == [1, 0]

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_a_refusal_is_final_with_several_servers_too(status: int) -> None:
    async def scenario() -> None:
        async with _several(reply_status(status, {}), reply_json(completion("b"))) as (client, servers):
            with pytest.raises(GeneratorError):
                await _ask(client)
            assert _counts(servers) == [1, 0]

    asyncio.run(scenario())


def test_a_server_that_is_not_there_is_passed_over_and_check_says_so() -> None:
    async def scenario() -> None:
        async with serving({}) as gone:
            pass
        async with serving({CHAT: reply_json(completion("b"))}) as server:
            client = OpenAIGenerator([gone.url, server.url], params=TOUCHY)
            assert await client.count_tokens(["abc"]) == [1]
            assert await _ask(client) == "b"
            state = await client.check()
            assert (state.name, state.reachable) == ("m1", True)
            assert state.reason == f"connection refused at {gone.url}"
            await client.aclose()

    asyncio.run(scenario())


def test_calls_go_to_the_least_loaded_server_and_of_equals_to_the_first() -> None:
    async def scenario() -> None:
        release = asyncio.Event()

        async def hold(request: Request, write: Write) -> None:
            await release.wait()
            await reply_json(completion("x"))(request, write)

        async with _several(hold, hold) as (client, servers):
            calls = []
            for expected in ([1, 0], [1, 1], [2, 1], [2, 2]):
                calls.append(asyncio.create_task(_ask(client)))
                async with asyncio.timeout(5):
                    while _counts(servers) != expected:
                        await asyncio.sleep(0.005)
            release.set()
            await asyncio.gather(*calls)
            await _ask(client)
            assert _counts(servers) == [3, 2]

    asyncio.run(scenario())


def test_no_server_has_more_calls_than_it_has_places_and_others_wait_in_line() -> None:
    async def scenario() -> None:
        under_way, most = 0, 0

        async def work(request: Request, write: Write) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            await reply_json(completion("x"))(request, write)

        async with _several(work, params=replace(TOUCHY, max_calls=3)) as (client, servers):
            await asyncio.gather(*(_ask(client) for _ in range(12)))
            assert (most, _counts(servers)) == (3, [12])

    asyncio.run(scenario())


def test_waiting_for_a_place_is_part_of_the_time_and_no_fault_of_the_server() -> None:
    async def scenario() -> None:
        params = replace(QUICK, total_timeout_s=0.5, max_calls=1, breaker=BreakerParams(failures=1, rest_s=10))

        async with _several(reply_json(completion("x")), params=params) as (client, servers):

            async def drip(request: Request, write: Write) -> None:
                await reply_events(chunk("He"), end=b"", declared_extra=10**9)(request, write)
                await request.gone.wait()

            servers[0].routes[CHAT] = drip
            stream = client.stream(MESSAGES, schema=None, max_tokens=8)
            await anext(stream)  # its consumer takes its time
            with pytest.raises(GeneratorTimeout, match="to make room"):
                await _ask(client)
            assert _counts(servers) == [1]
            await stream.aclose()
            servers[0].routes[CHAT] = reply_json(completion("x"))
            assert await _ask(client) == "x"

    asyncio.run(scenario())


def test_a_server_that_fails_again_and_again_is_left_alone_and_then_tried_by_one_call() -> None:
    async def scenario() -> None:
        clock = Clock()
        async with _several(reply_status(503, {}), clock=clock) as (client, servers):
            for _ in range(2):
                with pytest.raises(GeneratorUnavailable, match="status 503"):
                    await _ask(client)
            assert _counts(servers) == [2]
            for call in (_ask(client), client.count_tokens(["a"])):
                with pytest.raises(GeneratorUnavailable, match="2 failures in a row; asked again in 10 s"):
                    await call
            assert not (await client.check()).reachable
            assert _counts(servers) == [2]

            clock.now = 10.0
            with pytest.raises(GeneratorUnavailable, match="status 503"):
                await _ask(client)  # the probe fails: the rest begins anew
            with pytest.raises(GeneratorUnavailable, match="asked again in 10 s"):
                await _ask(client)
            assert _counts(servers) == [3]

            clock.now = 20.0
            arrived, release = asyncio.Event(), asyncio.Event()

            async def recover(request: Request, write: Write) -> None:
                arrived.set()
                await release.wait()
                await reply_json(completion("back"))(request, write)

            servers[0].routes[CHAT] = recover
            probe = asyncio.create_task(_ask(client))
            await arrived.wait()
            with pytest.raises(GeneratorUnavailable, match="one call tries it now"):
                await _ask(client)
            release.set()
            assert await probe == "back"
            assert await _ask(client) == "back"
            assert _counts(servers) == [5]

    asyncio.run(scenario())


def test_time_outs_open_the_breaker_too_and_a_counted_token_does_not_close_it() -> None:
    async def scenario() -> None:
        params = replace(TOUCHY, total_timeout_s=0.2)

        async def hang(request: Request, write: Write) -> None:
            await request.gone.wait()

        async with _several(hang, params=params) as (client, servers):
            servers[0].routes["/tokenize"] = reply_json({"count": 3})
            for _ in range(2):
                assert await client.count_tokens(["a"]) == [3]
                with pytest.raises(GeneratorTimeout):
                    await _ask(client)
            with pytest.raises(GeneratorUnavailable, match=r"no answer in time.*2 failures in a row"):
                await _ask(client)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [400, 401, 429])
def test_a_server_that_refuses_or_is_busy_is_not_down(status: int) -> None:
    async def scenario() -> None:
        async with _several(reply_status(status, {})) as (client, servers):
            for _ in range(4):
                with pytest.raises(GeneratorUnavailable, match=f"status {status}"):
                    await _ask(client)
            assert _counts(servers) == [4]

    asyncio.run(scenario())


def test_those_who_wait_for_a_server_that_goes_down_go_to_another() -> None:
    async def scenario() -> None:
        dying, release = asyncio.Event(), asyncio.Event()

        async def die(request: Request, write: Write) -> None:
            await dying.wait()
            await reply_status(503, {})(request, write)

        async def work(request: Request, write: Write) -> None:
            await release.wait()
            await reply_json(completion("b"))(request, write)

        params = replace(TOUCHY, max_calls=1, breaker=BreakerParams(failures=1, rest_s=10))
        async with _several(die, work, params=params) as (client, servers):
            calls = [asyncio.create_task(_ask(client)) for _ in range(4)]  # two under way, two waiting
            async with asyncio.timeout(5):
                while _counts(servers) != [1, 1]:
                    await asyncio.sleep(0.005)
            dying.set()
            release.set()
            assert await asyncio.gather(*calls) == ["b"] * 4
            assert _counts(servers) == [1, 4]

    asyncio.run(scenario())


def test_of_several_contexts_the_smallest_counts() -> None:
    async def scenario() -> None:
        async with _several(reply_status(503, {}), reply_json(completion("b"))) as (client, servers):
            listed = {"object": "list", "data": [{"id": "m1", "max_model_len": 1024}]}
            servers[1].routes["/v1/models"] = reply_json(listed)
            assert await _ask(client) == "b"
            assert client.context_tokens == 1024

    asyncio.run(scenario())
