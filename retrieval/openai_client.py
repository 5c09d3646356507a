"""A client of one model on servers that speak the OpenAI API: vLLM, llama.cpp, or another (a server is a URL).

Import it late: the OpenAI library takes most of a second, and most commands generate nothing. Which failures are tried
again is the table in ``retrieval/failures.py``; which server is asked, ``retrieval/endpoints.py``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import openai
from opentelemetry.trace import SpanKind

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid, GeneratorUnavailable
from memory_graph.types import Usage
from retrieval import tracing
from retrieval.breaker import Clock
from retrieval.endpoints import Call, Endpoint, Pool
from retrieval.failures import RAISED, Failure
from retrieval.generator import (
    ClientParams,
    Completion,
    Delta,
    GeneratorState,
    Message,
    Servers,
    Weighed,
    estimate_tokens,
)
from retrieval.replies import read_choice, read_first_token, read_usage, require_whole, weigh_labels

_TOP_LOGPROBS = 20  # what the API allows

T = TypeVar("T")
Pause = Callable[[float], Awaitable[None]]


class OpenAIGenerator:
    """Asks the least loaded of its servers; with no ``model`` it takes the first one listed.

    ``url`` is one address or several, all serving the same model. ``clock`` (seconds) is what breakers go by, ``pause``
    waits between tries.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        model: str = "",
        api_key: str = "",
        *,
        params: ClientParams | None = None,
        clock: Clock = time.monotonic,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self.params = params or ClientParams()
        self.name = model
        self.context_tokens = self.params.context_tokens
        self._pause = pause
        self._retries = 0
        urls = [url] if isinstance(url, str) else url
        self._pool = Pool([Endpoint(one, api_key, self.params, clock) for one in urls])

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion:
        """Return the whole reply; a reply under a ``schema`` that the token limit cut is invalid.

        Above a ``temperature`` of 0 replies are drawn, each ``seed`` another one.
        """
        drawn = {"temperature": temperature} | ({} if seed is None else {"seed": seed})
        reply, where = await self._ask(_make_request(messages, schema, max_tokens) | drawn)
        choice, text = read_choice(reply, "message")
        if choice is None:
            raise GeneratorOutputInvalid(f"the server at {where} sent no choices")
        reason = str(choice.finish_reason or "stop")
        usage = read_usage(reply)
        require_whole(reason, schema, usage)
        return Completion(text=text, usage=usage, finish_reason=reason)

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed:
        """Return how probable each label is as the reply, from the log-probabilities of its first token.

        Labels must differ in how they begin. A token counts for the label that it begins; those that begin none, or
        several, count for nothing. Errors: ``GeneratorOutputInvalid`` where the server gives no log-probabilities, or
        none of a label.
        """
        asked = _make_request(messages, None, 1) | {"logprobs": True, "top_logprobs": _TOP_LOGPROBS}
        reply, where = await self._ask(asked)
        choice, _ = read_choice(reply, "message")
        masses = weigh_labels(read_first_token(choice), labels)
        total = sum(masses.values())
        if total <= 0.0:
            raise GeneratorOutputInvalid(f"the server at {where} gave no probability of {', '.join(labels)}")
        return Weighed(probabilities={label: mass / total for label, mass in masses.items()}, usage=read_usage(reply))

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        """Yield the reply piece by piece; a stream that breaks off or falls silent after its first piece raises.

        Closing it closes the connection, upon which servers stop writing.
        """
        usage, reason = Usage(calls=1), None
        deadline = self._deadline()
        begin = partial(self._begin, _make_request(messages, schema, max_tokens), deadline)
        call, (chunks, first) = await self._attempt(begin, deadline)
        try:
            call.attempt.begin()
            async for chunk in self._continue(call, chunks, first, deadline):
                choice, text = read_choice(chunk, "delta")
                if text:
                    yield Delta(text=text)
                if choice is not None and choice.finish_reason:
                    reason = str(choice.finish_reason)
                usage = read_usage(chunk, usage)
            if reason is None:
                broken = GeneratorUnavailable(f"the stream from {call.endpoint.where} ended before the reply did")
                call.attempt.fail(broken.message)
                raise broken
            call.attempt.succeed()
        finally:
            call.release()
            await chunks.close()
        require_whole(reason, schema, usage)
        yield Delta(usage=usage, finish_reason=reason)

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count with the server's own tokenizer where it has one (llama.cpp, vLLM), else estimate."""
        # What it costs a server is too little to wait for a place, and says too little to close a breaker.
        call, counts = await self._attempt(partial(self._count, texts), self._deadline(), place=False)
        call.release()
        return counts

    async def check(self) -> GeneratorState:
        """Ask each server for its models; never raises."""
        found = await asyncio.gather(*(self._check(endpoint) for endpoint in self._pool.endpoints))
        reasons = [reason for reason in found if reason is not None]
        return GeneratorState(
            name=self.name, reachable=len(reasons) < len(found), reason="; ".join(reasons) if reasons else None
        )

    def servers(self) -> Servers:
        """Say which servers are left alone, and how many calls were tried again."""
        left_alone = {one.where: one.breaker.refusal() is not None for one in self._pool.endpoints}
        return Servers(left_alone=left_alone, retries=self._retries)

    async def aclose(self) -> None:
        """Close the connections."""
        for endpoint in self._pool.endpoints:
            await endpoint.client.close()

    async def _ask(self, request: Mapping[str, Any]) -> tuple[object, str]:
        """Return the whole reply, and which server sent it."""
        call, reply = await self._attempt(partial(self._create, request), self._deadline())
        call.attempt.succeed()
        call.release()
        return reply, call.endpoint.where

    async def _attempt(
        self, work: Callable[[Endpoint], Awaitable[T]], deadline: float, *, place: bool = True
    ) -> tuple[Call, T]:
        """Do ``work`` at a server, at others or again where that may help; release the call that it returns."""
        tried: set[Endpoint] = set()
        rounds = 0
        while True:
            call = await self._pool.take(deadline, tried, place=place)
            try:
                with self._span(call.endpoint, place=place):
                    async with asyncio.timeout_at(deadline):
                        return call, await work(call.endpoint)
            except RAISED as error:
                failure = call.fail(error)
                call.release()
            except BaseException:  # the caller went away, or the server's reply is of no use: neither is its outage
                call.release()
                raise
            tried.add(call.endpoint)
            if failure.elsewhere and self._pool.choose(tried) is not None:
                self._retries += 1
                continue
            delay = self._delay(failure, rounds)
            if not failure.again or rounds >= self.params.retries or self._now() + delay >= deadline:
                raise failure.error
            rounds += 1
            self._retries += 1
            tried.clear()
            await self._pause(delay)

    def _span(self, endpoint: Endpoint, *, place: bool) -> AbstractContextManager[object]:
        """Return the span of one call: of a stream, up to its first text."""
        what = "generator call" if place else "generator tokens"
        return tracing.span(
            what, kind=SpanKind.CLIENT, server__address=endpoint.where, gen_ai__request__model=self.name
        )

    def _delay(self, failure: Failure, rounds: int) -> float:
        """Return how long to wait: what the server asked for, or twice as long each time; never all at once."""
        grown = min(self.params.backoff_s * 2.0**rounds, self.params.max_backoff_s)
        return max(failure.retry_after_s * random.uniform(1.0, 1.1), grown * random.uniform(0.5, 1.0))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _deadline(self) -> float:
        return self._now() + self.params.total_timeout_s

    async def _describe(self, endpoint: Endpoint) -> None:
        """Learn name and context size where they are not known; of several servers the smallest context counts."""
        self.name = self.name or (await endpoint.describe(self.name)).name
        await endpoint.describe(self.name)
        known = [one.description.context_tokens for one in self._pool.endpoints if one.description]
        self.context_tokens = min(filter(None, known), default=self.params.context_tokens)

    async def _create(self, request: Mapping[str, Any], endpoint: Endpoint, **more: Any) -> Any:
        await self._describe(endpoint)
        usual: dict[str, Any] = {"stream": False, "extra_headers": tracing.headers()}
        return await endpoint.client.chat.completions.create(model=self.name, **(usual | more), **request)

    async def _begin(
        self, request: Mapping[str, Any], deadline: float, endpoint: Endpoint
    ) -> tuple[openai.AsyncStream[Any], list[Any]]:
        """Open a stream and read up to its first text, so that what fails before can be tried elsewhere."""
        async with asyncio.timeout_at(self._next_deadline(deadline)):
            options = {"include_usage": True}
            chunks = await self._create(request, endpoint, stream=True, stream_options=options)
        if not isinstance(chunks, openai.AsyncStream):
            raise GeneratorOutputInvalid(f"the server at {endpoint.where} did not stream")
        first: list[Any] = []
        try:
            while not first or not _says_something(first[-1]):
                async with asyncio.timeout_at(self._next_deadline(deadline)):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    break
                first.append(chunk)
        except BaseException:
            await chunks.close()
            raise
        return chunks, first

    async def _continue(
        self, call: Call, chunks: openai.AsyncStream[Any], first: Sequence[Any], deadline: float
    ) -> AsyncIterator[Any]:
        """Yield the chunks that were read, then the others."""
        for chunk in first:
            yield chunk
        while True:
            try:
                # The time-out is around one piece: around the loop it would fire inside the consumer's code.
                async with asyncio.timeout_at(self._next_deadline(deadline)):
                    chunk = await anext(chunks, None)
            except RAISED as error:
                raise call.fail(error).error from None
            if chunk is None:
                return
            yield chunk

    def _next_deadline(self, deadline: float) -> float:
        return min(deadline, self._now() + self.params.idle_timeout_s)

    async def _count(self, texts: Sequence[str], endpoint: Endpoint) -> list[int]:
        await self._describe(endpoint)
        if endpoint.tokenizes and texts:
            try:
                async with asyncio.timeout(self.params.probe_timeout_s):
                    return [await endpoint.count(text, self.name) for text in texts]
            except (openai.NotFoundError, openai.BadRequestError, GeneratorOutputInvalid):
                endpoint.tokenizes = False  # a server without a tokenizer will not grow one
            except RAISED:
                pass  # it costs precision only; a server that is down will say so when it is asked for a reply
        return [estimate_tokens(text) for text in texts]

    async def _check(self, endpoint: Endpoint) -> str | None:
        """Return why a server cannot be asked; None where it can."""
        endpoint.description = None
        try:
            await self._describe(endpoint)
        except RAISED as error:
            return endpoint.read_failure(error).error.message
        except GeneratorError as error:
            return error.message
        return endpoint.breaker.refusal()


def _make_request(messages: Sequence[Message], schema: Mapping[str, Any] | None, max_tokens: int) -> dict[str, Any]:
    request: dict[str, Any] = {"messages": list(messages), "temperature": 0, "max_tokens": max_tokens}
    if schema is not None:
        form = {"name": "reply", "strict": True, "schema": dict(schema)}
        request["response_format"] = {"type": "json_schema", "json_schema": form}
    return request


def _says_something(chunk: object) -> bool:
    choice, text = read_choice(chunk, "delta")
    return bool(text) or bool(getattr(choice, "finish_reason", None))
