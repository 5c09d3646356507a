"""The vectors of a batch: of its passages, its facts and its names, each computed once and then known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from ingest.batch import Batch, fact_keys, phrase_keys
from ingest.extracting import Finding
from memory_graph.database import Database
from memory_graph.store.collections import bind_embedder
from memory_graph.store.findings import Embed
from memory_graph.store.learning import known_vectors
from memory_graph.store.phrase_vectors import known_phrase_vectors
from memory_graph.types import FactKey
from retrieval.embedder import Embedder

Half = NDArray[np.float16]


def embed_passages(database: Database, embedder: Embedder, collection_id: int, batch: Batch) -> dict[str, Half]:
    """Return the vector of each text of a batch by text hash; texts of the collection are not embedded again."""
    inputs = {
        text_hash: text for one in batch.prepared for text_hash, text in zip(one.text_hashes, one.inputs, strict=True)
    }
    with database.read() as connection:
        vectors = known_vectors(connection, collection_id, list(inputs))
    missing = [text_hash for text_hash in inputs if text_hash not in vectors]
    computed = embedder.encode([inputs[text_hash] for text_hash in missing]).astype(np.float16)
    vectors.update(zip(missing, computed, strict=True))
    return vectors


def embed_facts(embedder: Embedder, found: Mapping[str, Finding], batch: Batch) -> dict[FactKey, Half]:
    """Return the vector of each fact that was found in a batch now or, by the same extractor, before."""
    vectors = {key: vector for one in batch.stored.values() for key, vector in one.fact_vectors.items()}
    keys = [key for key in fact_keys(found.values()) if key not in vectors]
    computed = embedder.encode([" ".join(key) for key in keys]).astype(np.float16)
    vectors.update(zip(keys, computed, strict=True))
    return vectors


def embed_phrases(
    database: Database, embedder: Embedder, collection_id: int, batch: Batch, findings: Mapping[str, Finding]
) -> dict[str, Half]:
    """Return the vector of each name of a batch by its key; names of the collection are not embedded again."""
    keys = phrase_keys(batch.prepared, findings.values())
    with database.read() as connection:
        vectors = known_phrase_vectors(connection, collection_id, keys)
    missing = [key for key in keys if key not in vectors]
    vectors.update(zip(missing, embedder.encode(missing).astype(np.float16), strict=True))
    return vectors


def embed_with(connection: Connection, collection_id: int, embedder: Embedder) -> Embed:
    """Return what makes vectors for a collection. Errors, when it is called: ``InvalidInput`` for another embedder."""

    def embed(texts: Sequence[str]) -> Half:
        bind_embedder(connection, collection_id, embedder.name)
        return embedder.encode(list(texts)).astype(np.float16)

    return embed
