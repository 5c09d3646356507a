"""Where a page ended, as a text that the next request hands back."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from typing import TypeVar

from memory_graph.errors import InvalidInput

T = TypeVar("T")
MAX_ID = 2**63 - 1  # the database takes no number beyond


def write_cursor(*place: int | str) -> str:
    """Return a cursor for the place behind a row."""
    return urlsafe_b64encode(json.dumps(place, ensure_ascii=False).encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, *kinds: type[int] | type[str]) -> list[int | str] | None:
    """Return the place that a cursor tells, None without one. Errors: ``InvalidInput`` for one of another kind."""
    if cursor is None:
        return None
    refused = InvalidInput("cursor", "must be the next_cursor of an earlier page")
    try:
        place = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except (NotBase64, UnicodeError, ValueError, RecursionError):
        raise refused from None
    if not isinstance(place, list) or [type(one) for one in place] != list(kinds):
        raise refused
    if any(isinstance(one, int) and not 0 <= one <= MAX_ID for one in place):
        raise refused
    if any(isinstance(one, str) and "\0" in one for one in place):
        raise refused
    return place


def cut_page(rows: list[T], limit: int) -> tuple[list[T], bool]:
    """Return the first ``limit`` of rows, and whether there are more."""
    return rows[:limit], len(rows) > limit
