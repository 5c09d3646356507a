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
from retrieval.extractive import extract
from retrieval.fitting import condense_hits, fit_prompt
from retrieval.generator import Generator, Message
from retrieval.partial_json import PartialString
from retrieval.prompts import NOT_IN_MEMORY, answer_messages, answer_schema
from retrieval.reorder import Order, order_passages, story_key

NOT_IN_MEMORY_ANSWER = "The memory does not say."

_DECLINED = normalize(NOT_IN_MEMORY)


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


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A text that a model reads in the place of the hits it rests on; ``sources`` are their indices, at least one."""

    text: str
    sources: tuple[int, ...]
    title: str = ""


@dataclass(frozen=True)
class _Prepared:
    messages: list[Message]
    numbered: list[tuple[int, ...]]  # number - 1 → indices into the hits
    carriers: Sequence[Hit]  # the hits that may carry the answer
    left_out: int


async def answer(
    question: str,
    hits: Sequence[Hit],
    generator: Generator,
    params: AnswerParams,
    statements: Sequence[Statement] = (),
) -> Answer:
    """Answer ``question`` from ``hits`` (best first); a failing generator is answered around, never raised.

    Where there are ``statements``, the model reads them and not the hits; the answer is checked against the hits.
    """
    if not hits:
        return Answer(text=NOT_IN_MEMORY_ANSWER, found=False)
    prepared, usage = None, Usage()
    try:
        prepared = await _prepare(question, hits, statements, generator, params)
        reply = await generator.complete(
            prepared.messages, schema=answer_schema(len(prepared.numbered)), max_tokens=params.max_tokens
        )
        usage = reply.usage
        return _check(reply.text, usage, question, prepared)
    except GeneratorError as error:
        return fall_back(error, question, hits, prepared, _cost(error, usage))


async def stream_answer(
    question: str,
    hits: Sequence[Hit],
    generator: Generator,
    params: AnswerParams,
    statements: Sequence[Statement] = (),
) -> AsyncGenerator[AnswerEvent, None]:
    """Answer as ``answer`` does, with the text in pieces as it is generated; the last event is always ``Done``.

    When no piece was sent before (not found, fallback), the final text is sent as one piece.
    """
    if not hits:
        result = Answer(text=NOT_IN_MEMORY_ANSWER, found=False)
    else:
        prepared, text, usage = None, "", Usage()
        sent = _AnswerPieces()
        try:
            prepared = await _prepare(question, hits, statements, generator, params)
            usage = Usage(calls=1)
            deltas = generator.stream(
                prepared.messages, schema=answer_schema(len(prepared.numbered)), max_tokens=params.max_tokens
            )
            async with aclosing(deltas):
                async for delta in deltas:
                    text += delta.text
                    usage = delta.usage or usage
                    if piece := sent.feed(delta.text):
                        yield Token(piece)
            result = _check(text, usage, question, prepared)
        except GeneratorError as error:
            result = fall_back(error, question, hits, prepared, _cost(error, usage))
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


async def _prepare(
    question: str, hits: Sequence[Hit], statements: Sequence[Statement], generator: Generator, params: AnswerParams
) -> _Prepared:
    """Choose the passages or statements that fit and lay them out; raises ``GeneratorError``."""
    if statements:
        sources = [statement.sources for statement in statements]
        read = [replace(hits[one.sources[0]], title=one.title, text=one.text) for one in statements]
    else:
        sources = [(index,) for index in range(len(hits))]
        read = condense_hits(hits, question, params.sentences)
    kept = await fit_prompt(lambda shown: answer_messages(question, shown), read, params.max_tokens, generator)
    if not kept:
        raise GeneratorOutputInvalid("not even the best passage fits into the model's context")
    ranks = order_passages(len(kept), params.order, [story_key(hit) for hit in kept])
    messages = answer_messages(question, [kept[rank] for rank in ranks])
    carriers = hits if statements else hits[: len(kept)]
    return _Prepared(messages, [sources[rank] for rank in ranks], carriers, left_out=len(read) - len(kept))


def _check(text: str, usage: Usage, question: str, prepared: _Prepared) -> Answer:
    """Read the model's reply and keep what the passages carry; raises ``GeneratorOutputInvalid``."""
    said, numbers = parse_reply(text)
    valid = [number for number in numbers if 1 <= number <= len(prepared.numbered)]
    cited = [index for number in valid for index in prepared.numbered[number - 1]]
    base = Answer(
        text=NOT_IN_MEMORY_ANSWER,
        found=False,
        usage=usage,
        shown=_show(prepared),
        left_out=prepared.left_out,
        citations_out_of_range=len(numbers) - len(valid),
    )
    if normalize(said).startswith(_DECLINED):
        return base
    grounding = ground(said, question, prepared.carriers, cited)
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


def fall_back(
    error: GeneratorError,
    question: str,
    hits: Sequence[Hit],
    prepared: _Prepared | None = None,
    usage: Usage | None = None,
) -> Answer:
    """Answer with sentences of the hits themselves, and say why."""
    citations = extract(question, hits)
    return Answer(
        text=" ".join(citation.quote for citation in citations) or NOT_IN_MEMORY_ANSWER,
        citations=citations,
        found=bool(citations),
        extractive=True,
        fallback_reason=f"{error.code}: {error.message}",
        usage=usage or Usage(),
        shown=_show(prepared) if prepared else (),
        left_out=prepared.left_out if prepared else 0,
    )


def _cost(error: GeneratorError, usage: Usage) -> Usage:
    """Return what a failed call cost: what was told with its reply, else what the error tells."""
    told = error.usage if isinstance(error, GeneratorOutputInvalid) else Usage()
    return told if told.completion_tokens else usage


def _show(prepared: _Prepared) -> tuple[int, ...]:
    indices = [index for sources in prepared.numbered for index in sources]
    return tuple(dict.fromkeys(prepared.carriers[index].passage_id for index in indices))
