"""A generator whose calls are counted and timed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import Any

from memory_graph.errors import GeneratorError, GeneratorTimeout, GeneratorUnavailable
from memory_graph.types import Usage
from retrieval.generator import Completion, Delta, Generator, GeneratorState, Message, TellsServers, Weighed
from service.metrics import Metrics


class ObservedGenerator:
    """Passes everything on to ``generator``."""

    def __init__(self, generator: Generator, metrics: Metrics) -> None:
        self._generator = generator
        self._metrics = metrics
        self.reachable: bool | None = None
        """Whether it last answered; None before the first time."""

    @property
    def name(self) -> str:
        return self._generator.name

    @property
    def context_tokens(self) -> int:
        return self._generator.context_tokens

    async def complete(self, messages: Sequence[Message], **how: Any) -> Completion:
        """Return the whole reply."""
        with self._counting("complete"):
            made = await self._generator.complete(messages, **how)
            self._spend(made.usage)
            return made

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed:
        """Return how probable each label is as the reply."""
        with self._counting("weigh"):
            made = await self._generator.weigh(messages, labels)
            self._spend(made.usage)
            return made

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        """Yield the reply piece by piece."""
        with self._counting("stream"):
            async with aclosing(self._generator.stream(messages, schema=schema, max_tokens=max_tokens)) as deltas:
                async for delta in deltas:
                    if delta.usage is not None:
                        self._spend(delta.usage)
                    yield delta

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count tokens, which is no call of the model."""
        return await self._generator.count_tokens(texts)

    async def check(self) -> GeneratorState:
        """Probe the generator."""
        state = await self._generator.check()
        self._note_reachable(state.reachable)
        return state

    async def aclose(self) -> None:
        """Close the generator."""
        await self._generator.aclose()

    def note_servers(self) -> None:
        """Read which servers are left alone, and how often calls were tried again."""
        if isinstance(self._generator, TellsServers):
            told = self._generator.servers()
            for where, is_left_alone in told.left_alone.items():
                self._metrics.breaker_open.labels(where).set(float(is_left_alone))
            self._metrics.raise_to(self._metrics.retries, told.retries)

    @contextmanager
    def _counting(self, kind: str) -> Iterator[None]:
        start, outcome = time.perf_counter(), "left"  # the caller went away
        try:
            yield
            outcome = "ok"
        except GeneratorError as error:
            outcome = error.code
            if isinstance(error, GeneratorUnavailable | GeneratorTimeout):
                self._note_reachable(False)
            raise
        finally:
            self._metrics.note_call(kind, outcome, time.perf_counter() - start)
            self.note_servers()
            if outcome == "ok":
                self._note_reachable(True)

    def _note_reachable(self, reachable: bool) -> None:
        self.reachable = reachable
        self._metrics.generator_up.set(float(reachable))

    def _spend(self, usage: Usage) -> None:
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
        ):
            self._metrics.note_tokens(kind, count)
