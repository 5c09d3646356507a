"""A view that advances step by step equals one built from scratch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memory_graph.database import Database
from memory_graph.store.collections import get_collection
from memory_graph.store.reading import read_changes
from retrieval.view import View, advance, empty_view
from tests.unit.factories import (
    commit_documents,
    content_of,
    forget_document,
    learn_document,
    new_collection,
    random_history,
    replay,
)


def _bring_up(database: Database, view: View) -> View:
    with database.read() as connection:
        return advance(view, read_changes(connection, get_collection(connection, "memory"), view.version))


def _content(view: View) -> dict[str, Any]:
    vectors = view.index.vectors
    return {
        "version": view.version,
        "vectors": {int(p): vectors[row].tobytes() for row, p in enumerate(view.passage_ids)},
        "documents": dict(zip(view.passage_ids.tolist(), view.document_ids.tolist(), strict=True)),
        "phrases": dict(view.phrase_keys),
        "mentions": sorted(map(tuple, view.mentions.tolist())),
    }


def _check_shape(view: View) -> None:
    assert len(view.index.vectors) == len(view.index) == len(view.passage_ids) == len(view.document_ids)
    assert (np.diff(view.passage_ids) > 0).all()
    assert set(view.mentions[:, 0].tolist()) <= set(view.passage_ids.tolist())
    assert set(view.mentions[:, 1].tolist()) <= set(view.phrase_keys)


@pytest.mark.parametrize("seed", range(6))
def test_advancing_equals_building_from_scratch(database: Database, seed: int) -> None:
    cid = new_collection(database).id
    every_step = now_and_then = empty_view()
    for number, step in enumerate(random_history(seed)):
        replay(database, cid, step)
        every_step = _bring_up(database, every_step)
        scratch = _bring_up(database, empty_view())
        _check_shape(every_step)
        assert _content(every_step) == _content(scratch), f"after step {number}"
        assert every_step.graph.n_edges == scratch.graph.n_edges == len(scratch.mentions)
        np.testing.assert_allclose(every_step.graph.step.toarray(), scratch.graph.step.toarray(), atol=1e-12)
        assert every_step.phrase_rows == scratch.phrase_rows
        if number % 5 == 4:  # several commits at once
            now_and_then = _bring_up(database, now_and_then)
            assert _content(now_and_then) == _content(scratch)


def test_the_view_holds_what_the_rows_say(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill saw Ada Quill.", "Bram Oster slept."))
    view = _bring_up(database, empty_view())
    content = content_of(database)
    stored = [np.frombuffer(vector, "<f2").astype(np.float32) for vector in content["embeddings"].values()]
    assert sorted(map(bytes, view.index.vectors)) == sorted(map(bytes, stored))
    assert sorted(view.phrase_keys.values()) == content["phrases"] == ["ada quill", "bram oster"]
    assert view.mentions[:, 2].tolist() == [2, 1]
    assert set(view.phrase_rows) == {"ada quill", "bram oster"}


def test_the_old_view_does_not_change(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    old = _bring_up(database, empty_view())
    before = _content(old)
    forget_document(database, cid, "a")
    commit_documents(database, cid, learn_document("c", "Cora Finch."))
    new = _bring_up(database, old)
    assert _content(old) == before
    assert _content(new) != before
    assert (old.version, new.version) == (1, 3)


def test_a_view_without_change_in_its_vectors_keeps_its_index(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    view = _bring_up(database, empty_view())
    commit_documents(database, cid, learn_document("no passages"))
    advanced = _bring_up(database, view)
    assert advanced.version == 2
    assert advanced.index is view.index


def test_everything_can_be_forgotten_and_learned_again(database: Database) -> None:
    cid = new_collection(database).id
    view = empty_view()
    for version in (1, 3):
        commit_documents(database, cid, learn_document("a", "Ada Quill."))
        view = _bring_up(database, view)
        assert (view.version, len(view.passage_ids), len(view.index)) == (version, 1, 1)
        forget_document(database, cid, "a")
        view = _bring_up(database, view)
        assert (len(view.passage_ids), len(view.index), view.phrase_keys, len(view.mentions)) == (0, 0, {}, 0)
        assert view.graph.n_nodes == 0


def test_an_empty_view_is_ready() -> None:
    view = empty_view().warm()
    assert (view.version, view.graph.n_nodes, view.phrase_rows, len(view.index)) == (0, 0, {}, 0)
