"""Keep a note, search for what it lacks, and keep the better note (Adaptive-Note, arXiv 2410.08821).

Other than there: every fact of a note names its passages and must stand in them, repeated questions and passages are
dropped at once, and a round that found nothing new ends the search without a call.
"""

from __future__ import annotations

import time
from asyncio import to_thread
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid
from memory_graph.text import normalize
from memory_graph.types import Hit
from retrieval.answer import Statement
from retrieval.citations import holds
from retrieval.fitting import condense_hits, fit_prompt
from retrieval.strategies.prompts import (
    MAX_QUESTIONS,
    Message,
    note_messages,
    note_schema,
    questions_messages,
    questions_schema,
    verdict_messages,
    verdict_schema,
)
from retrieval.strategies.task import Event, Note, Task, read_field, read_text

_REDRAWN = 0.7  # the temperature after a failure: at 0 the same prompt fails in the same way


@dataclass(frozen=True, kw_only=True)
class NoteParams:
    """When to stop: after so many rounds, failures in all, or passages; and the longest replies, in tokens."""

    max_steps: int = 2
    max_failures: int = 2
    max_passages: int = 15
    max_tokens: int = 400
    max_question_tokens: int = 120


class _Stopped(Exception):
    """How the rounds end; no error."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


@dataclass(frozen=True)
class _Draft:
    """A note: each fact with the indices of the hits it rests on."""

    facts: tuple[Statement, ...] = ()

    @property
    def lines(self) -> list[str]:
        """The facts with their passages' numbers, as prompts show them."""
        return [f"{fact.text} [{', '.join(str(index + 1) for index in fact.sources)}]" for fact in self.facts]

    def to_note(self, hits: Sequence[Hit], question: str, *, kept: bool) -> Note:
        """Return the note as the response has it."""
        ids = dict.fromkeys(hits[index].passage_id for fact in self.facts for index in fact.sources)
        text = "\n".join(fact.text for fact in self.facts)
        return Note(text=text, passage_ids=tuple(ids), question=question, kept=kept)


async def read_with_notes(task: Task, params: NoteParams | None = None) -> AsyncGenerator[Event, None]:
    """Note, ask on, refine, compare; then answer from the best note. A first note that fails ends the strategy."""
    params = params or NoteParams()
    if not task.hits:
        task.tell("notes", stopped="no_passages")
        async with aclosing(task.answer(task.hits)) as events:
            async for event in events:
                yield event
        return
    warm = await _begin_warm(task, params) if task.warm_start else _Draft()
    known = {index for fact in warm.facts for index in fact.sources}
    unread = [hit for index, hit in enumerate(task.hits) if index not in known]
    try:
        best = await _write(task, params, unread, warm, "note") if unread else warm
        best = best if best.facts else warm
    except GeneratorError as error:
        task.tell("notes", stopped="generator_failed")
        async with aclosing(task.answer_around(error)) as events:
            async for event in events:
                yield event
        return
    yield task.note(best.to_note(task.hits, task.question, kept=True))
    loop = _Loop(task, params, best)
    async with aclosing(loop.run()) as events:
        async for note in events:
            yield note
    if loop.best.facts:
        answering = task.answer_or_reread(task.hits, loop.best.facts, lacking="the note does not hold the answer")
    else:
        task.give_way("the note holds no fact that stands in its passages")
        answering = task.answer(task.hits)
    async with aclosing(answering) as events:
        async for answered in events:
            yield answered


class _Loop:
    """The rounds after the first note."""

    def __init__(self, task: Task, params: NoteParams, best: _Draft) -> None:
        self.best = best
        self._task, self._params = task, params
        self._asked = [task.question]
        self._failures = 0

    async def run(self) -> AsyncGenerator[Note, None]:
        """Yield the notes of the rounds; the reason for stopping goes into the trace."""
        reason, step = "steps", 0
        try:
            for step in range(1, self._params.max_steps + 1):
                note = await self._round(step)
                if note is not None:
                    yield self._task.note(note)
                if self._failures >= self._params.max_failures:
                    raise _Stopped("failures")
        except _Stopped as stopped:
            reason = stopped.reason
        self._task.tell("notes", stopped=reason, steps=step, failures=self._failures, passages=len(self._task.hits))

    async def _round(self, step: int) -> Note | None:
        """Search for what is lacking and write a new note; None where a call failed."""
        if len(self._task.hits) >= self._params.max_passages:
            raise _Stopped("passages")
        try:
            questions = await self._find_questions(step)
            if not questions:
                raise _Stopped("no_new_questions")
            fresh = await self._search(questions)
            if not fresh:
                raise _Stopped("no_new_passages")
            draft = await _write(self._task, self._params, fresh, self.best, "refine")
            better = bool(draft.facts) and await self._is_better(draft)
        except GeneratorError as error:
            self._failures += 1
            if not isinstance(error, GeneratorOutputInvalid):
                self._task.give_way(error)
                raise _Stopped("generator_failed") from None
            return None
        self._failures += not better
        if better:
            self.best = draft
        return draft.to_note(self._task.hits, "\n".join(questions), kept=better)

    async def _find_questions(self, step: int) -> list[str]:
        """Return questions that were not asked before."""
        found = await self._task.complete(
            "questions",
            questions_messages(self._task.question, self.best.lines, self._asked[1:]),
            questions_schema(),
            read_questions,
            max_tokens=self._params.max_question_tokens,
            temperature=_REDRAWN if self._failures else 0.0,
            seed=step,
        )
        known = {normalize(one) for one in self._asked}
        new: list[str] = []
        for question in found:
            if (key := normalize(question)) and key not in known:
                known.add(key)
                new.append(question)
        self._asked += new
        return new

    async def _search(self, questions: Sequence[str]) -> list[Hit]:
        fresh: list[Hit] = []
        for question in questions:
            room = self._params.max_passages - len(self._task.hits)
            fresh += await self._task.search_more(question, room) if room > 0 else []
        return fresh

    async def _is_better(self, draft: _Draft) -> bool:
        """Say whether a note is better than the best one; a verdict that cannot be read is a no."""
        try:
            return await self._task.complete(
                "compare",
                verdict_messages(self._task.question, self.best.lines, draft.lines),
                verdict_schema(),
                lambda reply: read_field(reply, "better", bool),
                max_tokens=20,
            )
        except GeneratorOutputInvalid:
            return False


async def _begin_warm(task: Task, params: NoteParams) -> _Draft:
    """Return the facts that were noted for a question much like this one, their passages among the hits.

    A filter limits what may be returned, and a kept note knows of none: then nothing is taken over.
    """
    start = time.perf_counter()
    recalled, reason = None, "filter" if task.request.filter else "no_similar_question"
    if not task.request.filter:
        recalled = await to_thread(task.searcher.recall_note, task.found, task.question)
    facts: dict[str, Statement] = {}
    if recalled is not None:
        task.add_hits(recalled.hits, params.max_passages)
        row_of = {hit.passage_id: row for row, hit in enumerate(task.hits)}
        rows = [row_of[hit.passage_id] for hit in recalled.hits]
        for line in recalled.note.text.splitlines():
            sources = [row for row in rows if holds([task.hits[row]], line)]
            if not sources and holds([task.hits[row] for row in rows], line):
                sources = rows
            if sources:
                facts[normalize(line)] = Statement(text=line, sources=tuple(sources))
    detail: dict[str, object] = {"left_out": reason}
    if recalled is not None:
        detail = {"note": recalled.note.id, "similarity": round(recalled.similarity, 4), "facts": len(facts)}
    task.tell("warm_start", (time.perf_counter() - start) * 1000, **detail)
    return _Draft(tuple(facts.values()))


async def _write(task: Task, params: NoteParams, fresh: Sequence[Hit], note: _Draft, name: str) -> _Draft:
    """Write a note from these hits and the note there is; raises ``GeneratorError``."""

    def build(hits: Sequence[Hit]) -> list[Message]:
        return note_messages(task.question, ((hit.rank, hit) for hit in hits), note.lines)

    read = condense_hits(fresh, task.question, task.params.sentences)
    shown = await fit_prompt(build, read, params.max_tokens, task.generator)
    if not shown:
        raise GeneratorOutputInvalid("not even the best passage fits into the model's context")
    listed = await task.complete(
        name, build(shown), note_schema(len(task.hits)), read_facts, max_tokens=params.max_tokens
    )
    known = {hit.rank - 1 for hit in shown} | {index for fact in note.facts for index in fact.sources}
    facts = {}
    for text, numbers in listed:
        sources = tuple(dict.fromkeys(number - 1 for number in numbers if number - 1 in known))
        if sources and holds([task.hits[index] for index in sources], text):
            facts[normalize(text)] = Statement(text=text, sources=sources)
    task.tell("check", listed=len(listed), kept=len(facts), left_out=len(fresh) - len(shown))
    return _Draft(tuple(facts.values()))


def read_facts(reply: object) -> list[tuple[str, list[int]]]:
    """Read ``{"facts": [{"fact", "passages"}]}``; anything else raises ``GeneratorOutputInvalid``."""
    facts = []
    for one in read_field(reply, "facts", list):
        numbers = read_field(one, "passages", list)
        if any(type(number) is not int for number in numbers):
            raise GeneratorOutputInvalid("a fact's passages are not numbers")
        if normalize(text := read_text(one, "fact")):
            facts.append((text, numbers))
    return facts


def read_questions(reply: object) -> list[str]:
    """Read ``{"questions": [text]}``; anything else raises ``GeneratorOutputInvalid``."""
    questions = read_field(reply, "questions", list)
    if any(not isinstance(one, str) for one in questions):
        raise GeneratorOutputInvalid("the questions are not texts")
    wrapped = ({"question": one} for one in questions[:MAX_QUESTIONS])
    return [text for one in wrapped if normalize(text := read_text(one, "question"))]
