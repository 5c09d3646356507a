"""How many tokens a run of a job has spent, and whether another call may be made."""

from __future__ import annotations

import asyncio

from memory_graph.errors import BudgetSpent, SharpwaveError


class Ledger:
    """The tokens of one run, on one event loop; ``left`` are those of the key that pays for it, None without limit.

    Before a call the most that it can cost is set aside, so that calls made at the same time do not together go over
    the ``limit``; afterwards what it did cost is booked. ``stopped`` is why no more calls may be made.
    """

    def __init__(self, spent: int = 0, limit: int | None = None) -> None:
        self.spent = spent
        self.limit = limit
        self.left: int | None = None
        self.stopped: SharpwaveError | None = None
        self._aside = 0
        self._changed = asyncio.Condition()

    async def set_aside(self, most: int) -> None:
        """Wait until a call that costs ``most`` tokens at most may be made.

        Errors: ``BudgetSpent`` where it would go over the limit even if no other call were on its way; what ``stop``
        was given.
        """
        async with self._changed:
            while True:
                if self.stopped is not None:
                    raise self.stopped
                missing = self._missing(self._aside + most)
                if not missing:
                    self._aside += most
                    return
                if not self._aside:
                    self.stopped = BudgetSpent(
                        f"{missing}, and the next call may take {most:,}. What was paid for is kept; resume the job to "
                        "go on"
                    )
                    self._changed.notify_all()
                    raise self.stopped
                await self._changed.wait()

    async def book(self, most: int, cost: int) -> None:
        """Book what a call did cost, for which ``most`` was set aside."""
        async with self._changed:
            self._aside -= most
            self.spent += cost
            if self.left is not None:
                self.left -= cost
            self._changed.notify_all()

    async def stop(self, reason: SharpwaveError) -> None:
        """Let no more calls be made; the first reason counts."""
        async with self._changed:
            self.stopped = self.stopped or reason
            self._changed.notify_all()

    def _missing(self, tokens: int) -> str:
        """Say why so many tokens more are too many; empty where they are not."""
        if self.limit is not None and self.spent + tokens > self.limit:
            return f"the tokens allowed are spent: {self.spent:,} of {self.limit:,}"
        if self.left is not None and tokens > self.left:
            return f"the key that submitted the job has {max(0, self.left):,} tokens left today (UTC)"
        return ""
