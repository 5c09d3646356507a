"""Facts with their sources and vectors: how they are written and read, and how they go with their last source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, exists, select

from memory_graph.store.rows import chunks, insert_new, join_parts, read_parts
from memory_graph.tables import fact_embeddings, fact_sources, facts, phrases
from memory_graph.text import order_key

Ints = NDArray[np.int64]

FactRow: TypeAlias = tuple[int, str, int]
"""A fact by the ids of its phrases: subject, predicate, object."""


def write_facts(
    connection: Connection,
    collection_id: int,
    version: int,
    sources: Mapping[FactRow, set[int]],
    vectors: Mapping[FactRow, NDArray[np.float16]],
) -> None:
    """Write facts with the passages that state them, and the vectors of those that have none yet."""
    for fact, passage_ids in sources.items():
        subject, predicate, object_ = fact
        row = {
            "collection_id": collection_id,
            "subject_id": subject,
            "predicate": predicate,
            "object_id": object_,
            "version": version,
        }
        insert_new(connection, facts, [row])
        fact_id = connection.scalar(
            select(facts.c.id).where(
                facts.c.collection_id == collection_id,
                facts.c.subject_id == subject,
                facts.c.predicate == predicate,
                facts.c.object_id == object_,
            )
        )
        about = {"fact_id": fact_id, "collection_id": collection_id, "version": version}
        insert_new(connection, fact_sources, [about | {"passage_id": one} for one in sorted(passage_ids)])
        if fact in vectors:
            insert_new(connection, fact_embeddings, [about | {"vector": vectors[fact].astype("<f2").tobytes()}])


@dataclass(kw_only=True)
class RemovedFacts:
    """How many facts went, the ids of those that had a vector, and the ids of the phrases that they joined."""

    count: int = 0
    embedded: list[int] = field(default_factory=list)
    ends: set[int] = field(default_factory=set)


def remove_unproved(connection: Connection, fact_ids: set[int]) -> RemovedFacts:
    """Remove those of these facts that no passage states any more."""
    removed = RemovedFacts()
    for some in chunks(sorted(fact_ids)):
        unproved = connection.execute(
            select(facts.c.id, facts.c.subject_id, facts.c.object_id).where(
                facts.c.id.in_(some), ~exists().where(fact_sources.c.fact_id == facts.c.id)
            )
        ).all()
        gone = [row.id for row in unproved]
        removed.count += len(gone)
        removed.ends.update(end for row in unproved for end in (row.subject_id, row.object_id))
        vectors = delete(fact_embeddings).where(fact_embeddings.c.fact_id.in_(gone))
        removed.embedded += connection.scalars(vectors.returning(fact_embeddings.c.fact_id))
        connection.execute(delete(facts).where(facts.c.id.in_(gone)))
    return removed


def read_facts(connection: Connection, cid: int, since: int) -> tuple[Ints, NDArray[np.float16]]:
    """Read the facts that got vectors after version ``since``: (f, 4) as in ``Changes``, and the vectors."""
    subject, object_ = phrases.alias(), phrases.alias()
    ids: list[NDArray[np.int64]] = []
    vectors: list[NDArray[np.float16]] = []
    for rows in read_parts(
        connection,
        select(
            facts.c.id,
            facts.c.subject_id,
            facts.c.object_id,
            facts.c.predicate,
            subject.c.key.label("subject"),
            object_.c.key.label("object"),
            fact_embeddings.c.vector,
        )
        .join(fact_embeddings, fact_embeddings.c.fact_id == facts.c.id)
        .join(subject, subject.c.id == facts.c.subject_id)
        .join(object_, object_.c.id == facts.c.object_id)
        .where(fact_embeddings.c.collection_id == cid, fact_embeddings.c.version > since)
        .order_by(facts.c.id),
    ):
        orders = [order_key(f"{row.subject}\0{row.predicate}\0{row.object}", 0) for row in rows]
        ids.append(
            np.array([(row.id, row.subject_id, row.object_id, key) for row, key in zip(rows, orders, strict=True)])
        )
        vectors.append(np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2").reshape(len(rows), -1))
    return join_parts(ids, 4), np.concatenate(vectors) if vectors else np.zeros((0, 0), dtype=np.float16)


def fact_passages(connection: Connection, fact_ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return (fact id, id of a passage that states it) for each of these facts."""
    found: list[tuple[int, int]] = []
    for some in chunks(fact_ids):
        query = select(fact_sources.c.fact_id, fact_sources.c.passage_id).where(fact_sources.c.fact_id.in_(some))
        found += [(fact_id, passage_id) for fact_id, passage_id in connection.execute(query)]
    return found


def fact_texts(connection: Connection, fact_ids: Sequence[int]) -> dict[int, str]:
    """Return facts as people read them, by id."""
    subject, object_ = phrases.alias(), phrases.alias()
    found: dict[int, str] = {}
    for some in chunks(fact_ids):
        rows = connection.execute(
            select(facts.c.id, subject.c.key, facts.c.predicate, object_.c.key)
            .join(subject, subject.c.id == facts.c.subject_id)
            .join(object_, object_.c.id == facts.c.object_id)
            .where(facts.c.id.in_(some))
        )
        found.update({fact_id: " ".join(parts) for fact_id, *parts in rows})
    return found
