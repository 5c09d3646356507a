"""One search, from the question to the hits."""

from __future__ import annotations

import json
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from memory_graph.database import Database
from memory_graph.errors import Conflict, InvalidInput, NotFound
from memory_graph.store.collections import create_collection, delete_collection
from retrieval.chains import SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams
from retrieval.search import Ranked, Searcher, SearchRequest, SearchResult
from retrieval.testing import HashEmbedder
from retrieval.views import ViewCache
from tests.unit.factories import (
    EMBEDDER,
    commit_documents,
    forget_document,
    learn_document,
    new_collection,
)
from tests.unit.rankers import graded, plain_ranker

DOCUMENTS = [
    learn_document("ada", "Ada Quill painted the harbour.", metadata={"kind": "art"}),
    learn_document("mill", "Ada Quill slept at the Old Mill.", metadata={"kind": "travel"}),
    learn_document("bram", "Bram Oster owned the Old Mill.", metadata={"kind": "trade"}),
    learn_document("rain", "it rained for a week", metadata={"kind": "weather"}),
    learn_document("wind", "the wind rose at noon", metadata={"kind": "weather"}),
]


@pytest.fixture
def cid(database: Database) -> int:
    cid = new_collection(database).id
    commit_documents(database, cid, *DOCUMENTS)
    return cid


@pytest.fixture
def searcher(database: Database) -> Searcher:
    return Searcher(database, ViewCache(database), EMBEDDER, ranker=plain_ranker())


def _search(searcher: Searcher, query: str, **fields: Any) -> SearchResult:
    return searcher.search("memory", SearchRequest(query=query, **fields))


def _keys(found: SearchResult) -> list[str]:
    return [hit.document_id for hit in found.hits]


WAYS = [
    {"mode": "graph"},
    {"mode": "graph", "rerank": "none"},
    {"mode": "hybrid"},
    {"mode": "dense"},
]
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(way.values()))


@every_way
def test_the_passage_asked_for_comes_first(searcher: Searcher, cid: int, way: dict[str, str]) -> None:
    found = _search(searcher, "Ada Quill painted the harbour", **way)
    assert found.hits[0].document_id == "ada"
    assert [hit.rank for hit in found.hits] == [1, 2, 3, 4, 5]
    assert [hit.score for hit in found.hits] == sorted((hit.score for hit in found.hits), reverse=True)
    assert (found.version, found.collection_id) == (1, cid)


@pytest.mark.usefixtures("cid")
def test_the_walk_finds_what_shares_only_a_name_with_the_answer(searcher: Searcher) -> None:
    """The mill's owner is two steps from Ada Quill; nothing else connects them."""
    found = _search(searcher, "Ada Quill", top_k=3)
    assert set(_keys(found)) == {"ada", "mill", "bram"}
    assert found.hits[2].score > 0
    assert found.fallback_reason is None


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        ([(1, 0.9), (2, 0.3)], [(2, 0.8), (3, 0.4), (4, -0.1)], [(1, 0.9), (2, 0.3), (3, 0.15), (4, 0.0)]),
        (
            [(1, 0.1), (2, -0.2)],
            [(3, 0.5), (4, 0.25), (5, -0.1)],
            [(1, 0.1), (2, -0.2), (3, -0.2), (4, -0.2), (5, -0.2)],
        ),
        ([(1, 0.0)], [(2, 0.5)], [(1, 0.0), (2, 0.0)]),
        ([], [(2, 0.5), (1, -0.5)], [(2, 0.5), (1, -0.5)]),
        ([(1, 0.5)], [(1, 0.1)], [(1, 0.5)]),
        ([(1, 0.5)], [], [(1, 0.5)]),
        ([], [], []),
    ],
)
def test_what_follows_a_ranking_scores_no_higher(
    first: list[tuple[int, float]], others: list[tuple[int, float]], expected: list[tuple[int, float]]
) -> None:
    one, other = (Ranked([row for row, _ in some], [score for _, score in some]) for some in (first, others))
    found = one.then(other)
    assert found.rows == [row for row, _ in expected]
    assert found.scores == pytest.approx([score for _, score in expected])


@pytest.mark.usefixtures("cid")
def test_fallbacks_are_named(searcher: Searcher, database: Database) -> None:
    assert _search(searcher, "who slept?").fallback_reason == "no_known_phrase_in_question"
    assert _search(searcher, "who slept?", mode="dense").fallback_reason is None
    other = new_collection(database, "nameless")
    commit_documents(database, other.id, learn_document("x", "it rained"), learn_document("y", "the wind rose"))
    nameless = searcher.search("nameless", SearchRequest(query="it rained"))
    assert nameless.fallback_reason == "empty_graph"
    assert _keys(nameless) == ["x", "y"]


@every_way
def test_an_empty_collection_answers_with_no_hits(searcher: Searcher, database: Database, way: dict[str, str]) -> None:
    new_collection(database)
    found = _search(searcher, "Ada Quill", **way)
    assert (found.hits, found.version, found.fallback_reason) == ([], 0, None)


@every_way
@pytest.mark.parametrize(("top_k", "hits"), [(1, 1), (3, 3), (5, 5), (1000, 5)])
@pytest.mark.usefixtures("cid")
def test_top_k_means_the_same_in_every_mode(searcher: Searcher, way: dict[str, str], top_k: int, hits: int) -> None:
    found = _search(searcher, "Ada Quill", **way, top_k=top_k)
    assert len(found.hits) == hits
    assert len({hit.passage_id for hit in found.hits}) == hits


@every_way
@pytest.mark.parametrize("top_k", [1, 2, 10])
@pytest.mark.usefixtures("cid")
def test_a_filter_limits_what_is_returned(searcher: Searcher, way: dict[str, str], top_k: int) -> None:
    found = _search(searcher, "Ada Quill", **way, filter={"kind": "weather"}, top_k=top_k)
    assert set(_keys(found)) <= {"rain", "wind"}
    assert len(found.hits) == min(top_k, 2)
    assert _search(searcher, "Ada Quill", **way, filter={"kind": "nothing"}).hits == []


@pytest.mark.usefixtures("cid")
def test_a_filter_does_not_limit_what_the_walk_crosses(searcher: Searcher) -> None:
    """The mill's owner is reached through a passage that may not be returned."""
    free = _search(searcher, "Ada Quill")
    filtered = _search(searcher, "Ada Quill", filter={"kind": {"in": ["trade", "weather"]}})
    assert _keys(filtered)[0] == "bram"
    score = {hit.document_id: hit.score for hit in free.hits}
    assert filtered.hits[0].score == pytest.approx(score["bram"])
    assert score["bram"] > 0


@pytest.mark.parametrize("rerank", ["none", "chain"])
@pytest.mark.usefixtures("cid")
def test_what_the_walk_does_not_reach_follows_in_dense_order(
    searcher: Searcher, database: Database, rerank: str
) -> None:
    one = ChainParams(by_walk=1, by_base=1)
    few_seeds = Searcher(database, ViewCache(database), EMBEDDER, GraphParams(seeds=1), one, plain_ranker())
    found = _search(few_seeds, "Ada Quill painted the harbour", top_k=5, rerank=rerank)
    assert set(_keys(found)[:3]) == {"ada", "mill", "bram"}
    dense = _keys(_search(searcher, "Ada Quill painted the harbour", mode="dense"))
    assert _keys(found)[3:] == [key for key in dense if key in ("rain", "wind")]
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("words", "close", "place"), [(12, 100.0, 1), (12, 0.0, 4), (3, 100.0, 4)])
@pytest.mark.usefixtures("cid")
def test_for_a_short_question_the_nearest_passage_stays_ahead(
    database: Database, words: int, close: float, place: int
) -> None:
    """The ranker here puts last what resembles the question most."""
    contrary = replace(plain_ranker(), second=graded(SECOND_FEATURES, cosine=-4.0, lexical=-4.0))
    chains = ChainParams(short=words, close=close)
    found = _search(
        Searcher(database, ViewCache(database), EMBEDDER, GraphParams(), chains, contrary),
        "Ada Quill painted the harbour",
        top_k=5,
    )
    assert _keys(found).index("ada") == place
    (chain,) = [stage.detail for stage in found.stages if stage.name == "chain"]
    assert chain["nearest_stays_ahead"] is (place == 1)


@pytest.mark.usefixtures("cid")
def test_a_trace_says_what_each_stage_did(searcher: Searcher) -> None:
    found = _search(searcher, "Ada Quill", filter={"kind": "art"})
    stages = {stage.name: stage for stage in found.stages}
    assert list(stages) == ["view", "embed", "filter", "dense", "lexical", "walk", "chain", "read"]
    assert stages["view"].detail == {"version": 1, "passages": 5, "phrases": 3}
    assert stages["filter"].detail == {"passages": 1}
    assert [one["phrase"] for one in stages["walk"].detail["phrases"]] == ["Ada Quill"]
    assert stages["walk"].detail["damping"] == GraphParams().walk.damping
    assert set(found.timings_ms) == {*stages, "total"}


@pytest.mark.usefixtures("cid")
def test_a_trace_tells_how_the_mass_came_to_the_hits_where_that_is_asked_for(searcher: Searcher) -> None:
    plain, found = _search(searcher, "Ada Quill"), _search(searcher, "Ada Quill", explain=True)
    assert "flow" not in plain.timings_ms
    assert [(hit.passage_id, hit.score) for hit in plain.hits] == [(hit.passage_id, hit.score) for hit in found.hits]
    (flow,) = [stage.detail for stage in found.stages if stage.name == "flow"]
    (walk,) = [stage.detail for stage in found.stages if stage.name == "walk"]
    assert [one["passage_id"] for one in flow["places"]] == [hit.passage_id for hit in found.hits]
    assert {1} <= {one["dense"] for one in flow["places"]} <= {None, *range(1, 6)}
    (name,) = [one for one in flow["phrases"] if one["phrase"] == "Ada Quill"]
    assert name["reset"] > 0.25 * walk["phrases"][0]["reset"]
    for one in (*flow["hits"], *flow["phrases"]):
        parts = one["reset"] + one["other"] + sum(part["mass"] for part in one["from"])
        assert parts == pytest.approx(one["mass"], rel=1e-3, abs=walk["residual"])
    fed = {part["phrase_id"] for hit in flow["hits"] for part in hit["from"]}
    assert fed == {one["phrase_id"] for one in flow["phrases"]}
    assert json.loads(json.dumps(flow)) == flow


@pytest.mark.usefixtures("cid")
def test_a_question_without_a_walk_has_no_flow(searcher: Searcher) -> None:
    for mode in ("dense", "hybrid"):
        assert "flow" not in _search(searcher, "Ada Quill", mode=mode, explain=True).timings_ms


@pytest.mark.usefixtures("cid")
def test_a_trace_tells_over_which_names_chains_led(searcher: Searcher) -> None:
    """The mill's owner is found from where Ada Quill slept, over the Old Mill."""
    found = _search(searcher, "Where did Ada Quill sleep?")
    passage_of = {hit.document_id: hit.passage_id for hit in found.hits}
    detail = next(stage.detail for stage in found.stages if stage.name == "chain")
    chains = {one["passage_id"]: one for one in detail["chains"]}
    assert (
        chains[passage_of["bram"]].items()
        >= {
            "from_passage_id": passage_of["mill"],
            "over": "name",
            "phrase": "Old Mill",
        }.items()
    )
    assert any("old mill" in question for question in detail["bridged_questions"])


@pytest.mark.parametrize(
    ("way", "stages"),
    [
        ({"mode": "dense"}, ["dense"]),
        ({"mode": "dense", "rerank": "none"}, ["dense"]),
        ({"mode": "hybrid"}, ["dense", "lexical"]),
        ({"mode": "graph", "rerank": "none"}, ["dense", "lexical", "walk"]),
        ({"mode": "graph", "rerank": "chain"}, ["dense", "lexical", "walk", "chain"]),
        ({}, ["dense", "lexical", "walk", "chain"]),
    ],
)
@pytest.mark.usefixtures("cid")
def test_each_way_does_what_it_needs(searcher: Searcher, way: dict[str, str], stages: list[str]) -> None:
    found = _search(searcher, "Ada Quill", **way)
    assert [stage.name for stage in found.stages] == ["view", "embed", *stages, "read"]


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
@pytest.mark.usefixtures("cid")
def test_chains_need_a_graph(searcher: Searcher, mode: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _search(searcher, "Ada Quill", mode=mode, rerank="chain")
    assert caught.value.field == "rerank"


@pytest.mark.usefixtures("cid")
def test_words_count_beside_vectors(database: Database) -> None:
    """A passage that holds a rare word of the question comes before one that is nearer by its vector."""
    hybrid = Searcher(database, ViewCache(database), EMBEDDER, GraphParams(hybrid_weight=100.0))
    found = _search(hybrid, "noon noon noon Ada Quill slept at the Old", mode="hybrid")
    dense = _search(hybrid, "noon noon noon Ada Quill slept at the Old", mode="dense")
    assert "wind" in _keys(found)[:2]
    assert _keys(found) != _keys(dense)


@pytest.mark.usefixtures("cid")
def test_a_bad_filter_and_a_missing_collection_are_errors(searcher: Searcher) -> None:
    with pytest.raises(InvalidInput) as caught:
        _search(searcher, "Ada Quill", filter={"kind": {"like": "a"}})
    assert caught.value.field == "filter.kind"
    with pytest.raises(NotFound):
        searcher.search("nobody", SearchRequest(query="x"))


@pytest.mark.usefixtures("cid")
@pytest.mark.parametrize("query", ["", "?!", "\ud800", "word " * 5000, "東京"])
def test_any_text_may_be_asked(searcher: Searcher, query: str) -> None:
    assert len(_search(searcher, query).hits) == 5


def test_a_commit_of_another_program_is_found_at_once(searcher: Searcher, database: Database, cid: int) -> None:
    other = Database(database.url)
    assert "new" not in _keys(_search(searcher, "Lake Orrin"))
    version = commit_documents(other, cid, learn_document("new", "Lake Orrin froze."))
    found = _search(searcher, "Lake Orrin", min_version=version)
    assert (found.hits[0].document_id, found.version) == ("new", 2)
    forget_document(other, cid, "new")
    assert "new" not in _keys(_search(searcher, "Lake Orrin"))
    other.close()


@pytest.mark.usefixtures("cid")
def test_a_version_that_does_not_come_is_a_conflict(
    searcher: Searcher, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    views = ViewCache(database)
    monkeypatch.setattr(views, "current", partial(views.current, patience_s=0.05))
    with pytest.raises(Conflict, match="min_version"):
        Searcher(database, views, EMBEDDER).search("memory", SearchRequest(query="x", min_version=2))


@pytest.mark.usefixtures("cid")
def test_a_collection_made_again_shows_nothing_of_the_old_one(searcher: Searcher, database: Database) -> None:
    assert len(_search(searcher, "Ada Quill").hits) == 5
    with database.write() as connection:
        delete_collection(connection, "memory")
        again = create_collection(connection, "memory")
    assert _search(searcher, "Ada Quill").hits == []
    commit_documents(database, again.id, learn_document("z", "Ada Quill came back."))
    found = _search(searcher, "Ada Quill")
    assert (_keys(found), found.collection_id) == (["z"], again.id)


def test_searches_while_commits_happen_are_consistent(database: Database, cid: int) -> None:
    """Each commit adds one document and forgets an older one; a search sees one state, or a later one's gaps."""
    alive: dict[int, set[str]] = {1: {one.document.id for one in DOCUMENTS}}
    searcher = Searcher(database, ViewCache(database), EMBEDDER)
    done, wrong, seen = Event(), [], []

    def search() -> None:
        last = 0
        try:
            while not done.is_set():
                found = searcher.search("memory", SearchRequest(query="Ada Quill harbour", top_k=50))
                keys = set(_keys(found))
                if found.version < last:
                    wrong.append(f"went back from {last} to {found.version}")
                if len(keys) != len(found.hits):
                    wrong.append(f"twice at {found.version}: {_keys(found)}")
                last = found.version
                seen.append((found.version, frozenset(keys)))
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            wrong.append(repr(error))

    threads = [Thread(target=search) for _ in range(8)]
    for thread in threads:
        thread.start()
    version = 1
    for number in range(15):
        version = commit_documents(database, cid, learn_document(f"new-{number}", f"Ada Quill saw harbour {number}."))
        alive[version] = alive[version - 1] | {f"new-{number}"}
        if number % 3 == 2:
            forget_document(database, cid, f"new-{number - 2}")
            version += 1
            alive[version] = alive[version - 1] - {f"new-{number - 2}"}
    last = searcher.search("memory", SearchRequest(query="Ada Quill", top_k=50))
    done.set()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert seen
    for at, keys in seen:
        assert keys <= alive[at]
        # What is missing was forgotten by a commit that came while the search ran.
        assert alive[at] - keys <= alive[at] - set.intersection(*(alive[v] for v in alive if v >= at))
    assert set(_keys(last)) == alive[version]


def test_the_embedder_is_asked_as_often_as_needed_and_not_for_an_empty_collection(database: Database) -> None:
    class Counting(HashEmbedder):
        calls = 0

        def encode(self, texts: Any) -> Any:
            self.calls += 1
            return super().encode(texts)

    embedder = Counting(16)
    cid = new_collection(database).id
    searcher = Searcher(database, ViewCache(database), embedder)
    _search(searcher, "Ada Quill")
    assert embedder.calls == 0
    commit_documents(database, cid, *DOCUMENTS)
    for way in WAYS[1:]:
        _search(searcher, "Ada Quill", **way)
    assert embedder.calls == 3
    _search(searcher, "Ada Quill")
    assert embedder.calls == 5  # and once for all the questions that were asked again
    _search(Searcher(database, ViewCache(database), embedder, chains=ChainParams(looks=1)), "Ada Quill")
    assert embedder.calls == 6
    searcher.warm()
    assert embedder.calls == 7  # two passages lead nowhere, so nothing is asked again


@pytest.mark.parametrize(
    ("titles", "rerank", "left_out"),
    [
        pytest.param(["Diary", "Diary", "Diary", "Diary", "Diary"], None, True, id="of a book"),
        pytest.param(["Diary", "Diary", "Diary", "Diary", "Diary"], "chain", False, id="asked for by name"),
        pytest.param(["Ada", "Ada", "Mill", "Mill", "Log"], None, False, id="learned twice"),
        pytest.param(["Ada", "Mill", "Bram", "Log", "Log"], None, False, id="mostly their own"),
        pytest.param(["", "", "", "", ""], None, False, id="none"),
    ],
)
def test_the_ranker_stays_out_where_titles_repeat(
    database: Database, titles: list[str], rerank: str | None, left_out: bool
) -> None:
    cid = new_collection(database).id
    texts = ("Ada Quill rowed.", "Ada Quill slept.", "Ada Quill left.", "Ada Quill sang.", "Ada Quill won.")
    learned = enumerate(zip(texts, titles, strict=True))
    documents = [learn_document(f"d{n}", text, title=title) for n, (text, title) in learned]
    commit_documents(database, cid, *documents)
    searcher = Searcher(database, ViewCache(database), EMBEDDER, ranker=plain_ranker())
    found = _search(searcher, "Where did Ada Quill row?", rerank=rerank)
    (chain,) = [stage.detail for stage in found.stages if stage.name == "chain"]
    assert (chain.get("left_out") == "titles_repeat") is left_out
    assert ("chains" in chain) is not left_out
    if left_out:
        assert _keys(found) == _keys(_search(searcher, "Where did Ada Quill row?", rerank="none"))


def test_thoughts_are_searched_with_the_mean_of_their_vectors_and_the_questions(searcher: Searcher, cid: int) -> None:
    query, thoughts = "who was it", ("Bram Oster owned a mill", "it rained")
    found = _search(searcher, query, mode="dense", top_k=5, thoughts=thoughts)
    mean = EMBEDDER.encode([query, *thoughts]).mean(axis=0)
    mean /= np.linalg.norm(mean)
    texts = EMBEDDER.encode([hit.text for hit in found.hits])
    assert [hit.score for hit in found.hits] == pytest.approx([float(one @ mean) for one in texts], abs=2e-3)
    assert _keys(found)[0] == "bram"
    (embed,) = [stage for stage in found.stages if stage.name == "embed"]
    assert embed.detail == {"thoughts": 2}
