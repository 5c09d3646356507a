"""The client against a server that is scripted byte by byte, on a real socket."""

from __future__ import annotations

import asyncio
import math
import re
from typing import Any

import pytest

from memory_graph.errors import GeneratorOutputInvalid, GeneratorPromptTooLong, GeneratorTimeout, GeneratorUnavailable
from memory_graph.types import Usage
from retrieval.endpoints import conceal_credentials
from retrieval.generator import ClientParams, Delta, estimate_tokens
from retrieval.openai_client import OpenAIGenerator
from tests.unit.model_server import (
    CHAT,
    KEY,
    MESSAGES,
    QUICK,
    USAGE,
    Handler,
    Request,
    Write,
    asking,
    chunk,
    completion,
    reply_bytes,
    reply_events,
    reply_json,
    reply_status,
    serving,
)

SCHEMA = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
IMPATIENT = ClientParams(
    connect_timeout_s=1, total_timeout_s=0.2, idle_timeout_s=0.2, probe_timeout_s=0.2, retries=0, trust_env=False
)


async def collect(generator: OpenAIGenerator, schema: dict[str, Any] | None = None) -> list[Delta]:
    return [delta async for delta in generator.stream(MESSAGES, schema=schema, max_tokens=8)]


def test_a_reply_comes_with_its_usage_and_the_request_follows_the_contract() -> None:
    async def scenario() -> None:
        async with asking({CHAT: reply_json(completion('{"a": 1}'))}) as (client, server):
            reply = await client.complete(MESSAGES, schema=SCHEMA, max_tokens=8)
            assert (reply.text, reply.finish_reason) == ('{"a": 1}', "stop")
            assert reply.usage == Usage(prompt_tokens=7, completion_tokens=2, calls=1)
            request = server.requests[-1]
            assert request.headers["authorization"] == f"bearer {KEY}"
            assert request.json["temperature"] == 0
            assert request.json["max_tokens"] == 8
            assert request.json["response_format"]["json_schema"]["strict"] is True
            assert request.json["response_format"]["json_schema"]["schema"] == SCHEMA

    asyncio.run(scenario())


def test_without_a_model_the_first_listed_one_is_taken_and_asked_for_once() -> None:
    async def scenario() -> None:
        async with asking({CHAT: reply_json(completion())}, model="") as (client, server):
            for _ in range(2):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            assert (client.name, client.context_tokens) == ("m1", 2048)
            assert [request.path for request in server.requests] == ["/v1/models", CHAT, CHAT]
            assert server.requests[-1].json["model"] == "m1"

    asyncio.run(scenario())


def test_a_named_model_needs_no_list_and_an_unnamed_one_does() -> None:
    async def scenario() -> None:
        routes = {"/v1/models": reply_status(404, {}), CHAT: reply_json(completion("yes"))}
        async with asking(routes, model="mine") as (client, _):
            assert (await client.complete(MESSAGES, schema=None, max_tokens=8)).text == "yes"
        async with asking(routes, model="") as (client, _):
            with pytest.raises(GeneratorUnavailable, match="lists no model"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 5}, 5),
        ({"cached_tokens": 8}, 0),  # more than the prompt has
        ({"cached_tokens": -1}, 0),
        ({"cached_tokens": "many"}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_cached_tokens_are_told_where_they_can_be(details: dict[str, Any] | None, cached: int) -> None:
    async def scenario() -> None:
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": details}
        events = reply_events(chunk("Hello", "stop"), {"id": "1", "choices": [], "usage": usage})
        async with asking({CHAT: events}) as (client, server):
            expected = Usage(prompt_tokens=7, cached_tokens=cached, completion_tokens=2, calls=1)
            assert (await collect(client))[-1].usage == expected
            server.routes[CHAT] = reply_json(completion() | {"usage": usage})
            assert (await client.complete(MESSAGES, schema=None, max_tokens=8)).usage == expected

    asyncio.run(scenario())


def test_a_stream_yields_its_pieces_and_ends_with_the_usage() -> None:
    async def scenario() -> None:
        events = reply_events(chunk("He"), chunk("llo"), chunk(None, "stop"), USAGE)
        async with asking({CHAT: events}) as (client, _):
            assert await collect(client) == [
                Delta(text="He"),
                Delta(text="llo"),
                Delta(usage=Usage(prompt_tokens=7, completion_tokens=2, calls=1), finish_reason="stop"),
            ]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("handler", "error", "words"),
    [
        (reply_status(500, {"error": {"message": "engine died"}}), GeneratorUnavailable, "status 500.*engine died"),
        (reply_status(429, {"error": {"message": "slow down"}}), GeneratorUnavailable, "status 429"),
        (reply_status(400, {"error": {"message": f"bad {KEY}"}}), GeneratorUnavailable, "status 400"),
        (
            reply_status(400, {"error": {"message": "This model's maximum context length is 9 tokens. You asked 10."}}),
            GeneratorPromptTooLong,
            "too long.*maximum context length is 9",
        ),
        (
            reply_status(400, {"error": {"message": "too big", "type": "exceed_context_size_error"}}),
            GeneratorPromptTooLong,
            "too long",
        ),
        (reply_status(401, {"error": {"message": f"bad key {KEY}"}}), GeneratorUnavailable, "key was refused"),
        (reply_bytes(b"{garbage"), GeneratorOutputInvalid, "not JSON"),
        (reply_bytes(b"<html>hello", kind="text/html"), GeneratorOutputInvalid, "no choices"),
        (reply_json({"choices": []}), GeneratorOutputInvalid, "no choices"),
        (reply_json([1, 2]), GeneratorOutputInvalid, "no choices"),
        (reply_json(completion("{", finish_reason="length")), GeneratorOutputInvalid, "token limit"),
        (reply_bytes(b""), GeneratorOutputInvalid, "not JSON"),
    ],
)
def test_each_failure_has_its_name_and_none_tells_the_key(handler: Handler, error: type[Exception], words: str) -> None:
    async def scenario() -> None:
        async with asking({CHAT: handler}) as (client, _):
            with pytest.raises(error, match=words) as caught:
                await client.complete(MESSAGES, schema=SCHEMA, max_tokens=8)
            assert KEY not in str(caught.value)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("handler", "error", "words"),
    [
        (reply_status(503, {}), GeneratorUnavailable, "status 503"),
        (reply_events(chunk("He"), end=b"", declared_extra=100), GeneratorUnavailable, "connection"),
        (reply_events(chunk("He"), end=b""), GeneratorUnavailable, "ended before"),
        (reply_events(chunk("He"), b"{garbage"), GeneratorOutputInvalid, "not JSON"),
        (reply_events(chunk("He"), {"error": {"message": f"out of {KEY}"}}), GeneratorUnavailable, "failure"),
        (reply_events(chunk("He"), chunk(None, "length")), GeneratorOutputInvalid, "token limit"),
        (reply_json(completion("Hello")), GeneratorUnavailable, "ended before"),
    ],
)
def test_a_stream_that_breaks_raises_by_name(handler: Handler, error: type[Exception], words: str) -> None:
    async def scenario() -> None:
        async with asking({CHAT: handler}) as (client, _):
            with pytest.raises(error, match=words) as caught:
                await collect(client, SCHEMA)
            assert KEY not in str(caught.value)

    asyncio.run(scenario())


def test_a_reply_cut_at_the_limit_is_kept_where_no_form_was_agreed() -> None:
    async def scenario() -> None:
        async with asking({CHAT: reply_json(completion("Once upon", finish_reason="length"))}) as (client, _):
            reply = await client.complete(MESSAGES, schema=None, max_tokens=2)
            assert (reply.text, reply.finish_reason) == ("Once upon", "length")

    asyncio.run(scenario())


def test_a_reply_that_was_cut_tells_what_it_cost() -> None:
    async def scenario() -> None:
        async with asking({CHAT: reply_json(completion('{"answer": "Qu', finish_reason="length"))}) as (client, _):
            with pytest.raises(GeneratorOutputInvalid, match="cut at the token limit") as cut:
                await client.complete(MESSAGES, schema=SCHEMA, max_tokens=2)
            assert cut.value.usage == Usage(prompt_tokens=7, completion_tokens=2, calls=1)

    asyncio.run(scenario())


def test_a_server_that_accepts_and_says_nothing_is_a_timeout() -> None:
    async def scenario() -> None:
        async with serving({}) as server:
            server.routes |= {"/v1/models": server.hang, CHAT: server.hang}
            client = OpenAIGenerator(server.url, model="m1", params=IMPATIENT)
            with pytest.raises(GeneratorTimeout, match="no answer in time"):
                await client.complete(MESSAGES, schema=None, max_tokens=8)
            with pytest.raises(GeneratorTimeout):
                await collect(client)
            state = await client.check()
            assert not state.reachable
            assert "no answer in time" in (state.reason or "")
            await client.aclose()

    asyncio.run(scenario())


def test_a_stream_that_falls_silent_or_only_pings_is_a_timeout() -> None:
    async def scenario() -> None:
        async with serving({}) as server:

            async def fall_silent(request: Request, write: Write) -> None:
                await reply_events(chunk("He"), end=b"", declared_extra=1000)(request, write)
                await server.released.wait()

            async def ping(request: Request, write: Write) -> None:
                await reply_events(chunk("He"), end=b"", declared_extra=10**9)(request, write)
                while not server.released.is_set():
                    await write(b": still here\n\n")
                    await asyncio.sleep(0.01)

            client = OpenAIGenerator(server.url, model="m1", params=IMPATIENT)
            for handler in (fall_silent, ping):
                server.routes[CHAT] = handler
                stream = client.stream(MESSAGES, schema=None, max_tokens=8)
                assert await anext(stream) == Delta(text="He")
                with pytest.raises(GeneratorTimeout):
                    await anext(stream)
            await client.aclose()

    asyncio.run(scenario())


def test_a_slow_first_byte_within_the_limits_is_waited_for() -> None:
    async def scenario() -> None:
        async with serving({}) as server:
            asked = asyncio.Event()

            async def wait(request: Request, write: Write) -> None:
                asked.set()
                await server.released.wait()
                await reply_json(completion("late"))(request, write)

            server.routes[CHAT] = wait
            client = OpenAIGenerator(server.url, model="m1", params=QUICK)
            pending = asyncio.create_task(client.complete(MESSAGES, schema=None, max_tokens=8))
            await asked.wait()
            assert not pending.done()
            server.released.set()
            assert (await pending).text == "late"
            await client.aclose()

    asyncio.run(scenario())


def test_a_refused_connection_says_so_and_hides_credentials() -> None:
    async def scenario() -> None:
        async with serving({}) as server:
            url = server.url
        client = OpenAIGenerator(url.replace("http://", "http://user:hidden@"), model="m1", params=QUICK)
        with pytest.raises(GeneratorUnavailable, match=f"^connection refused at {re.escape(url)}$"):
            await client.complete(MESSAGES, schema=None, max_tokens=8)
        state = await client.check()
        assert (state.name, state.reachable, state.reason) == ("m1", False, f"connection refused at {url}")
        await client.aclose()

    asyncio.run(scenario())


def test_check_recovers_when_the_server_does() -> None:
    async def scenario() -> None:
        async with asking({}, model="") as (client, server):
            good = server.routes["/v1/models"]
            server.routes["/v1/models"] = reply_status(503, {})
            assert not (await client.check()).reachable
            server.routes["/v1/models"] = good
            state = await client.check()
            assert (state.name, state.reachable, state.reason) == ("m1", True, None)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (reply_json({"count": 42, "tokens": [1]}), [42, 42]),
        (reply_json({"tokens": [1, 2, 3]}), [3, 3]),
        (reply_json({"surprise": True}), [1, 2]),
        (reply_status(404, {}), [1, 2]),
    ],
)
def test_tokens_are_counted_by_the_server_or_estimated(handler: Handler, expected: list[int]) -> None:
    async def scenario() -> None:
        async with asking({"/tokenize": handler}) as (client, _):
            assert await client.count_tokens(["abc", "abcd"]) == expected

    asyncio.run(scenario())


def test_a_server_without_a_tokenizer_is_asked_once() -> None:
    async def scenario() -> None:
        async with asking({}) as (client, server):
            await client.count_tokens(["a"])
            await client.count_tokens(["b"])
            assert [request.path for request in server.requests].count("/tokenize") == 1

    asyncio.run(scenario())


def test_an_estimate_is_a_third_of_the_bytes() -> None:
    assert [estimate_tokens(text) for text in ("", "abc", "abcd", "日本語")] == [0, 1, 2, 3]


def test_addresses_are_shown_without_credentials() -> None:
    assert conceal_credentials("https://u:p@host:8000/v1?key=x#y") == "https://host:8000/v1"


def _tokens(**logprobs: float) -> dict[str, Any]:
    likeliest = [{"token": token.replace("_", " "), "logprob": value} for token, value in logprobs.items()]
    first = {"token": "x", "logprob": -1.0, "top_logprobs": likeliest}
    return {"logprobs": {"content": [first]}}


def _choice(**more: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "x"}, **more}


def test_labels_are_weighed_by_the_tokens_that_begin_them() -> None:
    half = math.log(0.5)
    found = _tokens(Yes=half, _y=half - math.log(2), No=half - math.log(2), Maybe=-0.1)
    choice = {"choices": [_choice(**found)], "usage": {"prompt_tokens": 7, "completion_tokens": 1}}

    async def run() -> None:
        async with asking({"/v1/chat/completions": reply_json(choice)}) as (client, server):
            weighed = await client.weigh(MESSAGES, ["yes", "no"])
            assert weighed.probabilities == pytest.approx({"yes": 0.75, "no": 0.25})
            assert weighed.usage == Usage(prompt_tokens=7, completion_tokens=1, calls=1)
            sent = server.requests[-1].json
            assert (sent["max_tokens"], sent["logprobs"], sent["temperature"]) == (1, True, 0)

    asyncio.run(run())


@pytest.mark.parametrize(
    "choice",
    [
        _choice(),
        _choice(logprobs=None),
        _choice(logprobs={"content": []}),
        _choice(logprobs={"content": [{"token": "yes", "logprob": "high", "top_logprobs": "none"}]}),
        _choice(logprobs={"content": [{"top_logprobs": [{"token": "yes", "logprob": "high"}]}]}),
        _choice(**_tokens(Perhaps=-0.1)),
        _choice(**_tokens(_=-0.1)),
    ],
)
def test_labels_without_probabilities_are_an_invalid_reply(choice: dict[str, Any]) -> None:
    async def run() -> None:
        async with asking({"/v1/chat/completions": reply_json({"choices": [choice]})}) as (client, _):
            with pytest.raises(GeneratorOutputInvalid, match="gave no probability of yes, no"):
                await client.weigh(MESSAGES, ["yes", "no"])

    asyncio.run(run())


def test_what_begins_two_labels_counts_for_neither() -> None:
    async def run() -> None:
        choice = _choice(**_tokens(no=-0.1, none=-3.0))
        async with asking({"/v1/chat/completions": reply_json({"choices": [choice]})}) as (client, _):
            weighed = await client.weigh(MESSAGES, ["none", "notably"])
            assert weighed.probabilities == {"none": 1.0, "notably": 0.0}

    asyncio.run(run())


def test_replies_are_drawn_with_temperature_and_seed() -> None:
    async def run() -> None:
        reply = {"choices": [_choice()]}
        async with asking({"/v1/chat/completions": reply_json(reply)}) as (client, server):
            await client.complete(MESSAGES, schema=None, max_tokens=5, temperature=0.7, seed=3)
            await client.complete(MESSAGES, schema=None, max_tokens=5)
            first, second = (request.json for request in server.requests[-2:])
            assert (first["temperature"], first["seed"]) == (0.7, 3)
            assert second["temperature"] == 0
            assert "seed" not in second

    asyncio.run(run())
