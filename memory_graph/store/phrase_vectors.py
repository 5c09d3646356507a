"""Vectors of phrases: written when a phrase is learned, read when views join those that mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, func, select

from memory_graph.store.rows import chunks, insert_new, read_parts
from memory_graph.tables import phrase_embeddings, phrases

Ints = NDArray[np.int64]
Halves = NDArray[np.float16]


def write_phrase_vectors(
    connection: Connection, collection_id: int, version: int, vectors: Mapping[int, Halves]
) -> None:
    """Write vectors by the phrase's id; a phrase that has one keeps it."""
    rows = [
        {
            "phrase_id": phrase_id,
            "collection_id": collection_id,
            "vector": vector.astype("<f2").tobytes(),
            "version": version,
        }
        for phrase_id, vector in sorted(vectors.items())
    ]
    insert_new(connection, phrase_embeddings, rows)


def delete_phrase_vectors(connection: Connection, phrase_ids: Sequence[int]) -> None:
    """Delete the vectors of these phrases."""
    connection.execute(delete(phrase_embeddings).where(phrase_embeddings.c.phrase_id.in_(phrase_ids)))


def known_phrase_vectors(connection: Connection, collection_id: int, keys: Sequence[str]) -> dict[str, Halves]:
    """Return the vectors of those phrases that have one, by key."""
    found: dict[str, Halves] = {}
    for some in chunks(keys):
        rows = connection.execute(
            select(phrases.c.key, phrase_embeddings.c.vector)
            .join(phrase_embeddings, phrase_embeddings.c.phrase_id == phrases.c.id)
            .where(phrases.c.collection_id == collection_id, phrases.c.key.in_(some))
        )
        found.update({key: np.frombuffer(vector, dtype="<f2") for key, vector in rows})
    return found


def count_phrase_vectors(connection: Connection, collection_id: int) -> int:
    """Count the phrases of a collection that were embedded."""
    own = phrase_embeddings.c.collection_id == collection_id
    return connection.scalar(select(func.count()).select_from(phrase_embeddings).where(own)) or 0


def read_phrase_vectors(connection: Connection, collection_id: int, since: int) -> tuple[Ints, Halves]:
    """Return the ids of the phrases that got a vector after version ``since``, ascending, and these (p, dim)."""
    ids: list[Ints] = [np.zeros(0, dtype=np.int64)]
    vectors: list[Halves] = []
    for rows in read_parts(
        connection,
        select(phrase_embeddings.c.phrase_id, phrase_embeddings.c.vector)
        .where(phrase_embeddings.c.collection_id == collection_id, phrase_embeddings.c.version > since)
        .order_by(phrase_embeddings.c.phrase_id),
    ):
        ids.append(np.array([row.phrase_id for row in rows], dtype=np.int64))
        vectors.append(np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2").reshape(len(rows), -1))
    return np.concatenate(ids), np.concatenate(vectors) if vectors else np.zeros((0, 0), dtype=np.float16)
