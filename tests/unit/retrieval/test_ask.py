"""A reader who goes away takes the stream along, down to the generator's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from memory_graph.types import Hit
from retrieval.answer import AnswerParams, Token
from retrieval.ask import ask_streaming
from retrieval.generator import Delta, Message
from retrieval.search import SearchRequest, SearchResult
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


def test_closing_an_answers_stream_closes_the_generators() -> None:
    hit = Hit(passage_id=1, document_id="d", title="T", text="It goes on.", score=1.0, rank=1)
    found = SearchResult(hits=[hit], version=1, collection_id=1, fallback_reason=None, stages=[])

    async def scenario() -> None:
        generator = Endless([])
        events = ask_streaming(found, generator, SearchRequest(query="How long?"), AnswerParams())
        assert isinstance(await anext(events), Token)
        await events.aclose()
        assert generator.stopped

    asyncio.run(scenario())
