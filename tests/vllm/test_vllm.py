"""The client, and answers made with it, against a real vLLM; the last test kills the server and starts it again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from memory_graph.errors import GeneratorPromptTooLong, GeneratorUnavailable
from memory_graph.types import Hit
from retrieval.answer import AnswerParams, answer
from retrieval.breaker import BreakerParams
from retrieval.generator import ClientParams, Delta
from retrieval.openai_client import OpenAIGenerator
from retrieval.prompts import answer_messages, answer_schema
from service.settings import Settings
from service.wiring import open_generator
from tests.vllm.conftest import PATIENT
from tests.vllm.server import FIGURES, VLLM, free_port

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

HITS = [
    Hit(passage_id=n, document_id=f"d{n}", title=title, text=text, score=1.0 / n, rank=n)
    for n, (title, text) in enumerate(
        [
            ("Quellmar", "Quellmar is a town on the river Osk. It is known for its blue glass."),
            ("Ida Brandt", "Ida Brandt has been the mayor of Quellmar since 2011. She was born in Tolm."),
            ("Osk", "The Osk is a river of 212 kilometres. It freezes in hard winters."),
        ],
        start=1,
    )
]
BLOCK = 128  # tokens in a block of vLLM's cache on a CPU; 16 on a GPU
QUESTION_TOKENS = 30  # of a question and what a chat template puts around it, at most
LONG_REPLY = [{"role": "user", "content": "Count from 1 to 1000, one number a line. Write every number."}]


@asynccontextmanager
async def client_of(server: VLLM, params: ClientParams = PATIENT) -> AsyncIterator[OpenAIGenerator]:
    client = OpenAIGenerator(server.url, params=params)
    try:
        yield client
    finally:
        await client.aclose()


async def until(look: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(look):
            await asyncio.sleep(0.05)


def ask_for(word: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Reply with exactly this one word and nothing else: {word}"}]


def test_chat_streams_what_it_replies_whole_and_both_count_tokens(server: VLLM) -> None:
    async def scenario() -> None:
        async with client_of(server) as client:
            reply = await client.complete(ask_for("harbour"), schema=None, max_tokens=12)
            assert (client.name, client.context_tokens) == ("qwen2.5-coder-0.5b-instruct", 2048)
            assert reply.text.strip()
            deltas = [delta async for delta in client.stream(ask_for("harbour"), schema=None, max_tokens=12)]
            assert "".join(delta.text for delta in deltas) == reply.text
            assert deltas[-1].finish_reason == reply.finish_reason == "stop"
            assert deltas[-1].usage is not None
            assert deltas[-1].usage.prompt_tokens == reply.usage.prompt_tokens > 0
            assert deltas[-1].usage.completion_tokens == reply.usage.completion_tokens > 0
            assert await client.count_tokens(["hello there"]) == [2]  # the server's tokenizer; the estimate is 4

    asyncio.run(scenario())


def test_a_reply_keeps_to_its_schema(server: VLLM) -> None:
    async def scenario() -> None:
        async with client_of(server) as client:
            messages = answer_messages("Who is the mayor of the town known for its glass?", HITS)
            reply = await client.complete(messages, schema=answer_schema(len(HITS)), max_tokens=160)
            value = json.loads(reply.text)
            assert set(value) == {"answer", "passages"}
            assert len(value["answer"]) <= 200
            assert len(value["passages"]) <= 3
            assert all(1 <= number <= len(HITS) for number in value["passages"])

    asyncio.run(scenario())


def test_a_question_is_answered_from_its_passages(server: VLLM) -> None:
    async def scenario() -> None:
        async with client_of(server) as client:
            made = await answer("Who is the mayor of Quellmar?", HITS, client, AnswerParams())
            assert made.fallback_reason is None
            assert "Brandt" in made.text
            assert made.citations[0].title == "Ida Brandt"

    asyncio.run(scenario())


@pytest.mark.parametrize("likely", ["yes", "no"])
def test_labels_are_weighed_by_log_probabilities(server: VLLM, likely: str) -> None:
    async def scenario() -> None:
        async with client_of(server) as client:
            weighed = await client.weigh(ask_for(likely), ["yes", "no"])
            assert sum(weighed.probabilities.values()) == pytest.approx(1.0)
            assert weighed.probabilities[likely] > 0.5
            assert weighed.usage.completion_tokens == 1

    asyncio.run(scenario())


def test_many_at_once_are_answered_as_each_alone(server: VLLM) -> None:
    words = ["harbour", "glass", "mayor", "river", "winter", "town", "bridge", "charter"]

    async def scenario() -> None:
        async with client_of(server, replace(PATIENT, max_calls=4)) as client:

            async def reply(word: str) -> str:
                return (await client.complete(ask_for(word), schema=None, max_tokens=8)).text

            together = await asyncio.gather(*map(reply, words))
            assert together == [await reply(word) for word in words]

    asyncio.run(scenario())


def test_closing_a_stream_makes_the_server_stop_writing(server: VLLM) -> None:
    async def scenario() -> None:
        async with client_of(server) as client:
            stream = client.stream(LONG_REPLY, schema=None, max_tokens=1500)
            assert (await anext(stream)).text
            assert server.metric("num_requests_running") == 1
            await stream.aclose()
            await until(lambda: server.metric("num_requests_running") == 0, "the abort")

    asyncio.run(scenario())


def test_cancelling_a_call_makes_the_server_stop_writing(server: VLLM) -> None:
    async def scenario() -> None:
        async with client_of(server) as client:
            call = asyncio.create_task(client.complete(LONG_REPLY, schema=None, max_tokens=1500))
            await until(lambda: server.metric("num_requests_running") == 1, "the start")
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: server.metric("num_requests_running") == 0, "the abort")

    asyncio.run(scenario())


def test_a_second_question_finds_the_beginning_of_its_prompt_in_the_cache(server: VLLM) -> None:
    fresh = [replace(hit, title=f"{hit.title} (annals)") for hit in HITS]  # seen by no other test

    async def scenario() -> None:
        async with client_of(server) as client:
            before = server.metric("prefix_cache_hits_total")
            usages = []
            for question in ("Which river runs through Quellmar?", "Where was the mayor of Quellmar born?"):
                messages = answer_messages(question, fresh)
                reply = await client.complete(messages, schema=answer_schema(len(fresh)), max_tokens=160)
                usages.append(reply.usage)
            first, second = usages
            # Rules, examples and passages are the same, and are found in whole blocks; the question is new.
            assert second.prompt_tokens - second.cached_tokens < BLOCK + QUESTION_TOKENS
            assert server.metric("prefix_cache_hits_total") - before == first.cached_tokens + second.cached_tokens
            FIGURES.append(
                f"in the prefix cache: {first.cached_tokens} of {first.prompt_tokens} tokens of a question's prompt, "
                f"{second.cached_tokens} of {second.prompt_tokens} of the next one's"
            )

    asyncio.run(scenario())


@pytest.mark.parametrize("streaming", [False, True])
def test_a_prompt_that_is_too_long_is_refused_by_name_and_never_cut(server: VLLM, streaming: bool) -> None:
    too_long = [{"role": "user", "content": "one two three four " * 600}]

    async def scenario() -> None:
        async with client_of(server) as client:
            with pytest.raises(GeneratorPromptTooLong, match="too long for the model"):
                await (
                    anext(client.stream(too_long, schema=None, max_tokens=16))
                    if streaming
                    else client.complete(too_long, schema=None, max_tokens=16)
                )

    asyncio.run(scenario())


def test_passages_that_do_not_fit_are_left_out_whole_and_counted(server: VLLM) -> None:
    long = [replace(hit, text=f"{hit.text} {'It rained in that year. ' * 80}") for hit in HITS * 2]

    async def scenario() -> None:
        async with client_of(server) as client:
            made = await answer("Who is the mayor of Quellmar?", long, client, AnswerParams())
            assert made.fallback_reason is None
            assert made.left_out > 0
            assert len(made.shown) == len(long) - made.left_out
            assert made.usage.prompt_tokens + 160 <= 2048

    asyncio.run(scenario())


def test_of_two_addresses_the_one_that_is_there_answers(server: VLLM) -> None:
    async def scenario() -> None:
        settings = Settings(generator_url=f"http://127.0.0.1:{free_port()}/v1, {server.url}", generator_timeout_s=240)
        generator = open_generator(settings)
        state = await generator.check()
        assert state.reachable
        assert "connection refused" in (state.reason or "")
        assert (await generator.complete(ask_for("harbour"), schema=None, max_tokens=12)).text
        await generator.aclose()

    asyncio.run(scenario())


def test_a_server_killed_in_the_middle_of_a_stream_is_said_and_asked_again_once_it_is_back(server: VLLM) -> None:
    params = replace(PATIENT, retries=0, breaker=BreakerParams(failures=2, rest_s=1.0))

    async def scenario() -> None:
        async with client_of(server, params) as client:
            stream = client.stream(LONG_REPLY, schema=None, max_tokens=1500)
            assert await anext(stream) != Delta()
            await asyncio.to_thread(server.kill)
            with pytest.raises(GeneratorUnavailable, match=r"connection|ended before"):
                async for _ in stream:
                    pass
            with pytest.raises(GeneratorUnavailable, match="connection refused"):
                await client.complete(ask_for("harbour"), schema=None, max_tokens=12)
            with pytest.raises(GeneratorUnavailable, match="2 failures in a row"):
                await client.complete(ask_for("harbour"), schema=None, max_tokens=12)
            fallen = await answer("Who is the mayor of Quellmar?", HITS, client, AnswerParams())
            assert fallen.extractive
            assert (fallen.fallback_reason or "").startswith("generator_unavailable: ")
            await asyncio.to_thread(server.start)
            made = await answer("Who is the mayor of Quellmar?", HITS, client, AnswerParams())
            assert made.fallback_reason is None
            assert "Brandt" in made.text

    asyncio.run(scenario())
