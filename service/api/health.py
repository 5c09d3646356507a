"""Is it alive, is it ready."""

from __future__ import annotations

from asyncio import to_thread

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

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
async def ready(parts: Parts) -> JSONResponse:
    """Say whether questions can be answered, part by part; an unreachable generator still leaves search."""
    states = {"models": "ok"}
    try:
        await to_thread(_read, parts)  # a database that hangs must not hang all who are served
        states["store"] = "ok"
    except StoreError as error:
        states["store"] = f"failed: {error.message}"
    states["views"] = f"ok, {len(parts.views.versions())} held"
    generator = await parts.generator.check()
    reason = f"unreachable: {generator.reason}; answers are extractive"
    rest = f"; of its servers not all answer: {generator.reason}" if generator.reason else ""
    states["generator"] = f"ok, {generator.name}{rest}" if generator.reachable else reason
    is_ready = states["store"].startswith("ok")
    body = StateOut(ready=is_ready, parts=states).model_dump()
    return JSONResponse(body, status_code=200 if is_ready else 503)


def _read(parts: Services) -> None:
    with parts.database.read() as connection:
        list_collections(connection)
