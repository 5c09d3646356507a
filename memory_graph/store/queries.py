"""The questions that were asked, with the trace of how each was answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from memory_graph.errors import Conflict, NotFound
from memory_graph.store.rows import now
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


def list_queries(
    connection: Connection, *, limit: int, rating: int | None = None, rated: bool | None = None
) -> list[RowMapping]:
    """List the newest questions, without their traces; those of a rating, and those with or without one, if given."""
    columns = [column for column in queries.c if column.name != "trace"]
    query = select(*columns, collections.c.name.label("collection")).join(
        collections, collections.c.id == queries.c.collection_id
    )
    if rating is not None:
        query = query.where(queries.c.rating == rating)
    if rated is not None:
        query = query.where(queries.c.rating.is_not(None) if rated else queries.c.rating.is_(None))
    ordered = query.order_by(queries.c.created_at.desc(), queries.c.id)
    return list(connection.execute(ordered.limit(limit)).mappings())


def rate_query(
    connection: Connection,
    query_id: str,
    *,
    rating: int,
    comment: str | None = None,
    correct_answer: str | None = None,
) -> datetime:
    """Write what was said of an answer, in place of what was said before; return the moment.

    Errors: ``NotFound``; ``Conflict`` for words about a question whose own words were forgotten.
    """
    # Locked, as for writing questions: nothing may be forgotten between the look and the writing.
    row = get_query(connection, query_id)
    connection.execute(select(collections.c.id).where(collections.c.id == row["collection_id"]).with_for_update())
    row = get_query(connection, query_id)
    if row["trace"].get("forgotten") and (comment or correct_answer):
        raise Conflict("what this question rested on was forgotten: it takes a rating, but no words")
    moment = now()
    values = {"rating": rating, "comment": comment, "correct_answer": correct_answer, "rated_at": moment}
    connection.execute(update(queries).where(queries.c.id == query_id).values(values))
    return moment
