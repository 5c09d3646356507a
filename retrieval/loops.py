"""An event loop in a thread of its own: for those who are not asynchronous and need a generator."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop that runs from the start until ``stop``, in a thread that ends with the process at the latest."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin with some work and return at once."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def stop(self) -> None:
        """End the loop with all that still runs on it, and wait for that."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()

    def _run(self) -> None:
        self.loop.run_forever()
        waiting = asyncio.all_tasks(self.loop)
        for task in waiting:
            task.cancel()
        if waiting:
            self.loop.run_until_complete(asyncio.wait(waiting))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
