"""A passage with those that stand beside it: in its document, and on request in the documents of one episode.

An episode is what was told in several documents that share a label: those of one ``source``, or of one value of a field
of the metadata. It reads in the order of ``occurred_at``, those without one last, then of the documents' ids. Going on
into the next document looks through those of the collection: a source is too long for an index on PostgreSQL.
"""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, collate, exists, or_, select

from memory_graph.errors import InvalidInput
from memory_graph.store.reading import same_value
from memory_graph.tables import documents, passages

_Way = Literal["before", "after"]


def get_passage(connection: Connection, collection_id: int, passage_id: int) -> RowMapping | None:
    """Read one passage with what its document tells about it."""
    query = _passages().where(passages.c.collection_id == collection_id, passages.c.id == passage_id)
    return connection.execute(query).mappings().one_or_none()


def read_neighbours(
    connection: Connection, passage: RowMapping, way: _Way, count: int, episode: str | None = None
) -> list[RowMapping]:
    """Return up to ``count`` passages before or after one that ``get_passage`` returned, the nearest first.

    ``episode`` is "source" or a field of the metadata: then the documents that share its value with this one's follow
    one another. Errors: ``InvalidInput`` where it is "occurred_at", or its value here is an object or a list.
    """
    found = _within(connection, passage["document_row"], way, count, beside=passage["ordinal"])
    shared = _shared(connection, passage, episode) if episode is not None else None
    document: RowMapping | None = passage
    while shared is not None and document is not None and len(found) < count:
        document = _next_document(connection, document, way, shared)
        if document is not None:
            found += _within(connection, document["document_row"], way, count - len(found))
    return found


def _passages() -> Select[Any]:
    return select(
        passages.c.id,
        passages.c.ordinal,
        passages.c.text,
        passages.c.heading,
        passages.c.page,
        passages.c.collection_id,
        documents.c.id.label("document_row"),
        documents.c.key.label("document_id"),
        documents.c.title,
        documents.c.source,
        documents.c.metadata.label("document_metadata"),
        documents.c.occurred_at,
    ).join(documents, documents.c.id == passages.c.document_id)


def _within(
    connection: Connection, document_row: int, way: _Way, count: int, beside: int | None = None
) -> list[RowMapping]:
    """Return passages of a document, going ``way`` from the one ``beside``, or from its end."""
    ordinal = passages.c.ordinal
    query = _passages().where(passages.c.document_id == document_row)
    if beside is not None:
        query = query.where(ordinal < beside if way == "before" else ordinal > beside)
    query = query.order_by(ordinal.desc() if way == "before" else ordinal).limit(count)
    return list(connection.execute(query).mappings())


def _shared(connection: Connection, passage: RowMapping, episode: str) -> ColumnElement[bool] | None:
    """Return what the documents of an episode have in common; None where this one is of none."""
    if episode == "occurred_at":
        raise InvalidInput("episode", "must be source or a field of the metadata")
    value = passage["source"] if episode == "source" else passage["document_metadata"].get(episode)
    if isinstance(value, dict | list):
        raise InvalidInput("episode", f"{episode!r} holds no string, number, true or false in this passage's document")
    if value is None:
        return None
    same = same_value(connection, episode, value)
    return and_(documents.c.collection_id == passage["collection_id"], same)


def _next_document(
    connection: Connection, document: RowMapping, way: _Way, shared: ColumnElement[bool]
) -> RowMapping | None:
    """Return the next document of an episode that has passages."""
    moment, key = documents.c.occurred_at, _in_order(connection, documents.c.key)
    this, name = document["occurred_at"], document["document_id"]
    beyond = key < name if way == "before" else key > name
    undated = moment.is_(None)
    if this is None:  # the dated ones come first
        further = and_(undated, beyond) if way == "after" else or_(~undated, beyond)
    elif way == "before":
        further = or_(moment < this, and_(moment == this, beyond))
    else:
        further = or_(undated, moment > this, and_(moment == this, beyond))
    order = (undated, moment, key) if way == "after" else (undated.desc(), moment.desc(), key.desc())
    query = (
        select(documents.c.id.label("document_row"), documents.c.key.label("document_id"), documents.c.occurred_at)
        .where(shared, further, exists().where(passages.c.document_id == documents.c.id))
        .order_by(*order)
        .limit(1)
    )
    return connection.execute(query).mappings().one_or_none()


def _in_order(connection: Connection, key: ColumnElement[str]) -> ColumnElement[str]:
    """Return a text compared by its characters' codes, as SQLite does: PostgreSQL would go by a language."""
    return key if connection.dialect.name == "sqlite" else collate(key, "C")
