"""Which calls are tried again, after what, and how long later."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx

from sharpwave_client.errors import ApiError, error_of, error_of_fault

_BUSY = frozenset({429, 503})
# Nothing of the request had left when these were raised.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """A call is made at most ``attempts`` times, with pauses that double from ``first_s`` up to ``longest_s``.

    ``Retry-After`` goes before that; where it asks for more than ``longest_s`` the error is raised at once.
    """

    attempts: int = 4
    first_s: float = 0.5
    longest_s: float = 30.0


class Tries:
    """The attempts of one call. ``repeatable`` says that to make it twice does no more than to make it once."""

    def __init__(self, retry: Retry, *, repeatable: bool, url: str) -> None:
        self._retry = retry
        self._repeatable = repeatable
        self._url = url
        self._made = 0

    def after_refusal(self, response: httpx.Response) -> float:
        """Return how long to wait before the next attempt. Errors: the refusal, if there is to be none."""
        error = error_of(response)
        if not self._repeatable or not self._may_pass(error):
            raise error
        pause = self._pause() if error.retry_after_s is None else error.retry_after_s
        if self._is_last() or pause > self._retry.longest_s:
            raise error
        return pause

    def after_fault(self, fault: httpx.TransportError) -> float:
        """Return how long to wait before the next attempt. Errors: ``ConnectionFailed``, if there is to be none.

        What timed out while the service worked on it is not asked for again: it would work on it twice.
        """
        sent = not isinstance(fault, _NEVER_SENT)
        wait = self._pause()
        if self._is_last() or (sent and (not self._repeatable or isinstance(fault, httpx.TimeoutException))):
            raise error_of_fault(fault, self._url) from fault
        return wait

    def _may_pass(self, error: ApiError) -> bool:
        if error.status in _BUSY:
            return not error.code.startswith("model_")  # a model that is missing stays so
        # The attempt before, whose connection broke, is still at work under the same key.
        return self._made > 0 and error.code == "request_in_progress"

    def _pause(self) -> float:
        full = min(self._retry.first_s * 2.0**self._made, self._retry.longest_s)
        return full * random.uniform(0.5, 1.0)  # so that many clients do not come back together

    def _is_last(self) -> bool:
        self._made += 1
        return self._made >= self._retry.attempts
