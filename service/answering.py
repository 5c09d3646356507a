"""An answer in pieces, for whoever shows it while it is written: the API's stream and the dashboard."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from retrieval.answer import Token
from retrieval.ask import Asked, begin, finish
from retrieval.strategies.task import Note, Task
from service.access import Caller
from service.recall_schemas import QueryIn, QueryOut
from service.services import Services
from service.wiring import answer_params


async def begin_answer(collection: str, body: QueryIn, parts: Services) -> Task:
    """Search: all that comes before the first piece. Errors: those of the search."""
    params = answer_params(parts.settings, body.order)
    return await begin(
        parts.searcher,
        parts.generator,
        collection,
        body.to_request(),
        params,
        body.strategy,
        warm_start=body.warm_start,
        streaming=True,
    )


async def finish_answer(
    task: Task, body: QueryIn, parts: Services, caller: Caller
) -> AsyncGenerator[Note | Token | QueryOut, None]:
    """Yield notes and pieces as they come, then the whole answer, which is logged and charged to the caller's key."""
    with parts.keys.bill(caller) as bill:
        async with aclosing(finish(task)) as events:
            async for one in events:
                if isinstance(one, Asked):
                    bill.usage = one.usage
                    yield QueryOut.of(one, parts.query_log.add(body.question, one), trace=body.trace)
                else:
                    yield one
