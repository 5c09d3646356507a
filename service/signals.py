"""Signals as a queue that can be waited on; what they mean is decided where they are read, not in a handler."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType


class Signals:
    """Those of ``numbers`` that came to this process since they were last asked for. Made once, in the main thread."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = frozenset(numbers)
        self._out, into = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(into, False)
        # The interpreter writes each number into the pipe: no lock is taken in a handler, and none comes too early to
        # be seen.
        signal.set_wakeup_fd(into, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, _leave_to_the_pipe)

    def wait(self, timeout_s: float | None) -> list[signal.Signals]:
        """Return the signals that came, at the latest after ``timeout_s`` seconds; None waits for one."""
        ready, _, _ = select.select([self._out], [], [], timeout_s)
        came = os.read(self._out, 1024) if ready else b""
        return [signal.Signals(number) for number in came if number in self._numbers]


def _leave_to_the_pipe(_signal: int, _frame: FrameType | None) -> None:
    """Do nothing: a signal without a handler would end the process."""
