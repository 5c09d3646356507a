"""Tables as Markdown in pieces that can be read alone: each is small enough for a passage and begins with the head."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta

from ingest.formats.titles import UNSTORABLE

# Of a piece with its head. A passage has room for 220 tokens: about this, where a third of it is digits and bars.
PIECE_CHARS = 480
HEAD_CHARS = 240  # a longer head leaves its rows no room: their cells are written with the names of their columns

_RULE = re.compile(r"\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def render_table(rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield a table in pieces; its head is the first row that is not empty.

    A piece is a Markdown table of at most ``PIECE_CHARS`` characters or of one row. A row that is longer than the head,
    and every row where the head is long, is a list of names and cells.
    """
    filled = (cells for cells in map(_show_cells, rows) if cells)
    head = next(filled, None)
    if head is None:
        return
    start = [_line(head), "|" + " --- |" * len(head)]
    is_wide = len(start[0]) > HEAD_CHARS
    pieces = _Pieces(start)
    bare = True
    for cells in filled:
        bare = False
        if is_wide or len(cells) > len(head):
            yield from pieces.end()
            yield _record(head, cells)
        else:
            yield from pieces.add(_line(cells + [""] * (len(head) - len(cells))))
    yield from pieces.end()
    if bare:
        yield "\n".join(start) if not is_wide else "\n".join(f"- {name}" for name in head if name)


def repeat_heads(markdown: str) -> str:
    """Return Markdown with its long tables cut into pieces, each with the table's head."""
    if "\n|" not in f"\n{markdown}":
        return markdown
    out: list[str] = []
    lines = markdown.split("\n")
    at, fence = 0, ""
    while at < len(lines):
        line = lines[at]
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        is_table = not fence and line.startswith("|") and at + 1 < len(lines) and _RULE.fullmatch(lines[at + 1])
        if not is_table:
            out.append(line)
            at += 1
            continue
        end = at + 2
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        if len(line) > HEAD_CHARS or sum(map(len, lines[at:end])) <= PIECE_CHARS:
            out += lines[at:end]
        else:
            pieces = _Pieces(lines[at : at + 2])
            found = [piece for row in lines[at + 2 : end] for piece in pieces.add(row)]
            out.append("\n\n".join([*found, *pieces.end()]))
        at = end
    return "\n".join(out)


def show_cell(value: object) -> str:
    """Return a cell on one line: whole numbers without a fraction, times in ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds") if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return " ".join(UNSTORABLE.sub("\ufffd", str(value)).split())


class _Pieces:
    """Collects rows until they fill a piece."""

    def __init__(self, head: Sequence[str]) -> None:
        self._head = list(head)
        self._rows: list[str] = []
        self._size = self._empty = sum(map(len, head)) + len(head)

    def add(self, row: str) -> Iterator[str]:
        if self._rows and self._size + len(row) > PIECE_CHARS:
            yield from self.end()
        self._rows.append(row)
        self._size += len(row) + 1

    def end(self) -> Iterator[str]:
        if self._rows:
            yield "\n".join([*self._head, *self._rows])
        self._rows, self._size = [], self._empty


def _show_cells(row: Sequence[object]) -> list[str]:
    cells = [show_cell(cell) for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _record(head: Sequence[str], cells: Sequence[str]) -> str:
    names = [*head, *[""] * (len(cells) - len(head))]
    named = zip(names, cells, strict=False)
    return "\n".join(f"- {name or f'column {n}'}: {cell}" for n, (name, cell) in enumerate(named, start=1) if cell)
