"""Searches whose first passages are ranked again by a pair scorer, here one that counts words."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, ModelMissing
from retrieval.cross_encoder import CrossParams
from retrieval.search import Mode, Searcher, SearchRequest, SearchResult
from retrieval.testing import WordScorer
from retrieval.views import ViewCache
from tests.unit.factories import EMBEDDER, commit_documents, learn_document, new_collection

MODES = get_args(Mode)
QUESTION = "Ada Quill painted boats below the old mill"
DOCUMENTS = [
    learn_document("answer", "painted boats below the old mill", title="Ada Quill", metadata={"kind": "art"}),
    *(learn_document(f"near-{number}", f"Ada Quill painted boats, {number} times.") for number in range(5)),
    learn_document("rain", "it rained for a week", metadata={"kind": "weather"}),
    learn_document("wind", "the old wind rose at noon", metadata={"kind": "weather"}),
]


@pytest.fixture
def views(database: Database) -> ViewCache:
    commit_documents(database, new_collection(database).id, *DOCUMENTS)
    return ViewCache(database)


@pytest.fixture
def scorer() -> WordScorer:
    return WordScorer()


def _search(
    database: Database, views: ViewCache, scorer: WordScorer | None, candidates: int = 30, **fields: Any
) -> SearchResult:
    searcher = Searcher(database, views, EMBEDDER, scorer=scorer, cross=CrossParams(candidates=candidates))
    return searcher.search("memory", SearchRequest(**{"query": QUESTION, "rerank": "cross"} | fields))


def _keys(found: SearchResult) -> list[str]:
    return [hit.document_id for hit in found.hits]


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
def test_hits_come_in_the_order_of_the_scorer(
    database: Database, views: ViewCache, scorer: WordScorer, mode: str
) -> None:
    found = _search(database, views, scorer, mode=mode)
    assert len(found.hits) == len(DOCUMENTS)
    shares = scorer.score(QUESTION, [f"{hit.title}\n{hit.text}" for hit in found.hits]).tolist()
    assert shares == sorted(shares, reverse=True)
    assert found.hits[0].document_id == "answer"
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    assert 0.99 < found.hits[0].score < 1
    assert [hit.rank for hit in found.hits] == list(range(1, len(DOCUMENTS) + 1))


def test_in_mode_graph_the_scorer_speaks_beside_the_chain_ranker(
    database: Database, views: ViewCache, scorer: WordScorer
) -> None:
    chained = _search(database, views, scorer, rerank="chain")
    found = _search(database, views, scorer)
    logits = scorer.score(QUESTION, [f"{hit.title}\n{hit.text}" for hit in chained.hits]).tolist()
    expected = {
        hit.document_id: math.log(hit.score / (1 - hit.score)) + 0.1 * logit
        for hit, logit in zip(chained.hits, logits, strict=True)
        if hit.score > 1e-4
    }
    assert len(expected) >= 6
    scores = {hit.document_id: hit.score for hit in found.hits}
    for key, odds in expected.items():
        assert scores[key] == pytest.approx(1 / (1 + math.exp(-odds)))
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    assert [stage.name for stage in found.stages][-3:] == ["chain", "cross", "read"]


def test_without_a_graph_the_scorer_alone_decides(database: Database, scorer: WordScorer) -> None:
    nameless = [learn_document("wind", "the wind rose"), learn_document("mill", "who burned the mill")]
    commit_documents(database, new_collection(database).id, *nameless)
    found = _search(database, ViewCache(database), scorer, query="who burned the mill")
    assert (_keys(found), found.fallback_reason) == (["mill", "wind"], "empty_graph")
    assert [hit.score for hit in found.hits] == pytest.approx([1 / (1 + math.exp(-6)), 1 / (1 + math.exp(3))])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("candidates", [1, 3])
def test_those_beyond_the_candidates_follow_in_their_order(
    database: Database, views: ViewCache, scorer: WordScorer, mode: str, candidates: int
) -> None:
    # In mode graph, None is chain, and that is the order that is read again.
    plain = _keys(_search(database, views, scorer, mode=mode, rerank=None))
    found = _search(database, views, scorer, candidates, mode=mode)
    assert set(_keys(found)[:candidates]) == set(plain[:candidates])
    assert _keys(found)[candidates:] == plain[candidates:]
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    assert [len(texts) for _, texts in scorer.asked] == [candidates]


@pytest.mark.parametrize("mode", MODES)
def test_all_candidates_are_read_however_few_are_wanted(
    database: Database, views: ViewCache, scorer: WordScorer, mode: str
) -> None:
    found = _search(database, views, scorer, mode=mode, top_k=1)
    assert _keys(found) == ["answer"]
    assert [len(texts) for _, texts in scorer.asked] == [len(DOCUMENTS)]


@pytest.mark.parametrize("mode", MODES)
def test_only_what_may_be_returned_is_read(database: Database, views: ViewCache, scorer: WordScorer, mode: str) -> None:
    found = _search(database, views, scorer, mode=mode, filter={"kind": "weather"})
    assert _keys(found) == ["wind", "rain"]
    assert scorer.asked == [(QUESTION, ["the old wind rose at noon", "it rained for a week"])] or scorer.asked == [
        (QUESTION, ["it rained for a week", "the old wind rose at noon"])
    ]


def test_the_trace_says_what_was_read_again(database: Database, views: ViewCache, scorer: WordScorer) -> None:
    found = _search(database, views, scorer, mode="dense", top_k=2)
    assert [stage.name for stage in found.stages] == ["view", "embed", "dense", "cross", "read"]
    detail = found.stages[3].detail
    assert (detail["model"], detail["candidates"]) == ("words", len(DOCUMENTS))
    assert detail["best"][0]["passage_id"] == found.hits[0].passage_id
    assert detail["best"][0]["score"] == pytest.approx(found.hits[0].score, abs=1e-4)
    dense = _keys(_search(database, views, scorer, mode="dense", rerank="none"))
    assert detail["best"][0]["rank_before"] == dense.index("answer") + 1
    assert "cross" in found.timings_ms


def test_without_a_scorer_it_is_refused_whatever_the_memory_holds(database: Database) -> None:
    new_collection(database)
    with pytest.raises(ModelMissing, match="rerank cross"):
        _search(database, ViewCache(database), None)
    assert _search(database, ViewCache(database), None, rerank=None).hits == []


def test_an_empty_memory_has_no_hits(database: Database, scorer: WordScorer) -> None:
    new_collection(database)
    assert _search(database, ViewCache(database), scorer).hits == []
    assert scorer.asked == []


def test_a_chain_still_needs_the_graph(database: Database, views: ViewCache, scorer: WordScorer) -> None:
    with pytest.raises(InvalidInput, match="rerank"):
        _search(database, views, scorer, mode="dense", rerank="chain")
