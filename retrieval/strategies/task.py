"""What every strategy works with: the search, the model, the trace of its calls, and the answer that ends it."""

from __future__ import annotations

import json
import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid
from memory_graph.types import Hit, Usage
from retrieval.answer import (
    NOT_IN_MEMORY_ANSWER,
    Answer,
    AnswerParams,
    Done,
    Statement,
    Token,
    answer,
    fall_back,
    stream_answer,
)
from retrieval.generator import Generator, Message
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.stages import Stage

Strategy: TypeAlias = Literal["direct", "notes", "extract", "reflect", "thoughts", "auto"]
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a strategy wrote down, the passages it rests on, what it was written for, and whether it was kept."""

    text: str
    passage_ids: tuple[int, ...]
    question: str
    kept: bool


Event: TypeAlias = Note | Token | Done


@dataclass(kw_only=True)
class Task:
    """One question on its way to an answer.

    ``warm_start`` lets the strategy notes begin with the note that was kept for a question much like this one.
    ``request`` and ``params`` may change while the way is chosen; ``found`` is the first search, and grows by the
    passages that further ones add. ``failures`` counts model calls that failed, ``unreadable`` those of them that
    answered out of form. ``reason`` says what went otherwise than asked for.
    """

    searcher: Searcher
    generator: Generator
    collection: str
    request: SearchRequest
    params: AnswerParams
    strategy: Strategy
    warm_start: bool = False
    streaming: bool = False
    found: SearchResult
    stages: list[Stage] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    failures: int = 0
    unreadable: int = 0
    reason: str | None = None
    answer_ms: float = 0.0

    @property
    def question(self) -> str:
        """The question as it was asked."""
        return self.request.query

    @property
    def hits(self) -> list[Hit]:
        """All passages found so far."""
        return self.found.hits

    def tell(self, name: str, ms: float = 0.0, **detail: Any) -> None:
        """Add a stage to the trace."""
        self.stages.append(Stage(name=name, ms=ms, detail=detail))

    def note(self, note: Note) -> Note:
        """Keep a note for the response."""
        self.notes.append(note)
        return note

    def give_way(self, error: GeneratorError | str) -> None:
        """Say why the strategy could not be followed; the first reason stands."""
        text = error if isinstance(error, str) else f"{error.code}: {error.message}"
        self.reason = self.reason or f"{self.strategy}: {text}"

    def count(self, result: Answer) -> None:
        """Count the call that made an answer: its tokens, and its failure if it failed."""
        self.usage = self.usage + result.usage
        if result.fallback_reason:
            self.failures += 1
            self.unreadable += result.fallback_reason.startswith(GeneratorOutputInvalid.code)
            self.give_way(result.fallback_reason)

    async def complete(
        self,
        name: str,
        messages: Sequence[Message],
        schema: Mapping[str, Any],
        read: Callable[[Any], T],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> T:
        """Ask the model for JSON and ``read`` it: one stage of the trace, the tokens counted.

        Errors: ``GeneratorError``, which is counted; what is no JSON, or what ``read`` refuses, is one.
        """

        async def call() -> tuple[T, Usage]:
            reply = await self.generator.complete(
                messages, schema=schema, max_tokens=max_tokens, temperature=temperature, seed=seed
            )
            try:
                return read(parse_json(reply.text)), reply.usage
            except GeneratorOutputInvalid as error:
                error.usage = reply.usage
                raise

        return await self._measured(name, call)

    async def weigh(self, name: str, messages: Sequence[Message], labels: Sequence[str]) -> Mapping[str, float]:
        """Ask how probable each label is: one stage of the trace. Errors: ``GeneratorError``, which is counted."""

        async def call() -> tuple[Mapping[str, float], Usage]:
            weighed = await self.generator.weigh(messages, labels)
            return weighed.probabilities, weighed.usage

        return await self._measured(name, call)

    async def _measured(self, name: str, call: Callable[[], Awaitable[tuple[R, Usage]]]) -> R:
        start = time.perf_counter()
        detail: dict[str, Any] = {}
        try:
            result, usage = await call()
            self.usage = self.usage + usage
            detail = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}
            return result
        except GeneratorError as error:
            self.failures += 1
            if isinstance(error, GeneratorOutputInvalid):
                self.unreadable += 1
                self.usage = self.usage + error.usage
            detail = {"error": f"{error.code}: {error.message}"}
            raise
        finally:
            self.tell(name, (time.perf_counter() - start) * 1000, **detail)

    async def search_more(self, question: str, room: int) -> list[Hit]:
        """Search for another question, add up to ``room`` passages not seen before to the hits, and return them."""
        start = time.perf_counter()
        request = replace(self.request, query=question, explain=False)
        found = await to_thread(self.searcher.search, self.collection, request)
        fresh = self.add_hits(found.hits, room)
        ms = (time.perf_counter() - start) * 1000
        self.tell("search", ms, question=question, found=len(found.hits), new=[hit.passage_id for hit in fresh])
        return fresh

    def add_hits(self, hits: Sequence[Hit], room: int) -> list[Hit]:
        """Put up to ``room`` of these passages behind the hits, those not seen before, and return them."""
        seen = {hit.passage_id for hit in self.hits}
        fresh = [hit for hit in hits if hit.passage_id not in seen][:room]
        fresh = [replace(hit, rank=len(self.hits) + n) for n, hit in enumerate(fresh, start=1)]
        self.found = replace(self.found, hits=[*self.hits, *fresh])
        return fresh

    async def answer(
        self, hits: Sequence[Hit], statements: Sequence[Statement] = (), params: AnswerParams | None = None
    ) -> AsyncGenerator[Token | Done, None]:
        """Answer from hits, or from statements about them: pieces if the answer is streamed, then the whole."""
        start, params = time.perf_counter(), params or self.params
        if self.streaming:
            async with aclosing(stream_answer(self.question, hits, self.generator, params, statements)) as events:
                async for event in events:
                    self.answer_ms = (time.perf_counter() - start) * 1000
                    yield event
            return
        result = await answer(self.question, hits, self.generator, params, statements)
        self.answer_ms = (time.perf_counter() - start) * 1000
        yield Done(result)

    async def answer_or_reread(
        self,
        hits: Sequence[Hit],
        statements: Sequence[Statement] = (),
        params: AnswerParams | None = None,
        *,
        lacking: str,
    ) -> AsyncGenerator[Token | Done, None]:
        """Answer from what a strategy took out of the passages; where that does not say, from the passages themselves.

        ``lacking`` is the reason for reading again. The second answer comes as a whole, as pieces of the first one may
        have been sent.
        """
        sent, first = False, None
        async with aclosing(self.answer(hits, statements, params)) as events:
            async for event in events:
                if isinstance(event, Done):
                    first = event.answer
                elif event.text != NOT_IN_MEMORY_ANSWER:
                    sent = True
                    yield event
        assert first is not None  # every answer ends with one
        last = first
        if not first.found and not first.fallback_reason:
            self.give_way(lacking)
            start = time.perf_counter()
            last = await answer(self.question, self.hits, self.generator, self.params)
            self.answer_ms += (time.perf_counter() - start) * 1000
            last = replace(last, usage=first.usage + last.usage)
        if self.streaming and not sent:
            yield Token(last.text)
        yield Done(last)

    async def answer_around(self, error: GeneratorError) -> AsyncGenerator[Token | Done, None]:
        """Answer after a failure that ends a strategy: directly, or from the passages' own sentences.

        A model that answered out of form is asked in the plain way; one that cannot be reached is not asked again.
        """
        self.give_way(error)
        if isinstance(error, GeneratorOutputInvalid):
            async with aclosing(self.answer(self.hits)) as events:
                async for event in events:
                    yield event
            return
        for one in self.deliver(fall_back(error, self.question, self.hits)):
            yield one

    def deliver(self, result: Answer) -> list[Token | Done]:
        """Return the events of an answer that is there already."""
        return [Token(result.text), Done(result)] if self.streaming else [Done(result)]


def parse_json(text: str) -> Any:
    """Read a reply; anything but JSON raises ``GeneratorOutputInvalid``."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise GeneratorOutputInvalid("the reply is not JSON") from None


def read_field(reply: object, name: str, kind: type[T]) -> T:
    """Return a field of a JSON object, of exactly this type; anything else raises ``GeneratorOutputInvalid``."""
    value = reply.get(name) if isinstance(reply, dict) else None
    if type(value) is not kind:  # True is an int to isinstance
        raise GeneratorOutputInvalid(f"the reply has no {name!r} of type {kind.__name__}")
    return value


def read_text(reply: object, name: str) -> str:
    """Return a text field as a database can hold it, without white space around it."""
    return read_field(reply, name, str).encode("utf-8", "replace").decode().replace("\0", " ").strip()
