"""Reading the first string of a JSON object while it is still being written."""

from __future__ import annotations

import json
import re

_UNIT = re.compile(r'(?:[^"\\\x00-\x1f]+|\\["\\/bfnrt]|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}'
                   r'|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4})+')  # fmt: skip


class PartialString:
    """Decodes the string value of ``field``, which is the object's first field, from pieces of any length."""

    def __init__(self, field: str) -> None:
        self._head = re.compile(r'\s*\{\s*"' + re.escape(field) + r'"\s*:\s*"')
        self._pending = ""
        self._inside = False
        self._ended = False

    def feed(self, piece: str) -> str:
        """Return the text that ``piece`` completes; a half escape waits for its rest, and what is no JSON ends it."""
        if self._ended:
            return ""
        self._pending += piece
        if not self._inside:
            head = self._head.match(self._pending)
            if head is None:
                return ""
            self._inside = True
            self._pending = self._pending[head.end() :]
        unit = _UNIT.match(self._pending)
        if unit is None:
            self._ended = self._pending[:1] == '"'
            return ""
        text: str = json.loads(f'"{unit.group()}"')
        self._pending = self._pending[unit.end() :]
        self._ended = self._pending[:1] == '"'
        return text
