"""The questions that were asked, with the trace of how each was answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, and_, insert, or_, select, update

from memory_graph.errors import Conflict, NotFound
from memory_graph.store.rows import chunks, now, older_than
from memory_graph.store.scrubbing import keep_unforgotten
from memory_graph.tables import citations, collections, documents, passages, queries


def add_queries(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write answered questions with their traces; those to a collection that was deleted meanwhile go with it.

    Those whose answer rests on what was forgotten meanwhile are written without their words. ``cited``, where a row has
    it, are the ids of the passages that its answer quotes.
    """
    # Locked: nothing may be forgotten between the look at what lives and the writing.
    wanted = sorted({row["collection_id"] for row in rows})
    here = select(collections.c.id).where(collections.c.id.in_(wanted)).order_by(collections.c.id)
    live = set(connection.scalars(here.with_for_update()))
    kept = [row for row in rows if row["collection_id"] in live]
    if not kept:
        return
    written = keep_unforgotten(connection, kept)
    cited = {row["id"]: row.pop("cited", ()) for row in written}
    connection.execute(insert(queries), written)
    worded = {row["id"] for row in written if not row["trace"].get("forgotten")}
    wanted = sorted({passage_id for query_id in worded for passage_id in cited[query_id]})
    there: set[int] = set()
    for some in chunks(wanted):
        there.update(connection.scalars(select(passages.c.id).where(passages.c.id.in_(some))))
    found = [
        {"query_id": query_id, "passage_id": passage_id}
        for query_id in sorted(worded)
        for passage_id in dict.fromkeys(cited[query_id])
        if passage_id in there
    ]
    if found:
        connection.execute(insert(citations), found)


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


@dataclass(frozen=True, kw_only=True)
class QueryFilter:
    """Which questions to list; what is None does not matter.

    ``answered`` says whether the memory knew, ``fallback`` whether anything was answered around; ``since`` is the first
    moment that counts, ``until`` the first that does not; ``text`` stands in question or answer, whatever its case;
    ``least_ms`` is how long the answer took at least, in milliseconds.
    """

    collection_id: int | None = None
    among: Iterable[str] | None = None
    """Names of collections."""
    answered: bool | None = None
    fallback: bool | None = None
    since: datetime | None = None
    until: datetime | None = None
    rating: int | None = None
    rated: bool | None = None
    """Whether anybody rated the answer."""
    document: str | None = None
    """The id of a document that the answer quotes."""
    text: str = ""
    least_ms: int | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Yield what a row must meet."""
        if self.collection_id is not None:
            yield queries.c.collection_id == self.collection_id
        if self.among is not None:
            yield collections.c.name.in_(self.among)
        if self.answered is not None:
            yield queries.c.found.is_(self.answered)
        if self.fallback is not None:
            yield queries.c.fallback_reason.is_not(None) if self.fallback else queries.c.fallback_reason.is_(None)
        if self.since is not None:
            yield queries.c.created_at >= self.since
        if self.until is not None:
            yield queries.c.created_at < self.until
        if self.rating is not None:
            yield queries.c.rating == self.rating
        if self.rated is not None:
            yield queries.c.rating.is_not(None) if self.rated else queries.c.rating.is_(None)
        if self.document is not None:
            quoted = passages.join(documents, documents.c.id == passages.c.document_id)
            quoted = quoted.join(citations, citations.c.passage_id == passages.c.id)
            quoting = select(citations.c.query_id).select_from(quoted).where(documents.c.key == self.document)
            if self.collection_id is not None:
                quoting = quoting.where(documents.c.collection_id == self.collection_id)
            yield queries.c.id.in_(quoting)
        if self.text:
            columns = queries.c.question, queries.c.answer
            yield or_(*(column.icontains(self.text, autoescape=True) for column in columns))
        if self.least_ms is not None:
            yield queries.c.milliseconds >= self.least_ms


def list_queries(
    connection: Connection,
    *,
    limit: int,
    after: tuple[datetime, str] | None = None,
    after_found: bool | None = None,
    only: QueryFilter | None = None,
    unanswered_first: bool = False,
) -> list[RowMapping]:
    """List the newest questions, without their traces; ``after`` is the (created_at, id) of the last one seen.

    With ``unanswered_first`` those that the memory could not answer come before the others; ``after_found`` says which
    of them the last one seen was.
    """
    columns = [column for column in queries.c if column.name != "trace"]
    statement = (
        select(*columns, collections.c.name.label("collection"))
        .join(collections, collections.c.id == queries.c.collection_id)
        .where(*(only or QueryFilter()).conditions())
        .order_by(*([queries.c.found] if unanswered_first else []), queries.c.created_at.desc(), queries.c.id)
        .limit(limit)
    )
    if after is not None:
        following = older_than(queries.c.created_at, queries.c.id, after)
        if unanswered_first:
            following = and_(queries.c.found.is_(bool(after_found)), following)
            following = following if after_found else or_(queries.c.found.is_(True), following)
        statement = statement.where(following)
    return list(connection.execute(statement).mappings())


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
