"""What the extractor found in passages that corrections touch, kept aside so that a correction can be undone.

The rows of mentions and facts hold what corrections make of it. A passage without a row here holds what was found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, delete, insert, select

from memory_graph.corrections import Found, Rule, rule_of
from memory_graph.store.rows import IN_LIMIT, chunks
from memory_graph.tables import (
    corrections,
    documents,
    fact_embeddings,
    fact_sources,
    facts,
    mentions,
    originals,
    passages,
    phrase_embeddings,
    phrases,
)
from memory_graph.types import FactKey


def read_rules(connection: Connection, collection_id: int) -> list[Rule]:
    """Return the corrections of a collection that stand, in the order in which they were made."""
    standing = select(corrections.c.kind, corrections.c.what).where(
        corrections.c.collection_id == collection_id, corrections.c.state == "active"
    )
    return [rule_of(row.kind, row.what) for row in connection.execute(standing.order_by(corrections.c.id))]


def keep_original(connection: Connection, collection_id: int, found: Mapping[int, Found | None]) -> None:
    """Keep what was found in passages, by their ids; None means that their rows hold it."""
    for some in chunks(list(found)):
        connection.execute(delete(originals).where(originals.c.passage_id.in_(some)))
    rows = [
        {"passage_id": passage_id, "collection_id": collection_id, "found": one.to_json()}
        for passage_id, one in found.items()
        if one is not None
    ]
    if rows:
        connection.execute(insert(originals), rows)


def drop_originals(connection: Connection, passage_ids: Sequence[int]) -> None:
    """Drop what was found in passages that are about to go."""
    connection.execute(delete(originals).where(originals.c.passage_id.in_(passage_ids)))


def page_originals(connection: Connection, collection_id: int) -> Iterator[dict[int, Found]]:
    """Yield what was found in the passages that corrections touch, page by page."""
    last = 0
    while True:
        rows = connection.execute(
            select(originals.c.passage_id, originals.c.found)
            .where(originals.c.collection_id == collection_id, originals.c.passage_id > last)
            .order_by(originals.c.passage_id)
            .limit(IN_LIMIT)
        ).all()
        if not rows:
            return
        yield {row.passage_id: Found.from_json(row.found) for row in rows}
        last = rows[-1].passage_id


def read_originals(connection: Connection, passage_ids: Sequence[int]) -> dict[int, Found]:
    """Return what was found in those of these passages (at most IN_LIMIT) that corrections touch."""
    kept = select(originals.c.passage_id, originals.c.found).where(originals.c.passage_id.in_(passage_ids))
    return {row.passage_id: Found.from_json(row.found) for row in connection.execute(kept)}


def read_found(connection: Connection, passage_ids: Sequence[int]) -> dict[int, Found]:
    """Return what the extractor found in each of these passages (at most IN_LIMIT of them)."""
    found = read_originals(connection, passage_ids)
    return _read_rows(connection, [one for one in passage_ids if one not in found]) | found


def documents_of(connection: Connection, passage_ids: Sequence[int]) -> dict[int, str]:
    """Return the document's id of each passage."""
    found: dict[int, str] = {}
    for some in chunks(passage_ids):
        rows = connection.execute(
            select(passages.c.id, documents.c.key)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(passages.c.id.in_(some))
        )
        found.update({row.id: row.key for row in rows})
    return found


def _read_rows(connection: Connection, passage_ids: Sequence[int]) -> dict[int, Found]:
    """Return what the rows of passages hold."""
    named: dict[int, dict[str, tuple[str, int]]] = {one: {} for one in passage_ids}
    stated: dict[int, list[FactKey]] = {one: [] for one in passage_ids}
    names: dict[int, set[str]] = {one: set() for one in passage_ids}
    vectors: dict[int, set[FactKey]] = {one: set() for one in passage_ids}
    vector = phrase_embeddings.c.phrase_id
    for row in connection.execute(
        select(mentions.c.passage_id, mentions.c.surface, mentions.c.count.label("times"), phrases.c.key, vector)
        .join(phrases, phrases.c.id == mentions.c.phrase_id)
        .outerjoin(phrase_embeddings, vector == phrases.c.id)
        .where(mentions.c.passage_id.in_(passage_ids))
        .order_by(phrases.c.key)
    ):
        named[row.passage_id][row.key] = (row.surface, row.times)
        if row.phrase_id is not None:
            names[row.passage_id].add(row.key)
    one, other = phrases.alias(), phrases.alias()
    one_vector, other_vector = phrase_embeddings.alias(), phrase_embeddings.alias()
    for passage_id, subject, predicate, object_, fact_id, *ends in connection.execute(
        select(
            fact_sources.c.passage_id,
            one.c.key,
            facts.c.predicate,
            other.c.key,
            fact_embeddings.c.fact_id,
            one_vector.c.phrase_id,
            other_vector.c.phrase_id,
        )
        .join(facts, facts.c.id == fact_sources.c.fact_id)
        .join(one, one.c.id == facts.c.subject_id)
        .join(other, other.c.id == facts.c.object_id)
        .outerjoin(fact_embeddings, fact_embeddings.c.fact_id == facts.c.id)
        .outerjoin(one_vector, one_vector.c.phrase_id == one.c.id)
        .outerjoin(other_vector, other_vector.c.phrase_id == other.c.id)
        .where(fact_sources.c.passage_id.in_(passage_ids))
        .order_by(one.c.key, facts.c.predicate, other.c.key)
    ):
        stated[passage_id].append((subject, predicate, object_))
        names[passage_id] |= {key for key, end in zip((subject, object_), ends, strict=True) if end is not None}
        if fact_id is not None:
            vectors[passage_id].add((subject, predicate, object_))
    return {
        passage: Found(
            mentions=named[passage],
            facts=stated[passage],
            embedded_names=frozenset(names[passage]),
            embedded_facts=frozenset(vectors[passage]),
        )
        for passage in passage_ids
    }


def with_vectors(found: Found, names: Mapping[str, object], stated: Mapping[FactKey, object]) -> Found:
    """Return findings that know which of them have vectors."""
    return replace(
        found,
        embedded_names=frozenset(key for key in found.names if key in names),
        embedded_facts=frozenset(fact for fact in found.facts if fact in stated),
    )
