"""One question, from search to answer, with the trace of how it went."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from memory_graph.store.notes import NewNote
from memory_graph.store.rows import now
from memory_graph.types import Usage
from retrieval.answer import Answer, AnswerParams, Done, Token
from retrieval.generator import Generator
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.stages import Stage
from retrieval.strategies.auto import choose
from retrieval.strategies.direct import read_directly
from retrieval.strategies.extract import read_evidence
from retrieval.strategies.notes import read_with_notes
from retrieval.strategies.reflect import read_reflecting
from retrieval.strategies.task import Event, Note, Strategy, Task
from retrieval.strategies.thoughts import draw_thoughts

# Thoughts are drawn before the search; what was found is read directly. Auto has chosen one of these before.
_READERS: Mapping[Strategy, Callable[[Task], AsyncGenerator[Event, None]]] = {
    "direct": read_directly,
    "notes": read_with_notes,
    "extract": read_evidence,
    "reflect": read_reflecting,
    "thoughts": read_directly,
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question's answer and the search that it rests on.

    ``found`` holds every passage found, those of a strategy's further searches last. ``reading`` are the stages of the
    strategy between search and answer, ``spent`` their usage, ``reason`` why the strategy could not be followed.
    """

    answer: Answer
    found: SearchResult
    answer_ms: float
    strategy: Strategy = "direct"
    notes: tuple[Note, ...] = ()
    reading: tuple[Stage, ...] = ()
    spent: Usage = field(default_factory=Usage)
    reason: str | None = None

    @property
    def fallback_reason(self) -> str | None:
        """Why something other than what was asked for happened: the answering's, the strategy's or the search's."""
        return self.answer.fallback_reason or self.reason or self.found.fallback_reason

    @property
    def usage(self) -> Usage:
        """The tokens and calls of all that the model was asked."""
        return self.spent + self.answer.usage

    @property
    def stages(self) -> list[Stage]:
        """The stages of the search, those of the strategy, then the answering."""
        detail = {
            "shown": list(self.answer.shown),
            "left_out": self.answer.left_out,
            "found": self.answer.found,
            "extractive": self.answer.extractive,
            "ungrounded_answer": self.answer.ungrounded_answer,
            "citations_out_of_range": self.answer.citations_out_of_range,
            "citations_dropped": self.answer.citations_dropped,
            "usage": asdict(self.answer.usage),
        }
        return [*self.found.stages, *self.reading, Stage(name="answer", ms=self.answer_ms, detail=detail)]

    @property
    def timings_ms(self) -> dict[str, float]:
        """Milliseconds by stage, those of one name together, and in all."""
        spent: dict[str, float] = {}
        for stage in self.stages:
            spent[stage.name] = spent.get(stage.name, 0.0) + stage.ms
        return {name: round(ms, 3) for name, ms in (spent | {"total": sum(spent.values())}).items()}

    def note_to_keep(self, question: str, query_id: str) -> NewNote | None:
        """Return the note that the strategy notes ended with, if it holds anything."""
        best = next((note for note in reversed(self.notes) if note.kept and note.text), None)
        if self.strategy != "notes" or best is None:
            return None
        return NewNote(
            collection_id=self.found.collection_id,
            query_id=query_id,
            question=question,
            text=best.text,
            version=self.found.version,
            passage_ids=best.passage_ids,
            created_at=now(),
        )

    def trace(self) -> dict[str, Any]:
        """What each stage saw and did, as JSON."""
        return {
            "version": self.found.version,
            "strategy": self.strategy,
            "order": list(self.answer.shown),
            "fallback_reason": self.fallback_reason,
            "citations": [
                {"n": one.n, "passage_id": one.passage_id, "quote": one.quote, "supported": one.supported}
                for one in self.answer.citations
            ],
            "notes": [asdict(note) | {"passage_ids": list(note.passage_ids)} for note in self.notes],
            "usage": asdict(self.usage),
            "hits": [
                {"passage_id": hit.passage_id, "document_id": hit.document_id, "rank": hit.rank, "score": hit.score}
                for hit in self.found.hits
            ],
            "stages": [
                {"name": stage.name, "ms": round(stage.ms, 3), "detail": dict(stage.detail)} for stage in self.stages
            ],
        }


async def ask(
    searcher: Searcher,
    generator: Generator,
    collection: str,
    request: SearchRequest,
    params: AnswerParams,
    strategy: Strategy = "direct",
    *,
    warm_start: bool = False,
) -> Asked:
    """Search, then answer from the hits; a failing generator is answered around.

    With ``warm_start`` the strategy notes begins with what was noted for a question much like this one.

    Errors: those of the search.
    """
    task = await begin(searcher, generator, collection, request, params, strategy, warm_start=warm_start)
    *_, asked = [event async for event in finish(task)]
    assert isinstance(asked, Asked)
    return asked


async def begin(
    searcher: Searcher,
    generator: Generator,
    collection: str,
    request: SearchRequest,
    params: AnswerParams,
    strategy: Strategy = "direct",
    *,
    warm_start: bool = False,
    streaming: bool = False,
) -> Task:
    """Do all that comes before the first passage is read: think, search, choose. Errors: those of the search."""
    nothing = SearchResult(hits=[], version=0, collection_id=0, fallback_reason=None, stages=[])
    task = Task(
        searcher=searcher,
        generator=generator,
        collection=collection,
        request=replace(request, explain=True),  # the trace of an answer is kept
        params=params,
        strategy=strategy,
        warm_start=warm_start,
        streaming=streaming,
        found=nothing,
    )
    if strategy == "thoughts":
        task.request = replace(task.request, thoughts=await draw_thoughts(task))
    found = await to_thread(searcher.search, collection, task.request)
    task.found = replace(found, stages=[*task.stages, *found.stages])
    task.stages.clear()
    if strategy == "auto":
        choose(task)
    return task


async def finish(task: Task) -> AsyncGenerator[Note | Token | Asked, None]:
    """Read what was found and answer: notes, pieces of the answer if the task is streamed, then the whole."""
    async with aclosing(_READERS[task.strategy](task)) as events:
        async for event in events:
            if isinstance(event, Done):
                yield _conclude(task, event.answer)
            else:
                yield event


def _conclude(task: Task, answer: Answer) -> Asked:
    if task.failures or task.strategy != "direct":
        task.tell("strategy", strategy=task.strategy, failures=task.failures, unreadable=task.unreadable)
    return Asked(
        answer=answer,
        found=task.found,
        answer_ms=task.answer_ms,
        strategy=task.strategy,
        notes=tuple(task.notes),
        reading=tuple(task.stages),
        spent=task.usage,
        reason=task.reason,
    )
