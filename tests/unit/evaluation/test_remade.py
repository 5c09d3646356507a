"""Views without an ingredient of the graph: what they hold, and that nothing else of them changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluation.remade import COUNTED_ONCE, WITHOUT_SCAN, WITHOUT_TITLES, forget_titles, remake_views
from ingest.batch import title_mentions
from memory_graph.database import Database
from memory_graph.store.learning import LearnedDocument
from memory_graph.store.reading import Changes, read_changes
from retrieval.content import canonical
from retrieval.view import View, advance, empty_view
from tests.unit.factories import (
    commit_documents,
    embed_names,
    find_collection,
    learn_document,
    new_collection,
)
from tests.unit.views import check_shape, passage_names

DOCUMENTS = (
    learn_document("1", "Quill drew a tower for Quill, said Ada", title="Quill"),
    learn_document("2", "nobody names the marsh, or quill", title="Marsh (place)"),
    learn_document("3", "Ada likes Bram", "a marsh, a quill, a marsh", title="Bees"),
)


def _with_title(document: LearnedDocument) -> LearnedDocument:
    """Return a document with its title as a mention in each passage, as the pipeline makes it."""
    title = title_mentions(document.document)
    return replace(
        document,
        passages=[
            replace(one, extraction=replace(one.extraction, mentions=(*title, *one.extraction.mentions)))
            for one in document.passages
        ],
    )


def _learn(database: Database, *documents: LearnedDocument, name: str = "memory") -> Changes:
    commit_documents(database, new_collection(database, name).id, *documents)
    with database.read() as connection:
        return read_changes(connection, find_collection(database, name), 0)


def _edges(view: View) -> dict[tuple[int, str], int]:
    """Return how often each passage holds each name."""
    passages, phrases, counts = view.graph.all_mentions()
    names = (view.names.key(int(phrase)) for phrase in phrases)
    return dict(zip(zip(passages.tolist(), names, strict=True), counts.tolist(), strict=True))


@pytest.fixture
def changes(database: Database) -> Changes:
    return _learn(database, *(embed_names(_with_title(one)) for one in DOCUMENTS))


def test_without_titles_it_is_the_memory_in_which_no_title_was_a_name(database: Database, changes: Changes) -> None:
    _learn(database, *(embed_names(one) for one in DOCUMENTS), name="plain")
    with database.read() as connection:
        plain = advance(empty_view(), read_changes(connection, find_collection(database, "plain"), 0))
    remade = remake_views(changes)[WITHOUT_TITLES]
    check_shape(remade)
    assert canonical(remade, passage_names(database)) == canonical(plain, passage_names(database, "plain"))
    assert {name for _, name in _edges(remade)} == {"quill", "ada", "bram"}


def test_titles_that_are_forgotten_leave_the_rest(changes: Changes) -> None:
    left = forget_titles(changes)
    assert len(left.phrase_keys) < len(changes.phrase_keys)
    assert len(left.embedded_phrases) == len(left.phrase_vectors) == len(left.phrase_keys)
    assert left.relations.tolist() == changes.relations.tolist()
    assert left.words is changes.words


def test_without_the_scan_passages_hold_what_was_read_in_them(changes: Changes) -> None:
    whole, remade = advance(empty_view(), changes), remake_views(changes)[WITHOUT_SCAN]
    check_shape(remade)
    assert _edges(remade) == {
        (0, "quill"): 4,
        (0, "ada"): 1,
        (1, "marsh"): 2,
        (2, "bees"): 2,
        (2, "ada"): 1,
        (2, "bram"): 1,
        (3, "bees"): 2,
    }
    # The scan finds "quill" in small letters, and the marsh in another document; never less than the extractor.
    assert _edges(whole) == _edges(remade) | {(1, "quill"): 1, (3, "marsh"): 2, (3, "quill"): 1}
    assert remade.graph.total_count == sum(remade.graph.all_mentions().counts) + 2 * 1  # a fact, either way


def test_counted_once_every_edge_weighs_the_same(changes: Changes) -> None:
    whole, remade = advance(empty_view(), changes), remake_views(changes)[COUNTED_ONCE]
    check_shape(remade)
    assert _edges(remade) == dict.fromkeys(_edges(whole), 1)


def test_rows_of_passages_stay(changes: Changes) -> None:
    whole = advance(empty_view(), changes)
    rows = np.arange(len(whole.passages))
    for view in remake_views(changes).values():
        assert view.passage_ids.tolist() == whole.passage_ids.tolist()
        assert view.index.take(rows).tolist() == whole.index.take(rows).tolist()
