"""Server-sent events that get through proxies: kept open while nothing happens, buffered and cached by none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

# Below the idle limits of common proxies, which begin at 30 s.
KEEP_ALIVE_S = 15.0
RETRY_MS = 2_000
HEADERS = {
    "Cache-Control": "no-cache, no-transform",  # a proxy that compresses holds events back
    "X-Accel-Buffering": "no",
}


def event(name: str, data: object, event_id: str | None = None) -> bytes:
    """Write one event with JSON data."""
    return format_sse_event(event=name, id=event_id, data_str=json.dumps(data, ensure_ascii=False))


class EventStream(StreamingResponse):
    """A response of events."""

    media_type = "text/event-stream"


def event_stream(events: AsyncGenerator[bytes, None]) -> EventStream:
    """Return the response that sends these events; they are closed when the client goes away."""
    return EventStream(_keep_open(events), headers=HEADERS)


async def _keep_open(events: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    # One task from first to last: what the events hold open, such as a call to a model, is closed where it was opened.
    ready: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=1)
    producer = asyncio.create_task(_produce(events, ready))
    try:
        # With the first event, not before it: there are readers to whom a block without an event is none.
        before = b"retry: %d\n" % RETRY_MS
        while True:
            try:
                one = await asyncio.wait_for(ready.get(), KEEP_ALIVE_S)
            except TimeoutError:
                yield KEEPALIVE_COMMENT
                continue
            if one is None:
                break
            yield before + one
            before = b""
        await producer  # raises what the events raised
    finally:
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)


async def _produce(events: AsyncGenerator[bytes, None], ready: asyncio.Queue[bytes | None]) -> None:
    failed: Exception | None = None
    async with aclosing(events):
        try:
            async for one in events:
                await ready.put(one)
        except Exception as error:  # noqa: BLE001 - raised again below, once the reader knows that there is no more
            failed = error
    await ready.put(None)
    if failed is not None:
        raise failed
