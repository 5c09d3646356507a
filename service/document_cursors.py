"""Cursors of the list of documents: each names a row's place in one order, and which way the page goes from there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeAlias, get_args

from fastapi import Query

from memory_graph.store.listing import DocumentSort, Place
from service.paging import Pages

Direction: TypeAlias = Literal["asc", "desc"]
Order = Annotated[Direction, Query(description="Rising or falling")]

_KINDS: dict[DocumentSort, type] = {"learned": datetime, "title": str, "passages": int, "occurred": datetime}
# Of a row: whether the page goes backwards, whether the row has a value, the value, its id.
_PAGES: dict[tuple[DocumentSort, Direction], Pages[tuple[int, int, Any, int]]] = {
    (sort, order): Pages(f"documents by {sort} {order}", int, int, kind, int)
    for sort, kind in _KINDS.items()
    for order in get_args(Direction)
}
_NO_MOMENT = datetime(1, 1, 1, tzinfo=UTC)


def read_place(sort: DocumentSort, order: Direction, cursor: str | None) -> tuple[Place | None, bool]:
    """Return the place that a cursor names and whether to go backwards. Errors: ``InvalidInput``."""
    key = _PAGES[sort, order].read(cursor)
    if key is None:
        return None, False
    backwards, is_there, value, row_id = key
    return Place(value=value if is_there or sort != "occurred" else None, row_id=row_id), bool(backwards)


def write_place(sort: DocumentSort, order: Direction, place: Place | None, *, backwards: bool = False) -> str | None:
    """Return the cursor of a place, None of none."""
    if place is None:
        return None
    value = _NO_MOMENT if place.value is None else place.value
    key = int(backwards), int(place.value is not None), value, place.row_id
    _, cursor = _PAGES[sort, order].cut([0, 1], 1, lambda _row: key)
    return cursor
