"""A circuit breaker: a server that failed several times in a row is left alone for a while, then tried once.

The pattern is M. Nygard's (Release It!, 2007). One breaker belongs to one server and one event loop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class BreakerParams:
    """When a server is left alone, and for how long."""

    failures: int = 5
    """After so many failures in a row; 0 means never."""
    rest_s: float = 15.0
    """For so many seconds; then one call is let through, and its outcome decides."""


class Breaker:
    """Closed (calls pass), open (calls are refused), or probing (one call is on its way, others are refused)."""

    def __init__(self, params: BreakerParams, clock: Clock = time.monotonic) -> None:
        self._params = params
        self._clock = clock
        self._failures = 0
        self._reason = ""
        self._opened_at: float | None = None
        self._probing = False

    def refusal(self) -> str | None:
        """Say why no call may pass now; None where one may."""
        if self._opened_at is None:
            return None
        head = f"{self._reason}, after {self._failures} failures in a row"
        left = self._opened_at + self._params.rest_s - self._clock()
        if left > 0:
            return f"{head}; asked again in {math.ceil(left)} s"
        return f"{head}; one call tries it now" if self._probing else None

    def enter(self) -> Attempt:
        """Let a call through that ``refusal`` does not refuse; while the breaker is open it is the probe."""
        probe = self._opened_at is not None
        self._probing = self._probing or probe
        return Attempt(self, probe)

    def _leave(self, probe: bool) -> None:
        if probe:
            self._probing = False

    def _count_success(self, probe: bool) -> None:
        # What was under way before the breaker opened proves nothing about the server now.
        if probe or self._opened_at is None:
            self._failures, self._opened_at = 0, None

    def _count_failure(self, probe: bool, reason: str) -> None:
        if self._params.failures and (probe or self._opened_at is None):
            self._failures, self._reason = self._failures + 1, reason
            if probe or self._failures >= self._params.failures:
                self._opened_at = self._clock()

    def _close_on_trial(self) -> None:
        self._probing, self._opened_at, self._failures = False, None, self._params.failures - 1


class Attempt:
    """One call on its way through a breaker: it ends as a success, a failure, or neither (the caller went away)."""

    def __init__(self, breaker: Breaker, probe: bool) -> None:
        self._breaker = breaker
        self._probe = probe

    def begin(self) -> None:
        """The first piece of a stream came: others may pass again, and the next failure refuses them again."""
        if self._probe:
            self._probe = False
            self._breaker._close_on_trial()

    def succeed(self) -> None:
        """The whole reply came."""
        self._breaker._count_success(self._probe)

    def fail(self, reason: str) -> None:
        """The server could not be reached, broke off or took too long."""
        self._breaker._count_failure(self._probe, reason)

    def leave(self) -> None:
        """The call is over, however it ended."""
        self._breaker._leave(self._probe)
