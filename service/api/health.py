"""Is it alive, is it ready."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from memory_graph.database import check_schema
from memory_graph.errors import StoreError
from memory_graph.store.collections import list_collections
from service.schemas import StateOut
from service.services import Parts, Services

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive(request: Request) -> dict[str, str]:
    """Answer at once: the process lives. `instance` tells one start of it from another."""
    return {"status": "ok", "instance": request.app.state.instance}


@router.get(
    "/readyz",
    response_model=StateOut,
    responses={503: {"model": StateOut, "description": "Not ready, with the reason"}},
)
async def ready(parts: Parts, request: Request) -> JSONResponse:
    """Say whether questions can be answered, part by part; an unreachable generator still leaves search.

    Not ready any more from the moment on that the process is told to end.
    """
    state = await describe(parts, ending=request.app.state.closing.has_begun)
    return JSONResponse(state.model_dump(), status_code=200 if state.ready else 503)


async def describe(parts: Services, *, ending: bool) -> StateOut:
    """Return how each part is; it answers at all only when its models and the views of all collections were loaded."""
    states = {"models": "ok"}
    names, states["store"] = await asyncio.to_thread(_look_at_store, parts)
    held = parts.views.versions()
    states["views"] = f"ok, {len(held)} held"
    if missing := len(names - held.keys()):
        states["views"] += f", {missing} loaded when they are searched"
    generator = await parts.generator.check()
    reason = f"unreachable: {generator.reason}; answers are extractive"
    rest = f"; of its servers not all answer: {generator.reason}" if generator.reason else ""
    states["generator"] = f"ok, {generator.name}{rest}" if generator.reachable else reason
    if ending:
        states["process"] = "ending"
    return StateOut(ready=states["store"] == "ok" and not ending, parts=states)


def _look_at_store(parts: Services) -> tuple[set[str], str]:
    """Return the collections' names, and how the store is: reached, with this program's schema, or why not."""
    try:
        check_schema(parts.database)
        with parts.database.read() as connection:
            return {collection.name for collection in list_collections(connection)}, "ok"
    except StoreError as error:
        return set(), f"failed: {error.message}"
