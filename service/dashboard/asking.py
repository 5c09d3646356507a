"""A question asked from a page: the same checks, lines and answer as ``POST …/query`` has, in pieces."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from threading import Event
from typing import TypeAlias

from memory_graph.errors import TooMuch
from retrieval.answer import Token
from retrieval.batching import until
from retrieval.search import SearchResult
from retrieval.strategies.task import Note
from service.answering import begin_answer, finish_answer
from service.api import recall
from service.dashboard.desk import Desk
from service.lines import Full
from service.recall_schemas import QueryIn, QueryOut

Piece: TypeAlias = SearchResult | Note | Token | QueryOut


async def ask(desk: Desk, collection: str, body: QueryIn) -> AsyncGenerator[Piece, None]:
    """Yield what the search found, notes and pieces of the answer as they come, then the whole answer.

    It takes one of the key's requests a minute and a place in the line of answers. Errors: ``TooMuch``, those of the
    route. A caller who stops reading must close the generator, which ends the work.
    """
    caller = await desk.check(recall.query, collection=collection)
    if wait_s := desk.rates.take(caller):
        often = f"this key may ask {caller.requests_per_minute} times a minute"
        raise TooMuch(f"{often}; try again in {math.ceil(wait_s)} s")
    try:
        place = desk.lines["answers"].enter(collection)
    except Full as full:
        raise TooMuch(f"too many answers at once; try again in {full.retry_after_s} s") from full
    abandoned, patience_s = Event(), desk.parts.settings.request_timeout_s
    try:
        try:
            async with asyncio.timeout(patience_s):
                # Waited for from outside: to cancel the future itself would count as having been served.
                await asyncio.wait({place.ready})
                with until(abandoned):
                    task = await begin_answer(collection, body, desk.parts)
        except TimeoutError:
            raise TooMuch(f"no answer within {patience_s:g} s; what was under way was dropped") from None
        yield task.found
        async with aclosing(finish_answer(task, body, desk.parts, caller)) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        abandoned.set()
        place.leave()
