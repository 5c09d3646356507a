"""Work that ends when its client hangs up: nobody would read the answer, and a model server would go on writing it."""

from __future__ import annotations

from asyncio import FIRST_COMPLETED, create_task, gather, wait
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

T = TypeVar("T")


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Return what ``work`` does, or None where the client closed the connection before; the body must be read already.

    Errors: those of ``work``.
    """
    done, gone = create_task(work), create_task(_wait_until_gone(request))
    try:
        await wait({done, gone}, return_when=FIRST_COMPLETED)
        return await done if done.done() else None
    finally:
        done.cancel()
        gone.cancel()
        await gather(done, gone, return_exceptions=True)


async def _wait_until_gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
