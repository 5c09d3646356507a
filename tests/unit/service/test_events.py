"""Streams of events: what proxies need, and that nothing is left running behind a reader who went away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from service import events as module
from service.events import event, event_stream


def read(events: AsyncGenerator[bytes, None]) -> list[bytes]:
    async def scenario() -> list[bytes]:
        return [bytes(one) async for one in event_stream(events).body_iterator]  # type: ignore[arg-type]

    return asyncio.run(scenario())


def test_headers_that_proxies_heed() -> None:
    async def nothing() -> AsyncGenerator[bytes, None]:
        return
        yield b""

    response = event_stream(nothing())
    assert response.media_type == "text/event-stream"
    assert response.headers["x-accel-buffering"] == "no"
    assert "no-cache" in response.headers["cache-control"]


def test_a_stream_says_when_to_come_back_and_sends_events_as_they_are() -> None:
    async def two() -> AsyncGenerator[bytes, None]:
        yield event("one", {"text": "ünï\n"}, "7")
        yield event("two", None)

    assert read(two()) == [
        'retry: 2000\nevent: one\ndata: {"text": "ünï\\n"}\nid: 7\n\n'.encode(),
        b"event: two\ndata: null\n\n",
    ]


def test_silence_is_filled_with_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.001)
    released = asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        await released.wait()
        yield event("late", 1)

    async def scenario() -> list[bytes]:
        seen: list[bytes] = []
        async for one in event_stream(slow()).body_iterator:
            seen.append(bytes(one))  # type: ignore[arg-type]
            if seen[-3:] == [b": ping\n\n"] * 3:
                released.set()
        return seen

    seen = asyncio.run(scenario())
    assert seen[-1] == b"retry: 2000\n" + event("late", 1)
    assert set(seen[:-1]) == {b": ping\n\n"}


def test_the_events_are_closed_when_the_reader_goes() -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield event("again", 1)
        finally:
            closed.set()

    async def scenario() -> None:
        stream = event_stream(endless()).body_iterator
        assert [await anext(stream) for _ in range(3)][2] == event("again", 1)  # type: ignore[call-overload]
        await stream.aclose()  # type: ignore[attr-defined]
        assert closed.is_set()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


def test_a_fault_of_the_events_ends_the_stream() -> None:
    async def broken() -> AsyncGenerator[bytes, None]:
        yield event("one", 1)
        raise RuntimeError("fault")

    with pytest.raises(RuntimeError, match="fault"):
        read(broken())
