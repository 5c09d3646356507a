"""A GGUF model that runs inside this process, behind the same client as any other server.

``xllamacpp.Server`` is llama.cpp's HTTP server: it listens on a free port of 127.0.0.1 and wants a key that is drawn
anew at every start; without the key only its liveness route answers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memory_graph.errors import GeneratorError, GeneratorUnavailable
from retrieval.breaker import BreakerParams
from retrieval.generator import ClientParams, Completion, Delta, GeneratorState, Message, Servers, Weighed

if TYPE_CHECKING:
    from retrieval.openai_client import OpenAIGenerator


class EmbeddedGenerator:
    """Runs one GGUF file on the CPU; the model is loaded at the first use or by ``warm``."""

    def __init__(
        self, gguf: Path, threads: int, context_tokens: int = 4096, *, params: ClientParams | None = None
    ) -> None:
        self.name = gguf.stem
        self.context_tokens = context_tokens
        self._gguf = gguf
        self._threads = threads
        self._params = params or ClientParams()
        self._lock = asyncio.Lock()
        self._server: Any = None
        self._client: OpenAIGenerator | None = None

    @property
    def address(self) -> str | None:
        """The loopback address it listens on while it is loaded."""
        return None if self._server is None else str(self._server.listening_address)

    async def warm(self) -> None:
        """Load the model now; raises ``GeneratorUnavailable`` when the file cannot be loaded."""
        await self._start()

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion:
        """Return the whole reply; loads the model if need be."""
        client = await self._start()
        return await client.complete(messages, schema=schema, max_tokens=max_tokens, temperature=temperature, seed=seed)

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed:
        """Return how probable each label is as the reply; loads the model if need be."""
        client = await self._start()
        return await client.weigh(messages, labels)

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        """Yield the reply piece by piece; loads the model if need be."""
        client = await self._start()
        async with aclosing(client.stream(messages, schema=schema, max_tokens=max_tokens)) as deltas:
            async for delta in deltas:
                yield delta

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count with the model's tokenizer."""
        client = await self._start()
        return await client.count_tokens(texts)

    async def check(self) -> GeneratorState:
        """Load the model if need be and ask it; never raises."""
        try:
            client = await self._start()
        except GeneratorError as error:
            return GeneratorState(name=self.name, reachable=False, reason=error.message)
        state = await client.check()
        return GeneratorState(name=self.name, reachable=state.reachable, reason=state.reason)

    def servers(self) -> Servers:
        """Say how many calls were tried again; this process's own server is never left alone."""
        retries = self._client.servers().retries if self._client is not None else 0
        return Servers(left_alone={}, retries=retries)

    async def aclose(self) -> None:
        """Stop the server and free the model; a later use loads it again."""
        async with self._lock:
            client, self._client = self._client, None
            if client is not None:
                await client.aclose()
            self._server, server = None, [self._server]
            # The server's destructor joins its threads: not on the event loop.
            await asyncio.to_thread(server.clear)

    async def _start(self) -> OpenAIGenerator:
        from retrieval.openai_client import OpenAIGenerator  # imported late, as that module says

        async with self._lock:
            if self._client is None:
                key = secrets.token_urlsafe(32)
                self._server = await asyncio.to_thread(self._load, key)
                # Loopback must not go through a proxy that the environment names for the outside world. A slow model is
                # not helped by being left alone, and a process that runs it cannot be down without being gone.
                params = dataclasses.replace(
                    self._params,
                    trust_env=False,
                    context_tokens=self.context_tokens,
                    breaker=BreakerParams(failures=0),
                )
                url = f"{self._server.listening_address}/v1"
                self._client = OpenAIGenerator(url, model=self.name, api_key=key, params=params)
            return self._client

    def _load(self, key: str) -> Any:
        """Start llama.cpp's server; blocks for the seconds that loading takes."""
        import xllamacpp  # imported late: a native library that only this generator needs

        if not self._gguf.is_file():
            raise GeneratorUnavailable(f"the model file {self._gguf.name} is not there")
        params = xllamacpp.CommonParams()
        params.model.path = str(self._gguf)
        params.model_alias = {self.name}
        params.hostnames = ["127.0.0.1"]
        params.port = 0  # any free one
        params.api_keys = [key]
        params.ui = False
        params.endpoint_slots = False
        params.cors_origins = "http://127.0.0.1"  # the default lets a page of any origin ask
        params.cors_credentials = False
        params.verbosity = -1  # llama.cpp logs to our standard error otherwise
        params.n_ctx = self.context_tokens
        params.fit_params = False
        # One conversation at a time: a second slot would halve the context and the speed of the first.
        params.n_parallel = 1
        params.cache_ram_mib = 256  # earlier prompts kept for reuse; the default may grow to 8 GiB
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise GeneratorUnavailable(f"the model file {self._gguf.name} cannot be loaded: {error}") from error
