"""What people look at: names, their neighbourhood, and the whole collection page by page; every read has a bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from sqlalchemy import Column, ColumnElement, Connection, Integer, Row, and_, bindparam, func, or_, select

from memory_graph.store.rows import IN_LIMIT, chunks
from memory_graph.tables import documents, fact_sources, facts, mentions, passages, phrases

_FACT = (facts.c.id, facts.c.subject_id, facts.c.predicate, facts.c.object_id)


def find_phrase(connection: Connection, collection_id: int, key: str) -> int | None:
    """Return the phrase of a normalised name."""
    return connection.scalar(select(phrases.c.id).where(phrases.c.collection_id == collection_id, phrases.c.key == key))


def similar_phrases(connection: Connection, collection_id: int, key: str, most: int = IN_LIMIT) -> dict[str, int]:
    """Return phrases that begin like ``key`` or hold one of its longest words: key to id, ``most`` of them."""
    longest = sorted(key.split(), key=len, reverse=True)[:3]
    # Keys hold letters, digits and spaces alone, so that LIKE finds no wildcard in them.
    likeness = or_(phrases.c.key.startswith(key[:4]), *(phrases.c.key.contains(word) for word in longest))
    rows = connection.execute(
        select(phrases.c.key, phrases.c.id)
        .where(phrases.c.collection_id == collection_id, likeness)
        .order_by(phrases.c.key)
        .limit(most)
    )
    return {found: phrase_id for found, phrase_id in rows}


def read_mentions(
    connection: Connection,
    by: Literal["phrase_id", "passage_id"],
    ids: Sequence[int],
    most: int | None = None,
) -> tuple[list[Row[Any]], bool]:
    """Read the context edges (passage_id, phrase_id, times) of phrases or of passages, strongest first.

    At most ``most`` of each; the second value says whether any had more.
    """
    other = "passage_id" if by == "phrase_id" else "phrase_id"
    columns = (mentions.c.passage_id, mentions.c.phrase_id, mentions.c.count.label("times"))
    return _read_of_each(connection, mentions.c[by], ids, columns, (mentions.c.count.desc(), mentions.c[other]), most)


def read_mentioning(connection: Connection, phrase_ids: Sequence[int]) -> list[tuple[int, int]]:
    """Read all context edges (passage_id, phrase_id) of phrases, in no order."""
    found: list[tuple[int, int]] = []
    for some in chunks(phrase_ids):  # from the index alone
        query = select(mentions.c.passage_id, mentions.c.phrase_id).where(mentions.c.phrase_id.in_(some))
        found += map(tuple, connection.execute(query).all())
    return found


def read_mentioning_most(connection: Connection, phrase_id: int, most: int) -> list[tuple[int, int]]:
    """Read the ``most`` strongest context edges (passage_id, phrase_id) of a phrase."""
    query = (
        select(mentions.c.passage_id)
        .where(mentions.c.phrase_id == phrase_id)
        .order_by(mentions.c.count.desc(), mentions.c.passage_id)
        .limit(most)
    )
    return [(passage_id, phrase_id) for passage_id in connection.scalars(query).all()]


def read_mentioned(connection: Connection, passage_ids: Sequence[int]) -> list[tuple[int, int, int]]:
    """Read all context edges (passage_id, phrase_id, times) of passages, in no order."""
    found: list[tuple[int, int, int]] = []
    for some in chunks(passage_ids):
        query = select(mentions.c.passage_id, mentions.c.phrase_id, mentions.c.count)
        found += map(tuple, connection.execute(query.where(mentions.c.passage_id.in_(some))).all())
    return found


def read_facts(connection: Connection, phrase_ids: Sequence[int], most: int) -> tuple[list[Row[Any]], bool]:
    """Read the facts (id, subject_id, predicate, object_id) about phrases, at most ``most`` of each as either end."""
    subjects, cut = _read_of_each(connection, facts.c.subject_id, phrase_ids, _FACT, (facts.c.id,), most)
    objects, cut_too = _read_of_each(connection, facts.c.object_id, phrase_ids, _FACT, (facts.c.id,), most)
    return list({row.id: row for row in (*subjects, *objects)}.values()), cut or cut_too


def read_facts_among(connection: Connection, phrase_ids: Sequence[int]) -> list[Row[Any]]:
    """Read the facts (id, subject_id, predicate, object_id) with both ends among ``phrase_ids``."""
    # Written into the statement: they may be more than a database takes as parameters.
    ends = bindparam("ends", list(phrase_ids), type_=Integer, expanding=True, literal_execute=True)
    found: list[Row[Any]] = []
    for subjects in chunks(phrase_ids):
        statement = select(*_FACT).where(facts.c.subject_id.in_(subjects), facts.c.object_id.in_(ends))
        found += connection.execute(statement)
    return sorted(found, key=lambda row: row.id)


def read_fact_sources(connection: Connection, fact_id: int, most: int) -> list[int]:
    """Return the first passages that state a fact."""
    statement = select(fact_sources.c.passage_id).where(fact_sources.c.fact_id == fact_id)
    return list(connection.scalars(statement.order_by(fact_sources.c.passage_id).limit(most)))


def read_shared_passages(connection: Connection, one: int, other: int, most: int) -> tuple[list[Row[Any]], int]:
    """Return the passages that mention both phrases, most mentions first, and how many there are in all.

    A row is (passage_id, one_surface, other_surface): how each is written there.
    """
    first, second = mentions.alias(), mentions.alias()
    rows = connection.execute(
        select(
            first.c.passage_id,
            first.c.surface.label("one_surface"),
            second.c.surface.label("other_surface"),
            func.count().over().label("total"),
        )
        .join(second, and_(second.c.passage_id == first.c.passage_id, second.c.phrase_id == other))
        .where(first.c.phrase_id == one)
        .order_by((first.c.count + second.c.count).desc(), first.c.passage_id)
        .limit(most)
    ).all()
    return list(rows), rows[0].total if rows else 0


def read_passages(connection: Connection, passage_ids: Sequence[int], *, texts: bool) -> dict[int, Row[Any]]:
    """Read passages (id, ordinal, page, document_id, title, and on request text) by id."""
    columns = [passages.c.id, passages.c.ordinal, passages.c.page, documents.c.key.label("document_id")]
    columns += [documents.c.title, passages.c.text] if texts else [documents.c.title]
    found: dict[int, Row[Any]] = {}
    for some in chunks(passage_ids):
        rows = connection.execute(
            select(*columns).join(documents, documents.c.id == passages.c.document_id).where(passages.c.id.in_(some))
        )
        found.update({row.id: row for row in rows})
    return found


def read_keys(connection: Connection, phrase_ids: Sequence[int]) -> dict[int, str]:
    """Return the normalised words of phrases."""
    found: dict[int, str] = {}
    for some in chunks(phrase_ids):
        rows = connection.execute(select(phrases.c.id, phrases.c.key).where(phrases.c.id.in_(some)))
        found.update({phrase_id: key for phrase_id, key in rows.all()})
    return found


def known_phrases(connection: Connection, collection_id: int, phrase_ids: Sequence[int]) -> set[int]:
    """Return those of these ids that are phrases of the collection."""
    found: set[int] = set()
    for some in chunks(phrase_ids):
        here = phrases.c.collection_id == collection_id, phrases.c.id.in_(some)
        found.update(connection.scalars(select(phrases.c.id).where(*here)))
    return found


def read_degrees(connection: Connection, phrase_ids: Sequence[int]) -> dict[int, int]:
    """Return in how many passages phrases stand, as it is kept with them."""
    found: dict[int, int] = {}
    for some in chunks(phrase_ids):
        rows = connection.execute(select(phrases.c.id, phrases.c.degree).where(phrases.c.id.in_(some)))
        found.update({phrase_id: degree for phrase_id, degree in rows.all()})
    return found


def count_mentions(
    connection: Connection, by: Literal["phrase_id", "passage_id"], ids: Sequence[int]
) -> dict[int, int]:
    """Count the context edges of phrases or of passages."""
    return _count(connection, mentions.c[by], ids)


def count_fact_sources(connection: Connection, fact_ids: Sequence[int]) -> dict[int, int]:
    """Count the passages that state each fact."""
    return _count(connection, fact_sources.c.fact_id, fact_ids)


def rank_phrases(connection: Connection, collection_id: int, most: int) -> list[Row[Any]]:
    """Return the phrases (id, key, passages) that most passages mention, at most ``most``; ties by key."""
    return list(
        connection.execute(
            select(phrases.c.id, phrases.c.key, phrases.c.degree.label("passages"))
            .where(phrases.c.collection_id == collection_id, phrases.c.degree > 0)
            .order_by(phrases.c.degree.desc(), phrases.c.key)
            .limit(most)
        )
    )


def page_ids(
    connection: Connection, collection_id: int, kind: Literal["passages", "phrases"], size: int = IN_LIMIT
) -> Iterator[list[int]]:
    """Yield the ids of all passages or phrases of a collection, page by page."""
    table = passages if kind == "passages" else phrases
    last = 0
    while True:
        ids = list(
            connection.scalars(
                select(table.c.id)
                .where(table.c.collection_id == collection_id, table.c.id > last)
                .order_by(table.c.id)
                .limit(size)
            )
        )
        if not ids:
            return
        yield ids
        last = ids[-1]


def page_facts(connection: Connection, collection_id: int, size: int = IN_LIMIT) -> Iterator[list[Row[Any]]]:
    """Yield all facts (id, subject_id, predicate, object_id) of a collection, page by page."""
    last = 0
    while True:
        rows: list[Row[Any]] = [
            *connection.execute(
                select(*_FACT)
                .where(facts.c.collection_id == collection_id, facts.c.id > last)
                .order_by(facts.c.id)
                .limit(size)
            )
        ]
        if not rows:
            return
        yield rows
        last = rows[-1].id


def _read_of_each(
    connection: Connection,
    by: Column[Any],
    ids: Sequence[int],
    columns: Sequence[ColumnElement[Any]],
    order: Sequence[ColumnElement[Any]],
    most: int | None,
) -> tuple[list[Row[Any]], bool]:
    """Read the rows of each id, the first ``most`` of its own: one hub must not stand for all."""
    found: list[Row[Any]] = []
    cut = False
    place = func.row_number().over(partition_by=by, order_by=order).label("place")
    for some in chunks(ids):
        ranked = select(*columns, place).where(by.in_(some)).subquery()
        statement = select(ranked).order_by(ranked.c[by.name], ranked.c.place)
        if most is not None:
            statement = statement.where(ranked.c.place <= most + 1)
        rows = connection.execute(statement).all()
        if most is None:
            found += rows
        else:
            kept = [row for row in rows if row[-1] <= most]
            cut |= len(kept) < len(rows)
            found += kept
    return found, cut


def _count(connection: Connection, by: Column[Any], ids: Sequence[int]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for some in chunks(ids):
        rows = connection.execute(select(by, func.count()).where(by.in_(some)).group_by(by))
        counts.update({row_id: count for row_id, count in rows.all()})
    return counts
