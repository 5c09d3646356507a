"""Facts with vectors: found exactly, filtered by places, and seeds of the walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select

from memory_graph.database import Database
from memory_graph.errors import GeneratorOutputInvalid, GeneratorTimeout
from memory_graph.graph import Mentions, Relations, Synonyms, build_graph
from memory_graph.tables import fact_embeddings, tombstones
from memory_graph.types import Extraction, Mention, Triple
from retrieval.facts import FactChoice, FactIndex, FactParams, check_choice, join_seeds, mix_evidence, weigh_ends
from retrieval.graph_search import GraphParams
from retrieval.saved_views import load_view, write_view
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.view import compacted
from retrieval.views import ViewCache
from tests.unit.factories import (
    EMBEDDER,
    commit_documents,
    embed_facts,
    forget_document,
    learn_document,
    new_collection,
)
from tests.unit.views import assert_up_to_date, fresh

CHAIN = (
    ("quill", "Ada Quill likes Bram Oster."),
    ("oster", "Bram Oster likes Cora Finch."),
    ("finch", "Cora Finch likes Dunmore."),
    ("lake", "It rained on Lake Orrin."),
)


@pytest.fixture
def cid(database: Database) -> int:
    return new_collection(database).id


def learn_chain(database: Database, cid: int) -> None:
    for key, text in CHAIN:
        commit_documents(database, cid, learn_document(key, text))


def make_index(n: int, dim: int = 8, seed: int = 0) -> FactIndex:
    chance = np.random.default_rng(seed)
    vectors = chance.normal(size=(n, dim))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    ends = chance.integers(0, 5, (n, 2))
    return FactIndex.empty().extended(np.arange(1, n + 1), ends, chance.permutation(n), vectors)


@given(st.integers(0, 40), st.integers(0, 12), st.integers(0, 1000))
def test_the_nearest_are_those_of_sorting_all(n: int, k: int, seed: int) -> None:
    index = make_index(n, seed=seed).without(np.array([2, 3, 77]))
    query = np.random.default_rng(seed + 1).normal(size=8).astype(np.float32)
    rows, similarities = index.search(query, k)
    alive = [row for row in range(n) if row + 1 not in (2, 3)]
    exact = index.vectors.take(np.arange(n)).astype(np.float64) @ query.astype(np.float64) if n else np.zeros(0)
    assert len(index) == len(alive)
    assert rows.tolist() == sorted(alive, key=lambda row: -float(exact[row]))[:k]
    np.testing.assert_allclose(similarities, exact[rows], rtol=0, atol=1e-12)


def test_equal_facts_are_ordered_by_what_they_are() -> None:
    vectors = np.tile(np.eye(4, dtype=np.float16)[0], (3, 1))
    index = FactIndex.empty().extended(np.array([5, 6, 7]), np.zeros((3, 2), np.int64), np.array([30, 10, 20]), vectors)
    assert index.search(np.eye(4, dtype=np.float32)[0], 2)[0].tolist() == [1, 2]


def test_older_readers_keep_what_they_have() -> None:
    first = make_index(3)
    later = first.extended(np.array([9]), np.array([[0, 1]]), np.array([9]), first.vectors.take(np.array([0]))).without(
        np.array([1])
    )
    assert (len(first), len(later)) == (3, 3)
    small = later.compacted(np.array([True, True, False, True, True]))
    assert small.ids.rows.tolist() == [2, 3, 9]
    assert len(small.dead) == 0


@given(st.lists(st.integers(0, 6), max_size=12))
def test_a_choice_of_places_is_kept_in_order_and_once(choice: list[int]) -> None:
    kept = check_choice(choice, 7)
    assert len(set(kept)) == len(kept)
    assert set(kept) == set(choice)
    assert kept == sorted(kept, key=choice.index)


@given(st.lists(st.integers(0, 6), max_size=5), st.sampled_from([-1, 7, 10**9, True, 1.0, "2", None]), st.data())
def test_anything_but_places_is_refused(choice: list[object], odd: object, data: st.DataObject) -> None:
    choice.insert(data.draw(st.integers(0, len(choice))), odd)
    with pytest.raises(GeneratorOutputInvalid):
        check_choice(choice, 7)  # type: ignore[arg-type]


def test_phrases_weigh_by_their_facts_and_their_idf() -> None:
    mentions = Mentions(*(np.array(column, dtype=np.int32) for column in ([0, 1, 1], [0, 0, 1], [1, 1, 1])))
    graph = build_graph(mentions, Relations.none(), Synonyms.none(), n_passages=2, n_phrases=3)
    index = FactIndex.empty().extended(
        np.array([1, 2]), np.array([[0, 1], [1, 2]]), np.array([1, 2]), np.eye(2, dtype=np.float16)
    )
    phrases, weights = weigh_ends(index, graph, np.array([0, 1]), np.array([0.9, 0.8]), FactParams(temperature=0.1))
    assert phrases.tolist() == [0, 1]  # nothing mentions phrase 2
    idf = np.log(3 / np.array([2.5, 1.5]))
    expected = np.array([1.0, 1.0 + np.exp(-1.0)]) * idf
    np.testing.assert_allclose(weights, expected / expected.sum())
    none, nothing = weigh_ends(index, graph, np.zeros(0, np.int64), np.zeros(0), FactParams())
    assert (len(none), len(nothing)) == (0, 0)


def test_what_a_passage_states_counts_beside_what_it_says() -> None:
    rows, own = np.array([0, 4, 7]), np.array([0.6, 0.8, 0.1])
    stated = np.array([7, 0, 7]), np.array([0.5, 0.9, 0.7])
    np.testing.assert_allclose(mix_evidence(rows, own, stated, 0.4, 0.5), [0.75, 0.6, 0.4])
    np.testing.assert_array_equal(mix_evidence(rows, own, stated, 0.4, 0.0), own)
    none = np.zeros(0, np.int64), np.zeros(0)
    np.testing.assert_allclose(mix_evidence(rows, own, none, 0.4, 0.5), [0.5, 0.6, 0.25])


def test_seeds_of_several_kinds_are_added() -> None:
    rows, masses = join_seeds((np.array([5, 2]), np.array([0.1, 0.2])), (np.array([2, 9]), np.array([0.3, 0.4])))
    assert rows.tolist() == [5, 2, 9]
    np.testing.assert_allclose(masses, [0.1, 0.5, 0.4])


def test_vectors_come_and_go_with_their_facts(database: Database, cid: int, tmp_path: Path) -> None:
    learn_chain(database, cid)
    commit_documents(database, cid, learn_document("again", "Ada Quill likes Bram Oster."))
    view = fresh(database)
    assert len(view.facts) == 3
    forget_document(database, cid, "quill")  # the fact has another source
    assert len(fresh(database, view).facts) == 3
    forget_document(database, cid, "again")
    later = fresh(database, view)
    assert len(later.facts) == 2
    assert_up_to_date(later, database)
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(fact_embeddings)) == 2
        buried = connection.scalar(select(func.count()).select_from(tombstones).where(tombstones.c.kind == "fact"))
        assert buried == 1
    write_view(compacted(later), tmp_path / "save")
    assert_up_to_date(load_view(tmp_path / "save"), database)


def test_a_fact_learned_without_a_vector_gets_one_when_it_is_learned_again(database: Database, cid: int) -> None:
    bare = replace(learn_document("a", "Ada Quill likes Bram Oster."), fact_vectors={})
    commit_documents(database, cid, bare)
    view = fresh(database)
    assert len(view.facts) == 0
    commit_documents(database, cid, learn_document("b", "Cora Finch likes Dunmore."))
    view = fresh(database, view)
    commit_documents(database, cid, learn_document("c", "Ada Quill likes Bram Oster."))
    view = fresh(database, view)
    assert len(view.facts) == 2
    assert_up_to_date(view, database)


def test_a_vector_does_not_depend_on_how_its_names_were_written() -> None:
    one, other = (embed_facts([Triple(name, "likes", "Bram")]) for name in ("Ada Quill", "ADA  QUILL"))
    assert one.keys() == other.keys()


class Choice:
    """A filter that chooses what it was told to, and notes what it was asked."""

    def __init__(self, choice: Sequence[int] | Exception) -> None:
        self.choice = choice
        self.asked: list[tuple[str, list[str]]] = []

    def choose(self, question: str, facts: Sequence[str]) -> FactChoice:
        self.asked.append((question, list(facts)))
        if isinstance(self.choice, Exception):
            raise self.choice
        return FactChoice(places=self.choice)


def search(database: Database, query: str, fact_filter: Choice | None = None, **facts: float) -> SearchResult:
    params = GraphParams(facts=FactParams(**facts), guard=0)  # type: ignore[arg-type]
    searcher = Searcher(database, ViewCache(database), EMBEDDER, params, fact_filter=fact_filter)
    return searcher.search("memory", SearchRequest(query=query, top_k=4, rerank="none"))


def stage(result: SearchResult, name: str) -> dict[str, object]:
    (found,) = [one for one in result.stages if one.name == name]
    return dict(found.detail)


def test_the_nearest_fact_leads_the_walk_to_its_phrases(database: Database, cid: int) -> None:
    learn_chain(database, cid)
    query = "What of Oster likes Finch?"  # no name of the memory
    found = search(database, query, share=0.6, nearest=1, mix=0.0)
    (fact,) = stage(found, "facts")["facts"]  # type: ignore[misc]
    assert fact["fact"] == "bram oster likes cora finch"
    seeds = {one["phrase"]: one["reset"] for one in stage(found, "walk")["phrases"]}  # type: ignore[attr-defined]
    assert seeds.keys() == {"Bram Oster", "Cora Finch"}
    assert sum(seeds.values()) == pytest.approx(0.6)
    without = search(database, query, share=0.0, mix=0.0)
    assert stage(without, "walk")["phrases"] == []
    before, after = ({hit.document_id: hit.score for hit in one.hits} for one in (without, found))
    assert after["quill"] > before["quill"]
    assert after["finch"] > before["finch"]


def test_a_phrase_of_the_question_that_a_fact_names_starts_with_both_masses(database: Database, cid: int) -> None:
    learn_chain(database, cid)
    found = search(database, "Bram Oster likes Cora Finch", share=0.6, nearest=1, mix=0.0)
    phrases = stage(found, "walk")["phrases"]
    assert [one["phrase"] for one in phrases] == ["Bram Oster", "Cora Finch"]  # type: ignore[attr-defined]
    assert sum(one["reset"] for one in phrases) == pytest.approx(0.9)  # type: ignore[attr-defined]


def test_shares_of_one_mass_are_at_most_one() -> None:
    with pytest.raises(ValueError, match="together at most 1"):
        GraphParams(phrase_share=0.3, facts=FactParams(share=0.8))


def test_the_filter_decides_which_facts_lead(database: Database, cid: int) -> None:
    learn_chain(database, cid)
    chosen = Choice([1])
    found = search(database, "Who likes whom?", chosen, nearest=3)
    ((question, candidates),) = chosen.asked
    assert question == "Who likes whom?"
    assert len(candidates) == 3
    (fact,) = stage(found, "facts")["facts"]  # type: ignore[misc]
    assert fact["fact"] == candidates[1]
    assert found.fallback_reason == "no_known_phrase_in_question"


def test_a_filter_may_choose_nothing(database: Database, cid: int) -> None:
    learn_chain(database, cid)
    found = search(database, "Bram Oster?", Choice([]))
    assert stage(found, "facts")["facts"] == []
    plain = search(database, "Bram Oster?", share=0.0, mix=0.0)
    assert [(hit.document_id, hit.score) for hit in found.hits] == [(h.document_id, h.score) for h in plain.hits]


def test_a_passage_that_states_the_nearest_fact_moves_up(database: Database, cid: int) -> None:
    learn_chain(database, cid)
    query = "cora finch likes dunmore"
    mixed, plain = (
        {hit.document_id: hit.score for hit in search(database, query, share=0.0, mix=mix, evidence=1).hits}
        for mix in (0.9, 0.0)
    )
    # One fact is looked at, so all others have what it has: what is left is a tenth of the difference in similarity.
    assert mixed["lake"] > plain["lake"]
    two = search(database, query, share=0.0, mix=0.9, evidence=3)
    assert two.hits[0].document_id == "finch"
    assert {hit.document_id: hit.score for hit in two.hits}["finch"] > mixed["finch"]


def test_a_passage_beyond_the_seeds_comes_in_by_its_fact(database: Database, cid: int) -> None:
    learn_chain(database, cid)
    params = GraphParams(seeds=1, guard=0, facts=FactParams(share=0.0, evidence=3, mix=1.0))
    searcher = Searcher(database, ViewCache(database), EMBEDDER, params)
    found = searcher.search("memory", SearchRequest(query="It rained on Lake Orrin.", top_k=4, rerank="none"))
    seeds = stage(found, "walk")["seeds"]
    assert len(seeds) == 4  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "code"), [([99], "generator_output_invalid"), (GeneratorTimeout("too slow"), "generator_timeout")]
)
def test_a_filter_that_fails_is_passed_over_and_named(
    database: Database, cid: int, choice: Sequence[int] | Exception, code: str
) -> None:
    learn_chain(database, cid)
    found = search(database, "Bram Oster?", Choice(choice))
    assert found.fallback_reason == f"fact_filter_failed: {code}"
    unfiltered = search(database, "Bram Oster?")
    assert [hit.document_id for hit in found.hits] == [hit.document_id for hit in unfiltered.hits]


def test_without_facts_nothing_is_linked(database: Database, cid: int) -> None:
    document = replace(learn_document("a", "Ada Quill waved."), fact_vectors={})
    passage = replace(document.passages[0], extraction=Extraction(mentions=(Mention("Ada Quill", 1),)))
    commit_documents(database, cid, replace(document, passages=[passage]))
    assert "facts" not in [one.name for one in search(database, "Ada Quill?").stages]
