"""Ways of reading what a search found, to be compared: strategy, order, number of passages, or no passages at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, TypeAlias

from evaluation.qa_eval import Answered, Ask
from evaluation.timed_generator import TimedGenerator
from evaluation.ways import Way
from memory_graph.errors import GeneratorError
from memory_graph.store.notes import NewNote
from memory_graph.types import Usage
from retrieval.answer import AnswerParams
from retrieval.ask import ask
from retrieval.reorder import Order
from retrieval.search import Searcher
from retrieval.strategies.task import Strategy, parse_json, read_text

ReadBy: TypeAlias = Strategy | Literal["closed", "warm"]

_CLOSED_RULES = """\
Answer the question from what you know. Reply with JSON of one field:
"answer": the shortest exact answer (a name, a date, a few words)."""
_CLOSED_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string", "maxLength": 200}},
    "required": ["answer"],
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way of reading: ``closed`` asks the model alone, and knows neither order nor number of passages.

    ``warm`` is the strategy notes, begun with the notes that it kept of the same questions before.
    """

    strategy: ReadBy = "direct"
    order: Order = "edges"
    top_k: int = 5

    @property
    def name(self) -> str:
        """The strategy, and behind it what is not the default: ``direct,order=document,k=10``."""
        order = "" if self.order == Reading.order else f",order={self.order}"
        k = "" if self.top_k == Reading.top_k else f",k={self.top_k}"
        return f"{self.strategy}{order}{k}"


def combine_readings(strategies: Sequence[ReadBy], orders: Sequence[Order], numbers: Sequence[int]) -> list[Reading]:
    """Return every combination once, without the options that ``closed`` has no use for."""
    combined = (
        Reading(strategy=strategy) if strategy == "closed" else Reading(strategy=strategy, order=order, top_k=k)
        for strategy, order, k in product(strategies, orders, numbers)
    )
    return list(dict.fromkeys(combined))


def ask_memory(
    searcher: Searcher,
    collection: str,
    generator: TimedGenerator,
    params: AnswerParams,
    way: Way,
    reading: Reading,
    keep: Callable[[NewNote], object],
) -> Ask:
    """Return a function that asks a memory in this way and reads what it found in that one; notes go to ``keep``.

    Errors of the function: those of the search.
    """
    if reading.strategy == "closed":
        return _ask_model(generator)
    warm = reading.strategy == "warm"
    strategy: Strategy = "notes" if reading.strategy == "warm" else reading.strategy
    params = replace(params, order=reading.order)

    async def answer(question: str) -> Answered:
        start, before = time.perf_counter(), generator.seconds
        request = way.request(question, reading.top_k)
        asked = await ask(searcher, generator, collection, request, params, strategy, warm_start=warm)
        note = asked.note_to_keep(question, "evaluation")
        if note is not None and not warm:
            keep(note)
        text_of = {hit.passage_id: hit.text for hit in asked.found.hits}
        return Answered(
            answer=asked.answer.text,
            found=asked.answer.found,
            cited=[(citation.document_id, citation.supported) for citation in asked.answer.citations],
            quotes_hold=all(citation.quote in text_of[citation.passage_id] for citation in asked.answer.citations),
            fallback_reason=asked.fallback_reason,
            seconds=time.perf_counter() - start,
            usage=asked.usage,
            model_seconds=generator.seconds - before,
        )

    return answer


def _ask_model(generator: TimedGenerator) -> Ask:
    """Return a function that asks the model alone: what it knows without a memory. Nothing is cited."""

    async def answer(question: str) -> Answered:
        start, before = time.perf_counter(), generator.seconds
        messages = [{"role": "system", "content": _CLOSED_RULES}, {"role": "user", "content": question}]
        text, usage, reason = "", Usage(), None
        try:
            reply = await generator.complete(messages, schema=_CLOSED_SCHEMA, max_tokens=100)
            usage = reply.usage
            text = read_text(parse_json(reply.text), "answer")
        except GeneratorError as error:
            reason = f"{error.code}: {error.message}"
        return Answered(
            answer=text,
            found=bool(text),
            cited=[],
            quotes_hold=True,
            fallback_reason=reason,
            seconds=time.perf_counter() - start,
            usage=usage,
            model_seconds=generator.seconds - before,
        )

    return answer
