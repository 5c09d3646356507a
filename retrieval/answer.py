"""From hits to an answer with checked citations: fit, order, ask, check, and say so where the memory does not know."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid
from memory_graph.text import normalize
from memory_graph.types import Citation, Hit, Usage
from retrieval.citations import ground
from retrieval.extractive import condense, extract
from retrieval.generator import Generator, Message
from retrieval.partial_json import PartialString
from retrieval.prompts import NOT_IN_MEMORY, answer_messages, answer_schema, render_passage
from retrieval.reorder import Order, order_passages

NOT_IN_MEMORY_ANSWER = "The memory does not say."

_DECLINED = normalize(NOT_IN_MEMORY)
# Chat templates put a few tokens around every message, and estimates may fall short of the truth.
_SPARE_TOKENS = 64


@dataclass(frozen=True, kw_only=True)
class AnswerParams:
    """How an answer is made."""

    order: Order = "edges"
    """In which order the passages are shown to the model."""
    max_tokens: int = 160
    """Longest reply, in tokens; a reply that is cut there counts as a failure."""
    sentences: int | None = None
    """If set, the model reads of each passage only the first sentence and this many that fit the question best, which
    a small model on a CPU does in half the time; answers are checked against the whole passages all the same."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An answer, and what it rests on.

    ``found`` is false when the memory does not hold the answer; ``text`` says so then. ``extractive`` marks sentences
    quoted because the generator failed, ``fallback_reason`` says how it failed. ``ungrounded_answer`` keeps, for the
    trace, an answer of the model's that no passage carries. ``shown`` are the ids of the passages in the order the
    model saw them, ``left_out`` counts hits that did not fit its context.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    found: bool = True
    extractive: bool = False
    fallback_reason: str | None = None
    ungrounded_answer: str | None = None
    usage: Usage = field(default_factory=Usage)
    shown: tuple[int, ...] = ()
    left_out: int = 0
    citations_out_of_range: int = 0
    """Numbers the model cited that no passage has."""
    citations_dropped: int = 0
    """Passages the model cited that nothing ties to the answer or the question."""


@dataclass(frozen=True)
class Token:
    """A piece of the answer's text while it is being generated."""

    text: str


@dataclass(frozen=True)
class Done:
    """The end of a stream; its answer replaces the pieces where the check came out otherwise."""

    answer: Answer


AnswerEvent: TypeAlias = Token | Done


@dataclass(frozen=True)
class _Prepared:
    messages: list[Message]
    ranks: list[int]  # passage number - 1 → index into the hits
    left_out: int


async def answer(question: str, hits: Sequence[Hit], generator: Generator, params: AnswerParams) -> Answer:
    """Answer ``question`` from ``hits`` (best first); a failing generator is answered around, never raised."""
    if not hits:
        return Answer(text=NOT_IN_MEMORY_ANSWER, found=False)
    prepared = None
    try:
        prepared = await _prepare(question, hits, generator, params)
        reply = await generator.complete(
            prepared.messages, schema=answer_schema(len(prepared.ranks)), max_tokens=params.max_tokens
        )
        return _check(reply.text, reply.usage, question, hits, prepared)
    except GeneratorError as error:
        return _fall_back(error, question, hits, prepared)


async def stream_answer(
    question: str, hits: Sequence[Hit], generator: Generator, params: AnswerParams
) -> AsyncGenerator[AnswerEvent, None]:
    """Answer as ``answer`` does, with the text in pieces as it is generated; the last event is always ``Done``.

    When no piece was sent before (not found, fallback), the final text is sent as one piece.
    """
    if not hits:
        result = Answer(text=NOT_IN_MEMORY_ANSWER, found=False)
    else:
        prepared, text, usage = None, "", Usage(calls=1)
        sent = _AnswerPieces()
        try:
            prepared = await _prepare(question, hits, generator, params)
            deltas = generator.stream(
                prepared.messages, schema=answer_schema(len(prepared.ranks)), max_tokens=params.max_tokens
            )
            async with aclosing(deltas):
                async for delta in deltas:
                    text += delta.text
                    usage = delta.usage or usage
                    if piece := sent.feed(delta.text):
                        yield Token(piece)
            result = _check(text, usage, question, hits, prepared)
        except GeneratorError as error:
            result = _fall_back(error, question, hits, prepared)
        if sent.any:
            yield Done(result)
            return
    yield Token(result.text)
    yield Done(result)


class _AnswerPieces:
    """Picks the answer's text out of the JSON in pieces, and holds back what may become NOT IN MEMORY."""

    def __init__(self) -> None:
        self._string = PartialString("answer")
        self._held = ""
        self.any = False

    def feed(self, piece: str) -> str:
        self._held += self._string.feed(piece)
        if not self.any:
            self._held = self._held.lstrip()
            if NOT_IN_MEMORY.startswith(self._held.upper()) or self._held.upper().startswith(NOT_IN_MEMORY):
                return ""
        # White space at the end waits, so that the pieces join to exactly the stripped answer.
        ready = self._held.rstrip()
        self._held = self._held[len(ready) :]
        self.any = self.any or bool(ready)
        return ready


async def fit_hits(hits: Sequence[Hit], budget: int, generator: Generator) -> list[Hit]:
    """Return the leading hits that fit into ``budget`` tokens together: whole passages, the worst left out first."""
    blocks = [render_passage(n, hit.title, hit.text) for n, hit in enumerate(hits, start=1)]
    if sum(await generator.count_tokens(["\n".join(blocks)])) <= budget:
        return list(hits)
    kept: list[Hit] = []
    for hit, tokens in zip(hits, await generator.count_tokens(blocks), strict=True):
        budget -= tokens + 1  # the line break between two passages
        if budget < 0:
            break
        kept.append(hit)
    return kept


async def _prepare(question: str, hits: Sequence[Hit], generator: Generator, params: AnswerParams) -> _Prepared:
    """Choose the passages that fit and lay them out; raises ``GeneratorError``."""
    bare = "\n".join(message["content"] for message in answer_messages(question, ()))
    overhead = sum(await generator.count_tokens([bare]))  # asked first: counting may teach the size of the context
    budget = generator.context_tokens - params.max_tokens - overhead - _SPARE_TOKENS
    read = list(hits)
    if params.sentences is not None:
        read = [replace(hit, text=condense(hit.text, question, sentences=params.sentences)) for hit in hits]
    kept = await fit_hits(read, budget, generator)
    if not kept:
        raise GeneratorOutputInvalid("not even the best passage fits into the model's context")
    ranks = order_passages(len(kept), params.order, [(hit.document_id, hit.ordinal) for hit in kept])
    messages = answer_messages(question, [kept[rank] for rank in ranks])
    return _Prepared(messages, ranks, left_out=len(hits) - len(kept))


def _check(text: str, usage: Usage, question: str, hits: Sequence[Hit], prepared: _Prepared) -> Answer:
    """Read the model's reply and keep what the passages carry; raises ``GeneratorOutputInvalid``."""
    said, numbers = parse_reply(text)
    cited = [prepared.ranks[number - 1] for number in numbers if 1 <= number <= len(prepared.ranks)]
    base = Answer(
        text=NOT_IN_MEMORY_ANSWER,
        found=False,
        usage=usage,
        shown=_show(hits, prepared),
        left_out=prepared.left_out,
        citations_out_of_range=len(numbers) - len(cited),
    )
    if normalize(said).startswith(_DECLINED):
        return base
    grounding = ground(said, question, hits[: len(prepared.ranks)], cited)
    if not grounding.citations:
        return replace(base, ungrounded_answer=said, citations_dropped=grounding.dropped)
    return replace(base, text=said, found=True, citations=grounding.citations, citations_dropped=grounding.dropped)


def parse_reply(text: str) -> tuple[str, list[int]]:
    """Read ``{"answer": text, "passages": [numbers]}``; anything else raises ``GeneratorOutputInvalid``."""
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        raise GeneratorOutputInvalid("the reply is not JSON") from None
    said = reply.get("answer") if isinstance(reply, dict) else None
    numbers = reply.get("passages") if isinstance(reply, dict) else None
    if not isinstance(said, str) or not normalize(said):
        raise GeneratorOutputInvalid("the reply holds no answer")
    # type(), because True is an int to isinstance.
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise GeneratorOutputInvalid("the reply's passages are not a list of numbers")
    # JSON can spell what neither UTF-8 nor a database can hold: half a surrogate pair, and NUL.
    return said.encode("utf-8", "replace").decode().replace("\0", " ").strip(), numbers


def _fall_back(error: GeneratorError, question: str, hits: Sequence[Hit], prepared: _Prepared | None) -> Answer:
    """Answer with sentences of the hits themselves, and say why."""
    citations = extract(question, hits)
    return Answer(
        text=" ".join(citation.quote for citation in citations) or NOT_IN_MEMORY_ANSWER,
        citations=citations,
        found=bool(citations),
        extractive=True,
        fallback_reason=f"{error.code}: {error.message}",
        shown=_show(hits, prepared) if prepared else (),
        left_out=prepared.left_out if prepared else 0,
    )


def _show(hits: Sequence[Hit], prepared: _Prepared) -> tuple[int, ...]:
    return tuple(hits[rank].passage_id for rank in prepared.ranks)
