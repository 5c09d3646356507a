"""The questions that were asked, with the trace of how each was answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from memory_graph.errors import NotFound
from memory_graph.store.scrubbing import keep_unforgotten
from memory_graph.tables import collections, queries


def add_queries(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write answered questions with their traces; those to a collection that was deleted meanwhile go with it.

    Those whose answer rests on what was forgotten meanwhile are written without their words.
    """
    # Locked: nothing may be forgotten between the look at what lives and the writing.
    wanted = sorted({row["collection_id"] for row in rows})
    here = select(collections.c.id).where(collections.c.id.in_(wanted)).order_by(collections.c.id)
    live = set(connection.scalars(here.with_for_update()))
    kept = [row for row in rows if row["collection_id"] in live]
    if kept:
        connection.execute(insert(queries), keep_unforgotten(connection, kept))


def get_query(connection: Connection, query_id: str) -> RowMapping:
    """Read one question with its trace and the collection's name. Errors: ``NotFound``."""
    row = (
        connection.execute(
            select(queries, collections.c.name.label("collection"))
            .join(collections, collections.c.id == queries.c.collection_id)
            .where(queries.c.id == query_id)
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFound("query", query_id)
    return row


def list_queries(connection: Connection, *, limit: int, among: Iterable[str] | None = None) -> list[RowMapping]:
    """List the newest questions, of the collections that are named ``among``, without their traces."""
    ours = () if among is None else (collections.c.name.in_(among),)
    columns = [column for column in queries.c if column.name != "trace"]
    return list(
        connection.execute(
            select(*columns, collections.c.name.label("collection"))
            .join(collections, collections.c.id == queries.c.collection_id)
            .where(*ours)
            .order_by(queries.c.created_at.desc(), queries.c.id)
            .limit(limit)
        ).mappings()
    )
