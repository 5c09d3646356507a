"""Pages of names and facts for people: as they type, filtered, sorted; every page costs by the index it goes along."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from sqlalchemy import Column, Connection, Row, Select, and_, func, or_, select

from memory_graph.errors import InvalidInput
from memory_graph.store.inspecting import find_phrase
from memory_graph.store.rows import chunks
from memory_graph.tables import documents, fact_sources, facts, mentions, passages, phrases
from memory_graph.text import normalize

Sort: TypeAlias = Literal["name", "degree"]
Match: TypeAlias = Literal["prefix", "substring"]
# Above every character that a key may hold.
_LAST = "\U0010ffff"


def browse_phrases(
    connection: Connection,
    collection_id: int,
    *,
    q: str = "",
    match: Match = "substring",
    sort: Sort = "name",
    after: tuple[int, str] | None = None,
    limit: int,
) -> list[Row[Any]]:
    """Return phrases (id, key, degree) whose words begin like ``q``, or hold it; degree counts their passages.

    By name, or those with most passages first; ``after`` is (degree, key) of the last one before. Errors:
    ``InvalidInput`` for a ``q`` without a letter or digit.
    """
    query = select(phrases.c.id, phrases.c.key, phrases.c.degree).where(phrases.c.collection_id == collection_id)
    if q:
        key = normalize(q)
        if not key:
            raise InvalidInput("q", f"{q!r} holds no letter or digit")
        query = query.where(_begins(connection, key) if match == "prefix" else phrases.c.key.contains(key))
    if sort == "name":
        if after is not None:
            query = query.where(phrases.c.key > after[1])
        return list(connection.execute(query.order_by(phrases.c.key).limit(limit)))
    if after is not None:
        degree, last = after
        # Twice over, because the first half alone finds its place in an index.
        further = or_(phrases.c.degree < degree, phrases.c.key > last)
        query = query.where(and_(phrases.c.degree <= degree, further))
    return list(connection.execute(query.order_by(phrases.c.degree.desc(), phrases.c.key).limit(limit)))


def _begins(connection: Connection, key: str) -> Any:
    # A range goes along the index of SQLite, which a LIKE does not. Keys hold no wildcard.
    if connection.dialect.name == "sqlite":
        return and_(phrases.c.key >= key, phrases.c.key < key + _LAST)
    return phrases.c.key.startswith(key)


def get_phrase(connection: Connection, collection_id: int, phrase_id: int) -> str | None:
    """Return the key of a phrase of the collection."""
    here = phrases.c.id == phrase_id, phrases.c.collection_id == collection_id
    return connection.scalar(select(phrases.c.key).where(*here))


def surface_forms(connection: Connection, phrase_id: int, most: int) -> list[Row[Any]]:
    """Return how a phrase is written (surface, passages), the most frequent first."""
    count = func.count().label("passages")
    return list(
        connection.execute(
            select(mentions.c.surface, count)
            .where(mentions.c.phrase_id == phrase_id)
            .group_by(mentions.c.surface)
            .order_by(count.desc(), mentions.c.surface)
            .limit(most)
        )
    )


def mentioning_documents(connection: Connection, phrase_id: int, most: int) -> list[Row[Any]]:
    """Return the documents (document_id, title, passages) that mention a phrase, those in most passages first."""
    count = func.count().label("passages")
    return list(
        connection.execute(
            select(documents.c.key.label("document_id"), documents.c.title, count)
            .join(passages, passages.c.document_id == documents.c.id)
            .join(mentions, mentions.c.passage_id == passages.c.id)
            .where(mentions.c.phrase_id == phrase_id)
            .group_by(documents.c.id, documents.c.key, documents.c.title)
            .order_by(count.desc(), documents.c.key)
            .limit(most)
        )
    )


def mentioning_passages(connection: Connection, phrase_id: int, most: int) -> list[Row[Any]]:
    """Return the passages (id, count, surface, ordinal, text, document_id, title) that mention a phrase most often."""
    return list(
        connection.execute(
            select(
                passages.c.id,
                mentions.c.count.label("times"),
                mentions.c.surface,
                passages.c.ordinal,
                passages.c.text,
                documents.c.key.label("document_id"),
                documents.c.title,
            )
            .join(mentions, mentions.c.passage_id == passages.c.id)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(mentions.c.phrase_id == phrase_id)
            .order_by(mentions.c.count.desc(), passages.c.id)
            .limit(most)
        )
    )


def browse_facts(
    connection: Connection,
    collection_id: int,
    *,
    subject: str | None = None,
    predicate: str | None = None,
    object_: str | None = None,
    document: str | None = None,
    after: int = 0,
    limit: int,
) -> list[Row[Any]]:
    """Return facts (id, subject_id, subject, predicate, object_id, object) with ids above ``after``.

    Subject and object are names, compared by their words; predicate and document are compared as they stand. A name
    that is not there has no facts.
    """
    query = _facts(collection_id)
    for end, name in ((facts.c.subject_id, subject), (facts.c.object_id, object_)):
        if name is not None:
            query = query.where(end == (find_phrase(connection, collection_id, normalize(name)) or 0))
    if predicate is not None:
        query = query.where(facts.c.predicate == predicate)
    if document is not None:
        stated = (
            select(fact_sources.c.fact_id)
            .join(passages, passages.c.id == fact_sources.c.passage_id)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(documents.c.collection_id == collection_id, documents.c.key == document)
        )
        query = query.where(facts.c.id.in_(stated))
    return list(connection.execute(query.where(facts.c.id > after).order_by(facts.c.id).limit(limit)))


def get_fact(connection: Connection, collection_id: int, fact_id: int) -> Row[Any] | None:
    """Return one fact as ``browse_facts`` does."""
    return connection.execute(_facts(collection_id).where(facts.c.id == fact_id)).one_or_none()


def facts_about(connection: Connection, collection_id: int, phrase_id: int, most: int) -> list[Row[Any]]:
    """Return the first facts about a phrase, as either end, as ``browse_facts`` does."""
    found: dict[int, Row[Any]] = {}
    for end in (facts.c.subject_id, facts.c.object_id):
        rows = connection.execute(_facts(collection_id).where(end == phrase_id).order_by(facts.c.id).limit(most))
        found |= {row.id: row for row in rows}
    return [found[one] for one in sorted(found)][:most]


def _facts(collection_id: int) -> Select[Any]:
    one, other = phrases.alias(), phrases.alias()
    columns: list[Column[Any]] = [facts.c.id, facts.c.subject_id, facts.c.predicate, facts.c.object_id]
    return (
        select(*columns, one.c.key.label("subject_key"), other.c.key.label("object_key"))
        .join(one, one.c.id == facts.c.subject_id)
        .join(other, other.c.id == facts.c.object_id)
        .where(facts.c.collection_id == collection_id)
    )


def count_evidence(connection: Connection, fact_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Return how many passages, and how many documents, state each fact."""
    found: dict[int, tuple[int, int]] = {}
    for some in chunks(fact_ids):
        rows = connection.execute(
            select(fact_sources.c.fact_id, func.count(), func.count(passages.c.document_id.distinct()))
            .join(passages, passages.c.id == fact_sources.c.passage_id)
            .where(fact_sources.c.fact_id.in_(some))
            .group_by(fact_sources.c.fact_id)
        )
        found.update({fact_id: (held, told) for fact_id, held, told in rows})
    return found
