"""A generator that says how long it was waited for."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from retrieval.generator import Completion, Delta, Generator, GeneratorState, Message, Weighed

T = TypeVar("T")


class TimedGenerator:
    """Passes every call on and adds up the ``seconds`` that they took, counting tokens included.

    Calls are to follow one another: two at once would count twice.
    """

    def __init__(self, generator: Generator) -> None:
        self.name = generator.name
        self.seconds = 0.0
        self._generator = generator

    @property
    def context_tokens(self) -> int:
        """The size of the model's context; a server's may be known only after it was asked something."""
        return self._generator.context_tokens

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion:
        """Return the whole reply."""
        return await self._timed(
            self._generator.complete(messages, schema=schema, max_tokens=max_tokens, temperature=temperature, seed=seed)
        )

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed:
        """Return how probable each label is as the reply."""
        return await self._timed(self._generator.weigh(messages, labels))

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        """Yield the reply piece by piece; what its reader does between two pieces counts as well."""
        start = time.perf_counter()
        try:
            async with aclosing(self._generator.stream(messages, schema=schema, max_tokens=max_tokens)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self.seconds += time.perf_counter() - start

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count with the model's tokenizer."""
        return await self._timed(self._generator.count_tokens(texts))

    async def check(self) -> GeneratorState:
        """Ask whether the model can be reached; counts no time."""
        return await self._generator.check()

    async def aclose(self) -> None:
        """Close the generator."""
        await self._generator.aclose()

    async def _timed(self, call: Awaitable[T]) -> T:
        start = time.perf_counter()
        try:
            return await call
        finally:
            self.seconds += time.perf_counter() - start
