"""What becomes of work whose client hangs up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fastapi import Request

from service.hanging_up import unless_gone


class Client:
    """Sends nothing more, and hangs up when told to."""

    def __init__(self) -> None:
        self.hangs_up = asyncio.Event()
        self.request = Request({"type": "http", "method": "POST", "headers": []}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}


def test_work_for_a_client_who_stays_is_returned_or_raised() -> None:
    async def work() -> str:
        return "done"

    async def fail() -> str:
        raise ValueError("no")

    async def scenario() -> None:
        assert await unless_gone(Client().request, work()) == "done"
        with pytest.raises(ValueError, match="no"):
            await unless_gone(Client().request, fail())

    asyncio.run(scenario())


def test_work_for_a_client_who_hangs_up_is_cancelled_and_done_with() -> None:
    seen: list[str] = []

    async def work() -> str:
        seen.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("ended")
        return "never"

    async def scenario() -> None:
        client = Client()
        asking = asyncio.create_task(unless_gone(client.request, work()))
        while not seen:
            await asyncio.sleep(0)
        client.hangs_up.set()
        assert await asking is None
        assert seen == ["begun", "ended"]

    asyncio.run(scenario())
