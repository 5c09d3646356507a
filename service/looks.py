"""Looks into the database for many requests at once: one read at a time, whatever comes in meanwhile."""

from __future__ import annotations

from asyncio import Future, Task, create_task, get_running_loop, shield
from collections.abc import Callable, Collection, Mapping
from typing import Generic, TypeVar

from anyio import CapacityLimiter, to_thread

Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Looks(Generic[Asked, Found]):
    """Answers requests by ``read``, which is given all that wait and runs on a thread of its own.

    A read begins after those who wait for it asked, so no answer is older than its question. Requests without number
    cost one read at a time, and a thread's turn each. For one event loop.
    """

    def __init__(self, read: Callable[[Collection[Asked]], Mapping[Asked, Found]]) -> None:
        self._read = read
        self._waiting: dict[Asked, Future[Found]] = {}
        self._reading: Task[None] | None = None
        self._thread = CapacityLimiter(1)  # so that a look waits for no search

    async def ask(self, one: Asked) -> Found:
        """Return what is found. Errors: those of ``read``."""
        waiting = self._waiting.get(one)
        if waiting is None:
            waiting = self._waiting[one] = get_running_loop().create_future()
        if self._reading is None:
            self._reading = create_task(self._run())
        # Others wait for the same: who goes takes nothing from them.
        return await shield(waiting)

    async def _run(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                try:
                    found = await to_thread.run_sync(self._read, tuple(asked), limiter=self._thread)
                except Exception as error:  # noqa: BLE001 - it is theirs who asked
                    for future in asked.values():
                        future.set_exception(error)
                        future.exception()  # seen, also where all of them have gone
                else:
                    for one, future in asked.items():
                        future.set_result(found[one])
        finally:
            self._reading = None
