"""JSON that holds no documents, as text: named values, lists, and tables of objects that hold plain values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.formats.tables import render_table, show_cell
from ingest.formats.titles import clean_heading

MAX_COLUMNS = 100  # objects with many different names are no table


def outline(value: Any) -> Iterator[str]:
    """Yield a JSON value as blocks of Markdown: what nests at the top under headings, what is deeper in indented lists.

    Recursive: the depth is to be bounded before.
    """
    if not isinstance(value, dict):
        yield from _blocks(value)
        return
    plain = [f"- {show_cell(key)}: {show_cell(item)}" for key, item in value.items() if not _nests(item)]
    yield "\n".join(plain)
    for key, item in value.items():
        if _nests(item):
            yield f"## {clean_heading(show_cell(key))}"
            yield from _blocks(item)


def _blocks(value: Any) -> Iterator[str]:
    if isinstance(value, list) and len(value) > 1 and all(isinstance(item, dict) for item in value):
        names = list(dict.fromkeys(key for item in value for key in item))
        if len(names) <= MAX_COLUMNS and not any(_nests(inner) for item in value for inner in item.values()):
            yield from render_table([names, *([item.get(key) for key in names] for item in value)])
            return
    if isinstance(value, list):
        for item in value:  # a block each: a passage ends between two of them
            yield "\n".join(_lines(item, 0))
    else:
        yield "\n".join(_lines(value, 0))


def _lines(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            if _nests(item):
                yield f"{indent}- {show_cell(key)}:"
                yield from _lines(item, depth + 1)
            else:
                yield f"{indent}- {show_cell(key)}: {show_cell(item)}"
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item, depth + 1) if _nests(item) else (f"{indent}- {show_cell(item)}",)
    else:
        yield f"{indent}- {show_cell(value)}"


def _nests(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)
