"""Paths with wild cards, expanded here because a shell does not do it in quotation marks, or not with ``**``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ingest.files import SUFFIXES
from memory_graph.errors import InvalidInput

_WILD = re.compile(r"[*?\[]")


def expand_path(text: str) -> list[Path]:
    """Return the path that a text names or, where it has wild cards and is no path itself, those that it matches.

    ``*``, ``?`` and ``[…]`` stand for something within a name, ``**`` for any number of folders. As in folders, hidden
    names, which the pattern does not spell, and unknown suffixes are passed over, and links to folders are not followed
    by ``**``. Errors: ``InvalidInput`` for a pattern that matches nothing.
    """
    path = Path(text)
    if not _WILD.search(text) or os.path.lexists(path):
        return [path]
    path = path.expanduser()
    fixed = next(n for n, part in enumerate(path.parts) if _WILD.search(part))
    base, pattern = Path(*path.parts[:fixed]), path.parts[fixed:]
    try:
        found = sorted(one for one in base.glob("/".join(pattern)) if not _is_hidden(one, base, pattern))
    except ValueError as error:
        raise InvalidInput("PATH", f"the pattern {text!r} is malformed: {error}") from None
    if not found:
        raise InvalidInput("PATH", f"the pattern {text!r} matches nothing")
    return list(_wanted(found))


def _is_hidden(path: Path, base: Path, pattern: tuple[str, ...]) -> bool:
    spelled = any(part.startswith(".") for part in pattern)
    return not spelled and any(part.startswith(".") for part in path.relative_to(base).parts)


def _wanted(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.suffix.lower() in SUFFIXES or path.is_dir():
            yield path
