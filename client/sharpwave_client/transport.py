"""What both clients know about the connection: address, key, time-outs, attempts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from sharpwave_client.call import Call
from sharpwave_client.errors import error_of_fault
from sharpwave_client.retrying import Retry, Tries

_CONNECT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Connection:
    """``timeout_s`` bounds the wait for any answer, ``answer_timeout_s`` that for a language model's or an export."""

    url: str
    key: str | None
    timeout_s: float
    answer_timeout_s: float
    retry: Retry

    def settings(self) -> dict[str, Any]:
        """Return what httpx's clients are made from."""
        # As bytes: a key may hold any characters.
        headers = [] if self.key is None else [(b"Authorization", f"Bearer {self.key}".encode())]
        return {"base_url": self.url, "headers": headers, "timeout": self._timeout(self.timeout_s)}

    def timeout(self, call: Call[Any]) -> httpx.Timeout:
        """Return how long to wait for this call."""
        return self._timeout(max(self.timeout_s, self.answer_timeout_s) if call.slow else self.timeout_s)

    def tries(self, call: Call[Any]) -> Tries:
        """Return the attempts of a call."""
        return Tries(self.retry, repeatable=call.repeatable, url=self.url)

    @contextmanager
    def named_faults(self) -> Iterator[None]:
        """Turn faults of the network into our errors, where nothing can be tried again."""
        try:
            yield
        except httpx.TransportError as fault:
            raise error_of_fault(fault, self.url) from fault

    def _timeout(self, seconds: float) -> httpx.Timeout:
        return httpx.Timeout(seconds, connect=min(_CONNECT_S, seconds))
