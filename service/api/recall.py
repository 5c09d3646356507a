"""Search and query: what the memory finds, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request, Response

from retrieval.answer import Token
from retrieval.ask import ask
from retrieval.strategies.task import Note, Task
from service.access import ANSWERS, READS, Asking, Caller
from service.answering import begin_answer, finish_answer
from service.errors import problem_of_fault
from service.events import event, event_stream
from service.hanging_up import unless_gone
from service.recall_schemas import HitOut, NoteOut, QueryIn, QueryOut, SearchesOut, SearchIn, SearchOut
from service.services import Parts, Services
from service.wiring import answer_params

_CLIENT_GONE = 499  # read by nobody; proxies log it so

router = APIRouter(prefix="/v1/collections/{collection}", tags=["recall"])


@router.post("/search", dependencies=[READS])
def search(collection: str, body: SearchIn, parts: Parts) -> SearchOut | SearchesOut:
    """Find passages: `graph` walks from the question's phrases and nearest passages, `dense` ranks by similarity.

    Where `query` is a list, its questions are embedded together, and answered with `results` in their order.
    """
    if isinstance(body.query, str):
        return SearchOut.of(parts.searcher.search(collection, body.to_request()), trace=body.trace)
    found = parts.searcher.search_many(collection, body.to_requests())
    return SearchesOut(results=[SearchOut.of(one, trace=body.trace) for one in found])


@router.post(
    "/query",
    response_model=QueryOut,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer; with `stream`, events"}},
    dependencies=[ANSWERS],
)
async def query(collection: str, body: QueryIn, parts: Parts, request: Request, caller: Asking) -> QueryOut | Response:
    """Answer a question with citations. With `stream`: events `hits`, `note` …, `token` …, then `done` (or `error`)."""
    if body.stream:
        # The search comes before the stream begins, so that its errors still have a status of their own.
        task = await begin_answer(collection, body, parts)
        return event_stream(_events(task, body, parts, caller))
    params = answer_params(parts.settings, body.order)
    wanted, strategy, warm = body.to_request(), body.strategy, body.warm_start
    work = ask(parts.searcher, parts.generator, collection, wanted, params, strategy, warm_start=warm)
    with parts.keys.bill(caller) as bill:
        asked = await unless_gone(request, work)
        if asked is None:
            return Response(status_code=_CLIENT_GONE)
        bill.usage = asked.usage
    return QueryOut.of(asked, parts.query_log.add(body.question, asked), trace=body.trace)


async def _events(task: Task, body: QueryIn, parts: Services, caller: Caller) -> AsyncGenerator[bytes, None]:
    found = task.found
    hits = {"hits": [HitOut.of(hit).model_dump(mode="json") for hit in found.hits], "version": found.version}
    yield event("hits", hits)
    try:
        # Closed with its consumer, not when it is collected: the server must stop writing for a reader who went away.
        async with aclosing(finish_answer(task, body, parts, caller)) as pieces:
            async for one in pieces:
                if isinstance(one, Token):
                    yield event("token", {"text": one.text})
                elif isinstance(one, Note):
                    yield event("note", NoteOut.model_validate(one).model_dump())
                else:
                    yield event("done", one.model_dump(mode="json"))
    except Exception as error:  # noqa: BLE001 - the status is sent already: an event is what is left to say it with
        yield event("error", problem_of_fault(error, "the stream of an answer"))
