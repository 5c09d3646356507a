"""A collection as JSON lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

from anyio import to_thread
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from memory_graph.store.collections import get_collection
from service.access import READS, Acting
from service.auditing import audited
from service.services import Parts, Services
from service.transfer import export_lines

router = APIRouter(prefix="/v1/collections/{collection}", tags=["collections"])

JSON_LINES = "application/jsonl"


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={200: {"content": {JSON_LINES: {"schema": {"type": "string"}}}, "description": "JSON lines"}},
    dependencies=[READS],
)
async def export(collection: str, parts: Parts, actor: Acting) -> StreamingResponse:
    """Return all that a collection holds as JSON lines, of one state; the last line counts the others.

    A stream that ends without that line was cut short. `sharpwave import` makes a collection of it.
    """

    def begin() -> None:
        with audited(parts.database, actor, "collection.export", collection=collection) as change:
            # While there still is a status to say with that it is not there.
            change.detail = {"version": get_collection(change.connection, collection).version}

    await to_thread.run_sync(begin)
    named = {"Content-Disposition": f'attachment; filename="{collection}.jsonl"'}
    return StreamingResponse(_chunks(parts, collection), media_type=JSON_LINES, headers=named)


async def _chunks(parts: Services, collection: str) -> AsyncIterator[bytes]:
    lines = export_lines(parts.database, collection)
    try:
        # Not cancelled while it reads, as AnyIO's threads are by default: its transaction is closed below.
        while (chunk := await to_thread.run_sync(next, lines, None)) is not None:
            yield chunk
    finally:
        await to_thread.run_sync(lines.close)
