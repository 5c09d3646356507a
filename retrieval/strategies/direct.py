"""One call over the passages that the search found."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from retrieval.strategies.task import Event, Task


async def read_directly(task: Task) -> AsyncGenerator[Event, None]:
    """Answer from the hits."""
    async with aclosing(task.answer(task.hits)) as events:
        async for event in events:
            yield event
