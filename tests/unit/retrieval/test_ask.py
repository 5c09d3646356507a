"""A reader who goes away takes the stream along, down to the generator's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, cast

from memory_graph.types import Hit
from retrieval.answer import AnswerParams, Token
from retrieval.ask import begin, finish
from retrieval.generator import Delta, Message
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.testing import ScriptedGenerator


class Endless(ScriptedGenerator):
    """Goes on until it is closed, and notes that it was."""

    stopped = False

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        try:
            yield Delta(text='{"answer": "')
            while True:
                yield Delta(text="on and ")
        finally:
            self.stopped = True


class FoundSearcher:
    """Has found already what is asked for."""

    def search(self, collection: str, request: SearchRequest) -> SearchResult:
        hit = Hit(passage_id=1, document_id="d", title="T", text="It goes on.", score=1.0, rank=1)
        return SearchResult(hits=[hit], version=1, collection_id=1, fallback_reason=None, stages=[])


def test_closing_an_answers_stream_closes_the_generators() -> None:
    async def scenario() -> None:
        generator, request = Endless([]), SearchRequest(query="How long?")
        searcher = cast(Searcher, FoundSearcher())
        task = await begin(searcher, generator, "memory", request, AnswerParams(), streaming=True)
        events = finish(task)
        assert isinstance(await anext(events), Token)
        await events.aclose()
        assert generator.stopped

    asyncio.run(scenario())
