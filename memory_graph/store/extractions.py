"""What was read in a text before, so that the same extractor need not read it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, exists, func, select

from memory_graph.store.rows import chunks
from memory_graph.tables import fact_embeddings, fact_sources, facts, mentions, originals, passages, phrases
from memory_graph.text import fact_key, normalize
from memory_graph.types import Extraction, FactKey, Mention, Triple


@dataclass(frozen=True)
class StoredExtraction(Extraction):
    """An extraction as its passage's rows hold it: with the mention that the title makes, and vectors of facts."""

    fact_vectors: Mapping[FactKey, NDArray[np.float16]] = field(default_factory=dict)


def known_extractions(
    connection: Connection, collection_id: int, text_hashes: Sequence[str], made_by: str
) -> dict[str, StoredExtraction]:
    """Return what ``made_by`` found in those of these texts that a passage of the collection holds, by text hash."""
    found: dict[str, StoredExtraction] = {}
    for some in chunks(text_hashes):
        rows = connection.execute(
            select(func.min(passages.c.id).label("id"), passages.c.text_hash)
            .where(
                passages.c.collection_id == collection_id,
                passages.c.text_hash.in_(some),
                passages.c.made_by == made_by,
                # The rows of these are not what was found.
                ~exists().where(originals.c.passage_id == passages.c.id),
            )
            .group_by(passages.c.text_hash)
        ).all()
        read = _read(connection, [row.id for row in rows])
        found.update({row.text_hash: read[row.id] for row in rows if row.id in read})
    return found


def _read(connection: Connection, passage_ids: Sequence[int]) -> dict[int, StoredExtraction]:
    """Return the extractions of passages; one whose names would not be found under the same keys again is left out."""
    named: dict[int, list[Mention]] = {one: [] for one in passage_ids}
    stated: dict[int, list[Triple]] = {one: [] for one in passage_ids}
    vectors: dict[int, dict[FactKey, NDArray[np.float16]]] = {one: {} for one in passage_ids}
    for passage_id, surface, count in connection.execute(
        select(mentions.c.passage_id, mentions.c.surface, mentions.c.count).where(
            mentions.c.passage_id.in_(passage_ids)
        )
    ):
        named[passage_id].append(Mention(surface, count))
    subject, object_ = phrases.alias(), phrases.alias()
    odd: set[int] = set()
    for passage_id, one, predicate, other, vector in connection.execute(
        select(fact_sources.c.passage_id, subject.c.key, facts.c.predicate, object_.c.key, fact_embeddings.c.vector)
        .join(facts, facts.c.id == fact_sources.c.fact_id)
        .join(subject, subject.c.id == facts.c.subject_id)
        .join(object_, object_.c.id == facts.c.object_id)
        .join(fact_embeddings, fact_embeddings.c.fact_id == facts.c.id, isouter=True)
        .where(fact_sources.c.passage_id.in_(passage_ids))
    ):
        if (normalize(one), normalize(other)) != (one, other):
            odd.add(passage_id)
        stated[passage_id].append(Triple(one, predicate, other))
        if vector is not None:
            vectors[passage_id][fact_key(one, predicate, other)] = np.frombuffer(vector, dtype="<f2")
    return {
        one: StoredExtraction(tuple(named[one]), tuple(stated[one]), vectors[one])
        for one in passage_ids
        if one not in odd
    }
