"""Pages of lists: a cursor names the last row that a client has, so that rows which come or go meanwhile shift none.

Cursors are opaque to clients: base64 of the list's name and the row's key in its order. One that was cut, made up, or
taken from another list is refused.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query

from memory_graph.errors import InvalidInput
from memory_graph.text import hash_text

MAX_LIMIT = 1_000
MAX_CURSOR_CHARS = 8_000  # a name may be long, and every character of it four bytes
MAX_ID = 2**63 - 1  # the database takes no number beyond
CHECK_DIGITS = 8
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many to return at most")]
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before; the first page has none")]

Key = TypeVar("Key", bound="tuple[Any, ...]")
T = TypeVar("T")


class Pages(Generic[Key]):
    """The pages of one list; ``parts`` are the types of its rows' key: ``int``, ``str`` or ``datetime``."""

    def __init__(self, name: str, *parts: type) -> None:
        self._name = name
        self._parts = parts

    def read(self, cursor: str | None) -> Key | None:
        """Return the key that a cursor names. Errors: ``InvalidInput`` for one that this list did not give."""
        if cursor is None:
            return None
        try:
            if len(cursor) > MAX_CURSOR_CHARS:
                raise ValueError("too long")
            check, _, said = urlsafe_b64decode(cursor.encode("ascii") + b"==").decode("utf-8").partition(" ")
            if check != self._check(said):
                raise ValueError("not of this list")
            return tuple(map(_read_part, self._parts, json.loads(said)))  # type: ignore[return-value]
        except (NotBase64, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InvalidInput("cursor", "must be the next_cursor of an earlier page of the same list") from error

    def cut(self, rows: Sequence[T], limit: int, key: Callable[[T], Key]) -> tuple[Sequence[T], str | None]:
        """Return the page of up to ``limit`` of ``rows``, read with one to spare, and the next page's cursor."""
        if len(rows) <= limit:
            return rows, None
        said = json.dumps(
            [_write_part(part) for part in key(rows[limit - 1])], separators=(",", ":"), ensure_ascii=False
        )
        cursor = urlsafe_b64encode(f"{self._check(said)} {said}".encode()).decode().rstrip("=")
        return rows[:limit], cursor

    def _check(self, said: str) -> str:
        return hash_text(f"{self._name} {said}")[:CHECK_DIGITS]


def _write_part(part: Any) -> Any:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else part


def _read_part(kind: type, part: Any) -> Any:
    if kind is datetime:
        moment = datetime.fromisoformat(part)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        return moment
    if type(part) is not kind or (isinstance(part, int) and not 0 <= part <= MAX_ID):
        raise ValueError("another type")
    if kind is str and _UNSTORABLE.search(part):
        raise ValueError("a character that no row holds")
    return part
