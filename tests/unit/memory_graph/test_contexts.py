"""Context edges as arrays: all of them, or the strongest of each name and of each passage."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from sqlalchemy import select

from memory_graph.contexts import Ints, names_in, passages_of
from memory_graph.database import Database
from memory_graph.tables import mentions
from tests.unit.factories import commit_documents, learn_document, new_collection

TEXTS = (
    "Maren Quill met Tessaly. Tessaly rests. Ostrow rests.",
    "Ostrow met Tessaly.",
    "Tessaly rests. Ivo Brandt met.",
)


def strongest(edges: list[tuple[int, int, int]], most: int) -> tuple[set[tuple[int, int]], bool]:
    """Return the ``most`` strongest of (owner, other, count) of each owner, counted out by hand."""
    of_each: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for owner, other, count in edges:
        of_each[owner].append((-count, other))
    kept = {(owner, other) for owner, held in of_each.items() for _, other in sorted(held)[:most]}
    return kept, any(len(held) > most for held in of_each.values())


def pairs(one: Ints, other: Ints) -> set[tuple[int, int]]:
    found = list(zip(one.tolist(), other.tolist(), strict=True))
    assert len(set(found)) == len(found)
    return set(found)


@pytest.mark.parametrize("most", [1, 2, 50])
def test_of_each_the_strongest_are_told(database: Database, most: int) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("one", *TEXTS))
    with database.read() as connection:
        columns = mentions.c.passage_id, mentions.c.phrase_id, mentions.c.count
        rows = [tuple(row) for row in connection.execute(select(*columns))]
        names, passages = sorted({name for _, name, _ in rows}), np.unique([passage for passage, _, _ in rows])
        mentioning = passages_of(connection, names, most)
        mentioned = names_in(connection, passages, most)
    by_name = strongest([(name, passage, count) for passage, name, count in rows], most)
    assert (pairs(mentioning.phrase_ids, mentioning.passages), mentioning.cut) == by_name
    assert (pairs(mentioned.passages, mentioned.phrase_ids), mentioned.cut) == strongest(rows, most)


def test_of_nothing_nothing_is_told(database: Database) -> None:
    cid = new_collection(database).id
    with database.read() as connection:
        assert not len(passages_of(connection, [], 5).passages)
        assert not len(passages_of(connection, [cid + 987654], 5).passages)
        assert not len(names_in(connection, np.zeros(0, dtype=np.int64), 5).passages)
