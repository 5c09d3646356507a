"""A name for every request: what a client and a log call it by."""

from __future__ import annotations

from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def request_id() -> str | None:
    """Return the id of the request that this code runs for, None outside of any."""
    return _current.get()
