"""The last words of a process: every stream ends with an event that says why, and no connection is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.closing import RETRY_MS, Closing, Farewell

Sent = list[Message]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8")]


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def body_of(sent: Sent) -> str:
    return b"".join(message.get("body", b"") for message in sent).decode()


class Talk:
    """One request to an app that streams an event and then waits to be told to go on."""

    def __init__(self, method: str, closing: Closing, headers: list[tuple[bytes, bytes]] = EVENTS) -> None:
        self.sent: Sent = []
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.was_cancelled = False
        self._headers = headers
        scope = {"type": "http", "method": method, "http_version": "1.1"}
        self.task = asyncio.create_task(Farewell(self._app, closing)(scope, never, self._keep))

    async def _keep(self, message: Message) -> None:
        self.sent.append(message)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(self._headers)})
        await send({"type": "http.response.body", "body": b"event: progress\ndata: 1\n\n", "more_body": True})
        self.begun.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        await send({"type": "http.response.body", "body": b"event: done\ndata: 2\n\n", "more_body": False})


def run(story: Callable[[Closing], Awaitable[None]]) -> None:
    async def told() -> None:
        await asyncio.wait_for(story(Closing()), 10)

    asyncio.run(told())


def last_event(text: str) -> tuple[dict[str, str], dict[str, Any]]:
    fields = dict(line.split(": ", 1) for line in text.rstrip().split("\n\n")[-1].splitlines())
    return fields, json.loads(fields["data"])


def test_who_follows_is_told_at_once_and_when_to_come_back() -> None:
    async def story(closing: Closing) -> None:
        talk = Talk("GET", closing)
        await talk.begun.wait()
        closing.begin()
        await talk.task
        fields, data = last_event(body_of(talk.sent))
        assert (fields["event"], fields["retry"]) == ("closing", str(RETRY_MS))
        assert (data["code"], data["status"]) == ("shutting_down", 503)
        assert talk.sent[-1]["more_body"] is False
        assert talk.was_cancelled

    run(story)


def test_an_answer_goes_on_until_it_is_late() -> None:
    async def story(closing: Closing) -> None:
        slow, quick = Talk("POST", closing), Talk("POST", closing)
        await slow.begun.wait()
        await quick.begun.wait()
        closing.begin()
        quick.go_on.set()
        await quick.task
        assert "event: done" in body_of(quick.sent)
        assert not slow.task.done()
        closing.cut()
        await slow.task
        fields, data = last_event(body_of(slow.sent))
        assert fields["event"] == "error"
        assert "retry" not in fields
        assert data["code"] == "shutting_down"
        assert "shutting_down" not in body_of(quick.sent)

    run(story)


def test_what_is_no_stream_ends_by_itself() -> None:
    async def story(closing: Closing) -> None:
        talk = Talk("GET", closing, [(b"content-type", b"application/json")])
        await talk.begun.wait()
        closing.cut()
        talk.go_on.set()
        await talk.task
        assert "closing" not in body_of(talk.sent)

    run(story)


def test_responses_say_that_the_connection_closes_once_the_end_has_begun() -> None:
    async def story(closing: Closing) -> None:
        for is_ending in (False, True):
            if is_ending:
                closing.begin()
            talk = Talk("POST", closing)
            talk.go_on.set()
            await talk.task
            assert ((b"connection", b"close") in talk.sent[0]["headers"]) is is_ending

    run(story)


def test_a_request_that_the_server_cancels_stays_cancelled() -> None:
    async def story(closing: Closing) -> None:
        talk = Talk("GET", closing)
        await talk.begun.wait()
        talk.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await talk.task
        assert "closing" not in body_of(talk.sent)

    run(story)
