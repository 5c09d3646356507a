"""The rows of a made-up memory in which a commit looks things up: names, mentions, facts and vectors."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, insert

from evaluation.synthetic import SyntheticMemory
from memory_graph.store.degrees import count_degrees
from memory_graph.tables import embeddings, fact_sources, facts, mentions, phrases

_AT_ONCE = 20_000
_VERSION = 1


def write_evidence(connection: Connection, collection_id: int, memory: SyntheticMemory) -> None:
    """Write all of a memory but for its documents, passages and last phrase, which ``make_memory`` writes."""
    common = (collection_id, _VERSION)
    keys = memory.phrase_keys(0, memory.n_phrases)
    _write(
        connection,
        phrases,
        ("id", "key", "collection_id", "version"),
        ((row + 1, key, *common) for row, key in enumerate(keys[:-1])),
    )
    context = zip(*(column.tolist() for column in memory.context), strict=True)
    _write(
        connection,
        mentions,
        ("passage_id", "phrase_id", "count", "surface", "collection_id", "version"),
        ((passage + 1, phrase + 1, count, keys[phrase], *common) for passage, phrase, count in context),
    )
    left, right, _, passage_rows = memory.relation
    pairs, fact_rows = np.unique(left.astype(np.int64) << 32 | right, return_inverse=True)
    ends = zip((pairs >> 32).tolist(), (pairs & 0xFFFFFFFF).tolist(), strict=True)
    _write(
        connection,
        facts,
        ("id", "subject_id", "predicate", "object_id", "collection_id", "version"),
        ((row + 1, one + 1, "met", other + 1, *common) for row, (one, other) in enumerate(ends)),
    )
    _write(
        connection,
        fact_sources,
        ("fact_id", "passage_id", "collection_id", "version"),
        (
            (fact + 1, passage + 1, *common)
            for fact, passage in zip(fact_rows.tolist(), passage_rows.tolist(), strict=True)
        ),
    )
    _write(
        connection,
        embeddings,
        ("collection_id", "text_hash", "vector"),
        (
            (collection_id, f"{start + place:032x}", vector.tobytes())
            for start in range(0, memory.n_passages, _AT_ONCE)
            for place, vector in enumerate(memory.vectors(start, min(start + _AT_ONCE, memory.n_passages)))
        ),
    )
    count_degrees(connection, collection_id)


def _write(connection: Connection, table: Table, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows given as tuples: as dictionaries, millions of them would take minutes."""
    statement = insert(table).compile(dialect=connection.dialect, column_keys=list(columns))
    order = [columns.index(name) for name in statement.positiontup or columns]
    remaining = iter(rows)
    while some := list(islice(remaining, _AT_ONCE)):
        connection.exec_driver_sql(str(statement), [tuple(row[place] for place in order) for row in some])
