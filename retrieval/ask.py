"""One question, from search to answer, with the trace of how it went."""

from __future__ import annotations

import time
from asyncio import to_thread
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from retrieval.answer import Answer, AnswerParams, Done, Token, answer, stream_answer
from retrieval.generator import Generator
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.stages import Stage


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question's answer and the search that it rests on."""

    answer: Answer
    found: SearchResult
    answer_ms: float

    @property
    def fallback_reason(self) -> str | None:
        """Why something other than what was asked for happened: the answering's reason, or the search's."""
        return self.answer.fallback_reason or self.found.fallback_reason

    @property
    def stages(self) -> list[Stage]:
        """The stages of the search, then the answering."""
        detail = {
            "shown": list(self.answer.shown),
            "left_out": self.answer.left_out,
            "found": self.answer.found,
            "extractive": self.answer.extractive,
            "ungrounded_answer": self.answer.ungrounded_answer,
            "citations_out_of_range": self.answer.citations_out_of_range,
            "citations_dropped": self.answer.citations_dropped,
        }
        return [*self.found.stages, Stage(name="answer", ms=self.answer_ms, detail=detail)]

    @property
    def timings_ms(self) -> dict[str, float]:
        """Milliseconds by stage, and in all."""
        spent = {stage.name: round(stage.ms, 3) for stage in self.stages}
        return spent | {"total": round(sum(stage.ms for stage in self.stages), 3)}

    def trace(self) -> dict[str, Any]:
        """What each stage saw and did, as JSON."""
        return {
            "version": self.found.version,
            "order": list(self.answer.shown),
            "fallback_reason": self.fallback_reason,
            "hits": [
                {"passage_id": hit.passage_id, "document_id": hit.document_id, "rank": hit.rank, "score": hit.score}
                for hit in self.found.hits
            ],
            "stages": [
                {"name": stage.name, "ms": round(stage.ms, 3), "detail": dict(stage.detail)} for stage in self.stages
            ],
        }


async def ask(
    searcher: Searcher, generator: Generator, collection: str, request: SearchRequest, params: AnswerParams
) -> Asked:
    """Search, then answer from the hits; a failing generator is answered around.

    Errors: those of the search.
    """
    found = await to_thread(searcher.search, collection, request)
    start = time.perf_counter()
    result = await answer(request.query, found.hits, generator, params)
    return Asked(answer=result, found=found, answer_ms=(time.perf_counter() - start) * 1000)


async def ask_streaming(
    found: SearchResult, generator: Generator, request: SearchRequest, params: AnswerParams
) -> AsyncGenerator[Token | Asked, None]:
    """Answer from a finished search: pieces of the answer as they come, then the whole."""
    start = time.perf_counter()
    # Closed with its consumer, not when it is collected: the server must stop writing for a reader who went away.
    async with aclosing(stream_answer(request.query, found.hits, generator, params)) as events:
        async for event in events:
            if isinstance(event, Done):
                yield Asked(answer=event.answer, found=found, answer_ms=(time.perf_counter() - start) * 1000)
            else:
                yield event
