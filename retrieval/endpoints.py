"""The servers behind one generator: which is asked next, how many calls each has, and which is left alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import httpx2
import openai

from memory_graph.errors import GeneratorOutputInvalid, GeneratorTimeout, GeneratorUnavailable
from retrieval.breaker import Attempt, Breaker, Clock
from retrieval.failures import Failure, read_failure
from retrieval.generator import ClientParams

# vLLM's HTTP server closes connections that were idle for 5 s: ours are closed before, or calls would meet closed ones.
_KEEP_ALIVE_S = 4.0
# Counts of tokens and lists of models take no place, yet need connections.
_SPARE_CONNECTIONS = 8


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a server says of its model."""

    name: str
    context_tokens: int | None = None


class Endpoint:
    """One server: its connections, its places for calls, and its breaker."""

    def __init__(self, url: str, key: str, params: ClientParams, clock: Clock = time.monotonic) -> None:
        self.where = conceal_credentials(url)
        self.breaker = Breaker(params.breaker, clock)
        self.places = asyncio.Semaphore(params.max_calls)
        self.load = 0  # calls under way and waiting
        self.description: Description | None = None
        self.tokenizes = True
        self._key = key
        self._params = params
        parts = urlsplit(url.rstrip("/"))
        # Servers offer their tokenizer beside the OpenAI routes, not among them.
        self._tokenize_url = urlunsplit(parts._replace(path=parts.path.removesuffix("/v1") + "/tokenize"))
        self.client = _open_client(url, key, params)

    async def describe(self, model: str) -> Description:
        """Learn the model's name (``model``, or the first one listed) and context size from the server's list, once."""
        if self.description is not None:
            return self.description
        try:
            async with asyncio.timeout(self._params.probe_timeout_s):
                listed = [one async for one in self.client.models.list()]
        except openai.NotFoundError:
            listed = []  # a server may do without the list when the model is named
        name = model or (listed[0].id if listed else "")
        if not name:
            raise GeneratorUnavailable(f"the server at {self.where} lists no model; name one")
        sizes = [(one.model_extra or {}).get("max_model_len") for one in listed if one.id == name]
        known = [size for size in sizes if isinstance(size, int) and size > 0]
        self.description = Description(name=name, context_tokens=known[0] if known else None)
        return self.description

    async def count(self, text: str, model: str) -> int:
        """Count the text's tokens with the server's tokenizer."""
        # vLLM reads "prompt" and answers "count"; llama.cpp reads "content" and answers "tokens" only.
        body = {"model": model, "prompt": text, "content": text}
        reply = await self.client.post(self._tokenize_url, cast_to=object, body=body)
        count = reply.get("count") if isinstance(reply, dict) else None
        tokens = reply.get("tokens") if isinstance(reply, dict) else None
        if isinstance(count, int):
            return count
        if isinstance(tokens, list):
            return len(tokens)
        raise GeneratorOutputInvalid("the server's tokenizer answered in an unknown form")

    def read_failure(self, error: BaseException) -> Failure:
        """Name what the client library raised."""
        return read_failure(error, self.where, self._key)


class Call:
    """One call at a server: it has its place and its way through the breaker until it is released."""

    def __init__(self, endpoint: Endpoint, attempt: Attempt, *, has_place: bool) -> None:
        self.endpoint = endpoint
        self.attempt = attempt
        self._has_place = has_place

    def fail(self, error: BaseException) -> Failure:
        """Name what went wrong, and tell the breaker if the server seems to be down."""
        failure = self.endpoint.read_failure(error)
        if failure.down:
            self.attempt.fail(failure.error.message)
        return failure

    def release(self) -> None:
        """Make room for the next call."""
        self.attempt.leave()
        if self._has_place:
            self.endpoint.load -= 1
            self.endpoint.places.release()


class Pool:
    """Chooses among servers of one model."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)

    def choose(self, tried: Collection[Endpoint] = ()) -> Endpoint | None:
        """Return the least loaded server that is neither left alone nor in ``tried``.

        Of equals the first one: its prefix cache has seen the most.
        """
        free = [one for one in self.endpoints if one not in tried and one.breaker.refusal() is None]
        return min(free, key=lambda one: one.load, default=None)

    async def take(self, deadline: float, tried: Collection[Endpoint] = (), *, place: bool = True) -> Call:
        """Wait for a place at a server, one not in ``tried`` where there is one; short calls need no ``place``.

        ``deadline`` is of the event loop's clock.

        Errors: ``GeneratorUnavailable`` where all are left alone, ``GeneratorTimeout`` where no place comes free.
        """
        while (endpoint := self.choose(tried) or self.choose()) is not None:
            if not place:
                return Call(endpoint, endpoint.breaker.enter(), has_place=False)
            await _wait_for_place(endpoint, deadline)
            if endpoint.breaker.refusal() is None:  # it may have failed while this call waited
                return Call(endpoint, endpoint.breaker.enter(), has_place=True)
            endpoint.load -= 1
            endpoint.places.release()
        raise GeneratorUnavailable("; ".join(filter(None, (one.breaker.refusal() for one in self.endpoints))))


async def _wait_for_place(endpoint: Endpoint, deadline: float) -> None:
    endpoint.load += 1
    try:
        async with asyncio.timeout_at(deadline):
            await endpoint.places.acquire()
    except BaseException as error:
        endpoint.load -= 1
        if isinstance(error, TimeoutError):
            raise GeneratorTimeout(f"no call at {endpoint.where} ended in time to make room for this one") from None
        raise


def _open_client(url: str, key: str, params: ClientParams) -> openai.AsyncOpenAI:
    timeout = openai.Timeout(params.total_timeout_s, connect=params.connect_timeout_s)
    limits = httpx2.Limits(
        max_connections=params.max_calls + _SPARE_CONNECTIONS,
        max_keepalive_connections=params.max_calls,
        keepalive_expiry=_KEEP_ALIVE_S,
    )
    client = openai.AsyncOpenAI(
        base_url=url,
        api_key=key or "none",
        timeout=timeout,
        max_retries=0,  # its own retries know one server, and repeat after time-outs and any status from 500 on
        http_client=openai.DefaultAsyncHttpxClient(trust_env=params.trust_env, timeout=timeout, limits=limits),
    )
    # The library reads these from its own environment variables; they are no part of our settings.
    client.organization = client.project = None
    return client


def conceal_credentials(url: str) -> str:
    """Return ``url`` without user name, password and query: fit to be shown."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
