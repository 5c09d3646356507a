"""OpenAI's chat completions and models: every collection is a model that answers from that memory."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from memory_graph.errors import NotFound
from memory_graph.store.collections import Collection, get_collection, list_collections
from retrieval.ask import Asked, ask, begin, finish
from retrieval.follow_up import Standing, make_standing
from retrieval.strategies.task import Task
from service.access import ANSWERS, READS, Asking, Caller
from service.errors import problem_of_fault
from service.events import HEADERS, EventStream
from service.hanging_up import unless_gone
from service.openai_errors import error_body
from service.openai_schemas import (
    PREFIX,
    AnswerOut,
    ChatIn,
    ChatOut,
    ChoiceOut,
    ModelOut,
    ModelsOut,
    annotate,
    finish_reason,
    told_of,
    usage_of,
)
from service.schemas import COLLECTION_NAME
from service.services import Parts, Services
from service.wiring import answer_params

_CLIENT_GONE = 499  # read by nobody; proxies log it so
KEEP_ALIVE_S = 10.0

router = APIRouter(prefix="/v1", tags=["openai"])


@router.get("/models", dependencies=[READS])
def list_models(parts: Parts, caller: Asking) -> ModelsOut:
    """List the collections that the caller sees as models, `sharpwave/{collection}`."""
    with parts.database.read() as connection:
        found = list_collections(connection)
    return ModelsOut(data=[_describe(collection) for collection in found if caller.sees(collection.name)])


@router.get("/models/{model:path}", dependencies=[READS])
def show_model(model: str, parts: Parts, caller: Asking) -> ModelOut:
    """Return one model."""
    return _describe(_find(parts, caller, model))


@router.post(
    "/chat/completions",
    response_model=ChatOut,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The answer; with `stream`, chunks of it"}},
    dependencies=[ANSWERS],
)
async def complete(body: ChatIn, parts: Parts, caller: Asking, request: Request) -> ChatOut | Response:
    """Answer the last user message from the collection that the model names, in OpenAI's shape, with citations."""
    body.refuse_others()
    question, earlier = body.read()
    collection = (await asyncio.to_thread(_find, parts, caller, body.model)).name
    params = answer_params(parts.settings, body.sharpwave.order)
    chat = _Chat(parts, body, str(request.base_url), collection, caller)
    params, how = replace(params, max_tokens=body.limit(params)), body.sharpwave

    async def prepare() -> Standing:
        return await make_standing(question, earlier, parts.generator)

    # A bill of its own: what the rewriting took is charged whatever becomes of the answer.
    with parts.keys.bill(caller) as bill:
        standing = await unless_gone(request, prepare())
        if standing is None:
            return Response(status_code=_CLIENT_GONE)
        bill.usage = standing.usage
    wanted, searcher, generator = body.request_for(standing.text), parts.searcher, parts.generator
    if body.stream:
        # The search comes before the stream begins, so that its errors still have a status of their own.
        task = await begin(searcher, generator, collection, wanted, params, how.strategy, warm_start=how.warm_start)
        return EventStream(chat.stream(task, standing), headers=HEADERS)
    work = ask(searcher, generator, collection, wanted, params, how.strategy, warm_start=how.warm_start)
    with parts.keys.bill(caller) as bill:
        asked = await unless_gone(request, work)
        if asked is None:
            return Response(status_code=_CLIENT_GONE)
        bill.usage = asked.usage
    return chat.conclude(asked, standing)


class _Chat:
    """One answer in OpenAI's shapes, whole or in chunks."""

    def __init__(self, parts: Services, body: ChatIn, base_url: str, collection: str, caller: Caller) -> None:
        self._parts = parts
        self._caller = caller
        self._body = body
        self._passages = f"{base_url.rstrip('/')}/v1/collections/{collection}/passages"
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": body.model}

    def conclude(self, asked: Asked, standing: Standing) -> ChatOut:
        """Log an answer and return it."""
        asked, told = self._log(asked, standing)
        message = AnswerOut(content=asked.answer.text, annotations=self._annotate(asked))
        choice = ChoiceOut(message=message, finish_reason=finish_reason(asked))
        return ChatOut.model_validate({**self._head, "choices": [choice], "usage": usage_of(asked), "sharpwave": told})

    async def stream(self, task: Task, standing: Standing) -> AsyncIterator[bytes]:
        """Yield the chunks of an answer: its text only when it was checked, as a client cannot take back what it got.

        Comments keep the connection alive until then. The work ends with its reader.
        """
        yield self._chunk({"role": "assistant", "content": ""})
        work = asyncio.create_task(_finish(task))
        try:
            with self._parts.keys.bill(self._caller) as bill:
                while not (await asyncio.wait({work}, timeout=KEEP_ALIVE_S))[0]:
                    yield b": the answer is being made\n\n"
                bill.usage = work.result().usage
                asked, told = self._log(work.result(), standing)
            yield self._chunk({"content": asked.answer.text})
            last = {"annotations": self._annotate(asked)}
            yield self._chunk(last, finish_reason=finish_reason(asked), sharpwave=told)
            if self._counts:
                yield _event({**self._head, "object": _CHUNK, "choices": [], "usage": usage_of(asked)})
            yield b"data: [DONE]\n\n"
        except Exception as error:  # noqa: BLE001 - the status is sent already: an event is what is left to say it with
            yield _event(error_body(problem_of_fault(error, "the stream of an answer")))
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    @property
    def _counts(self) -> bool:
        return self._body.stream_options is not None and self._body.stream_options.include_usage

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        # Where usage is asked for, every chunk has the field, and only the last one a value.
        empty = {"usage": None} if self._counts else {}
        return _event({**self._head, "object": _CHUNK, "choices": [choice], **empty, **more})

    def _log(self, asked: Asked, standing: Standing) -> tuple[Asked, dict[str, Any]]:
        asked = standing.tell(asked)
        query_id = self._parts.query_log.add(standing.text, asked)
        return asked, told_of(asked, standing, query_id, self._body)

    def _annotate(self, asked: Asked) -> list[dict[str, Any]]:
        sources = {hit.passage_id: hit.source for hit in asked.found.hits}
        return [
            annotate(
                citation,
                len(asked.answer.text),
                _web_address(citation.document_id, sources.get(citation.passage_id))
                or f"{self._passages}/{citation.passage_id}",
            )
            for citation in asked.answer.citations
        ]


_CHUNK = "chat.completion.chunk"


async def _finish(task: Task) -> Asked:
    *_, asked = [event async for event in finish(task)]
    assert isinstance(asked, Asked)
    return asked


def _find(parts: Services, caller: Caller, model: str) -> Collection:
    """Return the collection behind a model; one out of the caller's reach is looked up and refused as if not there."""
    name = model.removeprefix(PREFIX)
    found = None
    if COLLECTION_NAME.fullmatch(name):
        with parts.database.read() as connection, suppress(NotFound):
            found = get_collection(connection, name)
    if found is None or name == model or not caller.sees(name):
        raise NotFound("model", model)
    return found


def _describe(collection: Collection) -> ModelOut:
    return ModelOut(id=f"{PREFIX}{collection.name}", created=int(collection.created_at.timestamp()))


def _web_address(*candidates: str | None) -> str | None:
    """Return the first of these that is an address of the web: what was fetched from there is cited by it."""
    return next((one for one in candidates if one and one.startswith(("https://", "http://"))), None)


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()
