"""Pages of documents, in four orders, narrowed by what is typed: each goes along an index, and stops in time.

What no index answers (a text within names, a source, a job, copies) is tried on one row after the other, on a bounded
number of them a page: a page may be short, and says where the next goes on (decision 0043).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from memory_graph.tables import documents, near_copies
from memory_graph.text import fold

DocumentSort: TypeAlias = Literal["learned", "title", "passages", "occurred"]
PART_CHARS = 200  # of title, id and source each
# Rows that are tried for one page: where the index alone says, or rows lie in its order, and where each is looked up.
NEAR, FAR = 10_000, 4_000

_COLUMNS: dict[DocumentSort, Column[Any]] = {
    "learned": documents.c.created_at,
    "title": documents.c.names,
    "passages": documents.c.passages,
    "occurred": documents.c.occurred_at,
}


@dataclass(frozen=True, kw_only=True)
class DocumentFilter:
    """Which documents to list; what is None or empty does not matter.

    ``q`` stands in the title, the id or the source; ``since`` is the first moment of learning that counts, ``until``
    the first that does not; ``copies`` says whether there is another document with the same or nearly the same text.
    """

    q: str = ""
    source: str | None = None
    job_id: str | None = None
    copies: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a row stands in an order: by ``value``, then by ``row_id``; ``value`` None stands behind all others."""

    value: Any
    row_id: int


@dataclass(frozen=True, kw_only=True)
class DocumentPage:
    """Rows in the order that was asked for, and where the pages beside it go on; None where nothing is left."""

    rows: Sequence[RowMapping]
    previous: Place | None
    following: Place | None


def names_of(key: str, title: str, source: str | None) -> str:
    """Return the column that names are looked for in: title, id and source, folded, the first characters of each.

    It is sorted by as well, so what is shown as a document's name comes first.
    """
    parts = [fold(part)[:PART_CHARS] for part in (title, key, source or "")]
    return "\n".join(dict.fromkeys(filter(None, parts)))


def page_documents(
    connection: Connection,
    collection_id: int,
    *,
    only: DocumentFilter | None = None,
    sort: DocumentSort = "learned",
    descending: bool = False,
    beyond: Place | None = None,
    backwards: bool = False,
    limit: int,
) -> DocumentPage:
    """Return up to ``limit`` documents behind the place ``beyond``, or with ``backwards`` those before it.

    Documents without the moment that ``occurred`` sorts by come last, in either direction.
    """
    only = only or DocumentFilter()
    column = _COLUMNS[sort]
    bounds, tried = _conditions(connection, only, sort)
    most = _rows_to_try(only, sort)
    found: list[RowMapping] = []
    stopped: Place | None = None
    for is_dated, start in _parts(sort, beyond, backwards):
        here = and_(documents.c.collection_id == collection_id, *bounds)
        if sort == "occurred":
            here = and_(here, column.is_not(None) if is_dated else column.is_(None))
        ordered = (column, documents.c.id) if is_dated else (documents.c.id,)
        is_falling = descending != backwards
        if start is not None:
            here = and_(here, _behind(column if is_dated else None, start, is_falling))
        order = [one.desc() if is_falling else one.asc() for one in ordered]
        wanted = here
        if tried:
            end = connection.execute(
                select(column.label("value"), documents.c.id).where(here).order_by(*order).offset(most - 1).limit(1)
            ).one_or_none()
            stopped = None if end is None else Place(value=end.value, row_id=end.id)
            wanted = and_(here, *tried)
            if stopped is not None:
                wanted = and_(wanted, _behind(column if is_dated else None, stopped, not is_falling, itself=True))
        query = select(documents).where(wanted).order_by(*order).limit(limit + 1 - len(found))
        found += connection.execute(query).mappings()
        if len(found) > limit or stopped is not None:
            break
    more = len(found) > limit
    rows = found[:limit]
    onward = _place(rows[-1], sort) if more else stopped
    back = _place(rows[0], sort) if rows and (beyond is not None) else None
    if backwards:
        return DocumentPage(rows=rows[::-1], previous=onward, following=back)
    return DocumentPage(rows=rows, previous=back, following=onward)


def _parts(sort: DocumentSort, beyond: Place | None, backwards: bool) -> Iterator[tuple[bool, Place | None]]:
    """Yield which rows to go through, dated ones or those without a date, and behind which place."""
    if sort != "occurred":
        yield True, beyond
        return
    was_dated = beyond.value is not None if beyond is not None else not backwards
    yield was_dated, beyond
    if was_dated != backwards:
        yield not was_dated, None


def _behind(
    column: ColumnElement[Any] | None, place: Place, is_falling: bool, *, itself: bool = False
) -> ColumnElement[bool]:
    """Say that a row comes after a place in an order, or with ``itself`` stands there."""
    here: Any = documents.c.id
    there: Any = literal(place.row_id, documents.c.id.type)
    if column is not None:
        kind = there.type if isinstance(place.value, int) else column.type  # a cursor may name any number
        here, there = tuple_(column, here), tuple_(literal(place.value, kind), there)
    if is_falling:
        behind: ColumnElement[bool] = here <= there if itself else here < there
    else:
        behind = here >= there if itself else here > there
    return behind


def _conditions(
    connection: Connection, only: DocumentFilter, sort: DocumentSort
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Return what bounds the way along the index, and what is tried on each row of it."""
    learned: list[ColumnElement[bool]] = []
    if only.since is not None:
        learned.append(documents.c.created_at >= only.since)
    if only.until is not None:
        learned.append(documents.c.created_at < only.until)
    tried: list[ColumnElement[bool]] = []
    if only.q:
        where = func.instr if connection.dialect.name == "sqlite" else func.strpos
        tried.append(where(documents.c.names, fold(only.q)) > 0)
    if only.source is not None:
        tried.append(documents.c.source == only.source)
    if only.job_id is not None:
        tried.append(documents.c.job_id == only.job_id)
    if only.copies is not None:
        tried.append(_has_copies() if only.copies else ~_has_copies())
    return (learned, tried) if sort == "learned" else ([], [*learned, *tried])


def _rows_to_try(only: DocumentFilter, sort: DocumentSort) -> int:
    is_in_row = only.source is not None or only.job_id is not None
    is_near = sort == "learned" or (sort == "title" and not is_in_row)
    return NEAR if is_near and only.copies is None else FAR


def _has_copies() -> ColumnElement[bool]:
    other = documents.alias("other")
    mine = documents.c.signature_id
    return or_(
        exists().where(other.c.signature_id == mine, other.c.id != documents.c.id),
        exists().where(near_copies.c.one_id == mine),
        exists().where(near_copies.c.other_id == mine),
    )


def _place(row: RowMapping, sort: DocumentSort) -> Place:
    return Place(value=row[_COLUMNS[sort].name], row_id=row["id"])
