"""The rows of what was found in passages: phrases with their mentions, facts with their sources, and the vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, insert, select

from memory_graph.corrections import Found
from memory_graph.store.degrees import shift_degrees
from memory_graph.store.facts import FactRow, write_facts
from memory_graph.store.phrase_vectors import known_phrase_vectors, write_phrase_vectors
from memory_graph.store.rows import chunks, insert_new
from memory_graph.tables import fact_embeddings, facts, mentions, phrases
from memory_graph.types import FactKey

Half: TypeAlias = NDArray[np.float16]
Embed: TypeAlias = Callable[[Sequence[str]], Half]
"""Texts to vectors (n, dim) of unit length, as the collection's embedder makes them."""


def write_findings(
    connection: Connection,
    collection_id: int,
    version: int,
    found: Mapping[int, Found],
    fact_vectors: Mapping[FactKey, Half],
    phrase_vectors: Mapping[str, Half],
) -> None:
    """Write what was found in passages, by their ids, and the vectors of names and facts that have none yet."""
    ids = _phrase_ids(connection, collection_id, version, {key for one in found.values() for key in one.names})
    named = {phrase_id: phrase_vectors[key] for key, phrase_id in ids.items() if key in phrase_vectors}
    write_phrase_vectors(connection, collection_id, version, named)
    mention_rows = [
        {
            "passage_id": passage_id,
            "phrase_id": ids[key],
            "collection_id": collection_id,
            "surface": surface,
            "count": count,
            "version": version,
        }
        for passage_id, one in found.items()
        for key, (surface, count) in one.mentions.items()
    ]
    if mention_rows:
        connection.execute(insert(mentions), mention_rows)
        shift_degrees(connection, Counter(ids[key] for one in found.values() for key in one.mentions))
    sources: dict[FactRow, set[int]] = {}
    vectors: dict[FactRow, Half] = {}
    for passage_id, one in found.items():
        for key in one.facts:
            fact = ids[key[0]], key[1], ids[key[2]]
            sources.setdefault(fact, set()).add(passage_id)
            if key in fact_vectors:
                vectors[fact] = fact_vectors[key]
    write_facts(connection, collection_id, version, sources, vectors)


def missing_vectors(
    connection: Connection,
    collection_id: int,
    found: Iterable[Found],
    fact_vectors: Mapping[FactKey, Half],
    phrase_vectors: Mapping[str, Half],
    embed: Embed | None,
) -> tuple[dict[FactKey, Half], dict[str, Half]]:
    """Return vectors of facts and names with those that corrections made of others with vectors.

    Without ``embed`` only those that the collection knows.
    """
    stated, named = dict(fact_vectors), dict(phrase_vectors)
    found = list(found)
    lacking = sorted({key for one in found for key in one.embedded_names if key not in named})
    named |= known_phrase_vectors(connection, collection_id, lacking)
    # A fact that is there with its vector keeps it: write_facts asks for no other.
    unsaid = {fact for one in found for fact in one.embedded_facts if fact not in stated}
    unsaid -= _embedded_facts(connection, collection_id, unsaid)
    if embed is not None:
        names, told = [key for key in lacking if key not in named], sorted(unsaid)
        if names or told:
            vectors = embed([*names, *(" ".join(fact) for fact in told)])
            named.update(zip(names, vectors[: len(names)], strict=True))
            stated.update(zip(told, vectors[len(names) :], strict=True))
    return stated, named


def _phrase_ids(connection: Connection, collection_id: int, version: int, keys: Iterable[str]) -> dict[str, int]:
    """Find or make the phrases of these keys."""
    wanted = sorted(keys)
    rows = [{"collection_id": collection_id, "key": key, "version": version} for key in wanted]
    insert_new(connection, phrases, rows)
    ids: dict[str, int] = {}
    for some in chunks(wanted):
        found = connection.execute(
            select(phrases.c.key, phrases.c.id).where(phrases.c.collection_id == collection_id, phrases.c.key.in_(some))
        )
        ids.update({key: phrase_id for key, phrase_id in found})
    return ids


def _embedded_facts(connection: Connection, collection_id: int, keys: Iterable[FactKey]) -> set[FactKey]:
    """Return those of these facts that have a vector."""
    one, other = phrases.alias(), phrases.alias()
    found = set()
    for subject, predicate, object_ in keys:
        known = (
            select(fact_embeddings.c.fact_id)
            .join(facts, facts.c.id == fact_embeddings.c.fact_id)
            .join(one, one.c.id == facts.c.subject_id)
            .join(other, other.c.id == facts.c.object_id)
            .where(
                one.c.collection_id == collection_id,
                one.c.key == subject,
                facts.c.predicate == predicate,
                other.c.key == object_,
            )
        )
        if connection.scalar(known) is not None:
            found.add((subject, predicate, object_))
    return found
