"""Synonymy edges of a view follow from what lives, whatever came and went before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from memory_graph.database import Database
from memory_graph.graph import Shares
from memory_graph.store.collections import delete_collection
from memory_graph.synonymy import SynonymyParams
from memory_graph.tables import phrase_embeddings
from memory_graph.text import normalize
from memory_graph.walk import WalkParams
from retrieval.content import canonical
from retrieval.graph_search import GraphParams
from retrieval.saved_views import load_view, write_view
from retrieval.search import Searcher, SearchRequest
from retrieval.synonyms import SynonymIndex
from retrieval.view import View, compacted, empty_view
from retrieval.views import ViewCache
from tests.unit.factories import (
    EMBEDDER,
    Step,
    commit_documents,
    embed_names,
    forget_document,
    learn_document,
    new_collection,
    random_history,
    replay,
)
from tests.unit.views import assert_same_view, fresh, passage_names

# Loose enough that the few names of the tests have more synonyms than they may keep.
LOOSE = SynonymyParams(threshold=0.1, max_degree=2)


def loose_view() -> View:
    return replace(empty_view(), synonyms=SynonymIndex.empty(LOOSE))


def synonyms_of(view: View, database: Database) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = canonical(view, passage_names(database))["synonyms"]
    return found


@pytest.mark.parametrize("seed", range(6))
def test_any_history_ends_in_the_synonyms_of_a_rebuild(database: Database, tmp_path: Path, seed: int) -> None:
    cid = new_collection(database).id
    view = loose_view()
    seen: set[int] = set()
    for number, step in enumerate(random_history(seed)):
        # Every third commit was learned before names had vectors.
        write = step.write if number % 3 == 0 else tuple(map(embed_names, step.write))
        replay(database, cid, Step(write, step.forget))
        if number % 2:
            view = fresh(database, view)
        if number % 5 == 4:
            view = compacted(view)
        if number % 7 == 6:
            write_view(compacted(view), tmp_path / str(number))
            loaded = load_view(tmp_path / str(number))
            view = replace(loaded, synonyms=replace(loaded.synonyms, params=LOOSE))
        present = fresh(database, view)
        rebuilt = fresh(database, loose_view())
        assert_same_view(present, rebuilt)
        found = synonyms_of(present, database)
        assert found == synonyms_of(rebuilt, database)
        degrees = [sum(key in pair for pair in found) for key in {key for pair in found for key in pair}]
        assert max(degrees, default=0) <= LOOSE.max_degree
        seen.update(degrees)
        assert (~present.synonyms.joined).sum() == len(present.synonyms.joined) - len(found)
    assert seen == {1, 2}


def test_names_near_each_other_are_joined_and_the_cap_is_of_what_lives(database: Database) -> None:
    cid = new_collection(database).id
    texts = {"a": "Old Mill.", "b": "Old Mill House.", "c": "Old Mill Yard.", "d": "Old Mill Pond."}
    commit_documents(database, cid, *(embed_names(learn_document(key, text)) for key, text in texts.items()))
    params = SynonymyParams(threshold=0.5, max_degree=1)
    view = fresh(database, replace(empty_view(), synonyms=SynonymIndex.empty(params)))
    vectors = dict(
        zip(texts, EMBEDDER.encode([normalize(text) for text in texts.values()]).astype(np.float16), strict=True)
    )
    nearest = max("bcd", key=lambda key: float(vectors["a"].astype(np.float64) @ vectors[key].astype(np.float64)))
    name = normalize(texts[nearest])
    cosine = float(vectors["a"].astype(np.float64) @ vectors[nearest].astype(np.float64))
    assert synonyms_of(view, database) == {tuple(sorted(("old mill", name))): round(cosine * 1000)}
    forget_document(database, cid, nearest)
    view = fresh(database, view)
    ((left, right),) = synonyms_of(view, database)
    assert name not in (left, right)


def test_without_vectors_nothing_is_joined_or_kept(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Old Mill."), learn_document("b", "Old Mill House."))
    view = fresh(database, loose_view())
    assert (len(view.synonyms), synonyms_of(view, database), view.nbytes["synonyms"]) == (0, {}, 0)


def test_vectors_go_with_their_phrases(database: Database) -> None:
    def count() -> int | None:
        with database.read() as connection:
            return connection.scalar(select(func.count()).select_from(phrase_embeddings))

    cid = new_collection(database).id
    commit_documents(database, cid, embed_names(learn_document("a", "Ada Quill likes Bram Oster.")))
    commit_documents(database, cid, embed_names(learn_document("b", "Bram Oster likes Cora Finch.")))
    assert count() == 3
    forget_document(database, cid, "a")
    assert count() == 2
    with database.write() as connection:
        delete_collection(connection, "memory")
    assert count() == 0


def test_the_walk_crosses_a_synonym(database: Database) -> None:
    cid = new_collection(database).id
    texts = {"asked": "Old Mill.", "other": "Mill Old.", "rain": "It rained."}
    commit_documents(database, cid, *(embed_names(learn_document(key, text)) for key, text in texts.items()))
    assert ("mill old", "old mill") in synonyms_of(fresh(database), database)

    def score(share: float) -> float:
        params = GraphParams(guard=0, walk=WalkParams(shares=Shares(relation=0.0, synonymy=share)))
        searcher = Searcher(database, ViewCache(database), EMBEDDER, params)
        found = searcher.search("memory", SearchRequest(query="Old Mill?", top_k=3, rerank="none"))
        return {hit.document_id: hit.score for hit in found.hits}["other"]

    assert score(1.0) > score(GraphParams().walk.shares.synonymy) > score(0.0)
