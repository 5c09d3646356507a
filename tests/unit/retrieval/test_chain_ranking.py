"""From a question over a passage that resembles it to one that does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from retrieval.chain_ranking import (
    ChainRanking,
    build_bridges,
    look_again,
    look_first,
    rank_by_chains,
    share_own_titles,
    stays_ahead,
)
from retrieval.chains import FEATURES, SECOND_FEATURES, ChainParams, find_links
from retrieval.graph_search import GraphParams
from retrieval.view import View
from tests.unit.rankers import graded, plain_ranker
from tests.unit.scenes import EMBEDDER, FIRST_PASSAGE, FIRST_PHRASE, ask, view_of

NOBODY = np.zeros(0, dtype=np.int64)

TOWER = ("Tessaly tower", "The tower of Tessaly was drawn by Maren Quill for Sorn Bay.")
KEEPER = ("Maren Quill", "Grew up among bees, by marshes.")
LEDGER = ("", "Sorn Bay: eleven barrels.")
FILLERS = [("", f"filler number {number}") for number in range(30)]
MEMORY = [*FILLERS, TOWER, KEEPER, LEDGER]
NAMES = ["Tessaly", "Maren Quill", "Sorn Bay"]
TOWER_ROW, KEEPER_ROW, LEDGER_ROW = 30, 31, 32
QUESTION = "Where did the architect of the tower of Tessaly live?"

# Neither the walk nor likeness brings more than the tower: what else is ranked came over links.
NARROW = ChainParams(by_walk=1, by_base=1)


@pytest.fixture(scope="module", params=[-1, 31], ids=["settled", "two later"])
def view(request: pytest.FixtureRequest) -> View:
    return view_of(MEMORY, NAMES, settled=request.param)


def _rank(
    view: View, question: str = QUESTION, params: ChainParams = NARROW, *, looks: int = 2, **options: Any
) -> ChainRanking:
    encode = EMBEDDER.encode if looks > 1 else None
    return rank_by_chains(ask(view, question), plain_ranker(), params, encode, **options)


@pytest.mark.parametrize("looks", [1, 2])
def test_what_resembles_the_question_in_nothing_is_found_over_its_title_and_over_a_shared_name(
    view: View, looks: int
) -> None:
    scene = ask(view, QUESTION)
    assert scene.similarities(np.array([KEEPER_ROW, LEDGER_ROW])).max() < 0.15
    assert not scene.lexical.sums[[KEEPER_ROW, LEDGER_ROW]].any()
    found = _rank(view, looks=looks)
    assert found.rows.tolist() == [TOWER_ROW, KEEPER_ROW, LEDGER_ROW]
    assert (np.diff(found.scores) <= 0).all()
    assert found.scores.min() >= 0
    assert found.scores.max() <= 1


def test_the_trace_names_the_chains(view: View) -> None:
    found = _rank(view)
    assert found.detail["candidates"] == 3
    assert found.detail["leads"][0] == FIRST_PASSAGE + TOWER_ROW
    chains = {one["passage_id"] - FIRST_PASSAGE: one for one in found.detail["chains"]}
    tower = FIRST_PASSAGE + TOWER_ROW
    over_title = {"from_passage_id": tower, "over": "title", "phrase_id": FIRST_PHRASE + 1}
    over_name = {"from_passage_id": tower, "over": "name", "phrase_id": FIRST_PHRASE + 2}
    assert chains[KEEPER_ROW] == {"passage_id": FIRST_PASSAGE + KEEPER_ROW, **over_title}
    assert chains[LEDGER_ROW] == {"passage_id": FIRST_PASSAGE + LEDGER_ROW, **over_name}


def test_the_question_is_asked_again_with_the_names_found(view: View) -> None:
    asked = _rank(view).detail["bridged_questions"]
    assert asked[0] == "where did the architect of the tower of maren quill live"
    assert set(asked) == {asked[0], "where did the architect of the tower of sorn bay live"}
    nameless = _rank(view, "Where did the architect of the tower live?").detail["bridged_questions"]
    assert "where did the architect of the tower live maren quill" in nameless
    assert _rank(view, looks=1).detail["bridged_questions"] == []
    assert _rank(view, params=ChainParams(bridges=1)).detail["bridged_questions"] == asked[:1]


def test_only_a_name_that_the_lead_holds_gives_way() -> None:
    view = view_of([*MEMORY, ("", "Bram Oster rowed.")], [*NAMES, "Bram Oster"])
    asked = _rank(view, "Did Bram Oster see the tower of Tessaly?").detail["bridged_questions"]
    assert "did bram oster see the tower of maren quill" in asked


def test_the_best_name_for_a_passage_counts() -> None:
    """Of two bridged questions the nearer one is told, and the gain over the plain question."""
    view = view_of(MEMORY, NAMES)
    scene = ask(view, QUESTION)
    links = find_links(scene, np.array([TOWER_ROW]), np.ones(1), ChainParams())
    bridges = build_bridges(scene, links, np.array([TOWER_ROW]), ChainParams(), EMBEDDER.encode)
    assert bridges.rows.tolist() == [KEEPER_ROW, LEDGER_ROW]
    vectors = EMBEDDER.encode(bridges.questions).astype(np.float64)
    for place, row in enumerate(bridges.rows.tolist()):
        own = view.index.take(np.array([row]))[0].astype(np.float64)
        nearest = float(vectors[bridges.over[place]] @ own)
        assert bridges.nearness[place] == pytest.approx(nearest)
        assert bridges.gain[place] == pytest.approx(nearest - scene.similarities(np.array([row]))[0])
    first, second = (links.scores[name] for name in bridges.names)
    assert bridges.weighted[bridges.over == 0] == pytest.approx(bridges.nearness[bridges.over == 0])
    assert bridges.weighted[bridges.over == 1] == pytest.approx(
        bridges.nearness[bridges.over == 1] * np.sqrt(second / first)
    )


def test_of_a_common_name_the_candidates_that_hold_it_are_asked() -> None:
    view = view_of([*MEMORY, *[("", f"Sorn Bay {number}") for number in range(6)]], NAMES)
    scene, pool = ask(view, QUESTION), np.array([TOWER_ROW, LEDGER_ROW, 34])
    links = find_links(scene, np.array([TOWER_ROW]), np.ones(1), ChainParams())
    few = build_bridges(scene, links, pool, ChainParams(bridged=3), EMBEDDER.encode)
    assert few.rows.tolist() == [KEEPER_ROW, LEDGER_ROW, 34]
    many = build_bridges(scene, links, pool, ChainParams(bridged=60), EMBEDDER.encode)
    assert many.rows.tolist() == [KEEPER_ROW, LEDGER_ROW, *range(33, 39)]


@pytest.mark.parametrize("looks", [1, 2])
@pytest.mark.parametrize("allowed", [[KEEPER_ROW], [KEEPER_ROW, 3], [LEDGER_ROW], [5], []])
def test_a_filter_limits_what_is_returned_and_not_over_what_chains_lead(
    view: View, allowed: list[int], looks: int
) -> None:
    mask = np.zeros(len(MEMORY), dtype=bool)
    mask[allowed] = True
    free, found = _rank(view, looks=looks), _rank(view, looks=looks, allowed=mask)
    assert set(found.rows.tolist()) <= set(allowed)
    free_scores = dict(zip(free.rows.tolist(), free.scores.tolist(), strict=True))
    scores = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
    for row in {KEEPER_ROW, LEDGER_ROW} & set(allowed):
        assert scores[row] == pytest.approx(free_scores[row])
        chain = next(one for one in found.detail["chains"] if one["passage_id"] == FIRST_PASSAGE + row)
        assert chain["from_passage_id"] == FIRST_PASSAGE + TOWER_ROW


@pytest.mark.parametrize("question", [QUESTION, "Who rowed?", "", "?!"])
@pytest.mark.parametrize(
    "texts",
    [
        [("", "")],
        [("Tessaly", "Maren Quill")],
        [("", ""), ("", "?!"), ("Tessaly", "")],
        [("", "Sorn Bay"), ("", "Sorn Bay of Tessaly"), ("", "Sorn Bay")],
        [("Maren Quill", "Sorn Bay")] * 50,
    ],
    ids=["without words", "one passage", "hardly a word", "no titles", "one title"],
)
@pytest.mark.parametrize("looks", [1, 2])
def test_sparse_memories_are_ranked(texts: list[tuple[str, str]], question: str, looks: int) -> None:
    found = _rank(view_of(texts, NAMES), question, ChainParams(), looks=looks)
    assert sorted(found.rows.tolist()) == sorted(set(found.rows.tolist()))
    assert 0 < len(found.rows) <= len(texts)
    assert np.isfinite(found.scores).all()


def test_titles_that_many_share_tell_of_nothing() -> None:
    texts = [TOWER, *[("Maren Quill", f"page {number}") for number in range(6)]]
    view = view_of(texts, NAMES)
    over = {chain["over"] for chain in _rank(view, params=ChainParams(rare=6)).detail["chains"]}
    assert "title" in over
    over = {chain["over"] for chain in _rank(view, params=ChainParams(rare=5)).detail["chains"]}
    assert "title" not in over


def test_equal_scores_go_by_what_passages_are_called() -> None:
    view = view_of([("", "Sorn Bay")] * 4, NAMES)
    found = _rank(view, "Sorn Bay", ChainParams())
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert len(set(found.scores.tolist())) == 1


def test_the_second_look_starts_from_what_the_first_thinks_best() -> None:
    view = view_of(MEMORY, NAMES)
    scene = ask(view, QUESTION, GraphParams(seeds=3))
    first = look_first(scene, ChainParams())
    rows = first.candidates.rows
    probabilities = graded(FEATURES, name_strongest=4.0, cosine=1.0).predict(first.candidates.features)
    second = look_again(scene, first, probabilities, ChainParams(leads=3), EMBEDDER.encode)
    order = np.lexsort((rows, -probabilities.round(12)))
    assert second.links.leads.tolist() == rows[order[:3]].tolist() != scene.walked[:3].tolist()
    assert second.links.strengths[0] == 1.0
    assert second.candidates.features.shape[1] == len(SECOND_FEATURES) == len(FEATURES) + 7
    found = dict(zip(SECOND_FEATURES, second.candidates.features.T, strict=True))
    at = np.searchsorted(rows, second.candidates.rows)
    assert found["first"] == pytest.approx(probabilities[at], abs=1e-8)
    nearness = dict(zip(second.bridges.rows.tolist(), second.bridges.nearness.tolist(), strict=True))
    expected = [max(nearness.get(row, 0.0), 0.0) for row in second.candidates.rows.tolist()]
    assert found["bridge"].tolist() == pytest.approx(expected, abs=1e-8)
    assert set(second.bridges.rows.tolist()) & set(second.candidates.rows.tolist())
    for channel in ("first", "bridge"):
        values = found[channel]
        others = [np.delete(values, place).max() for place in range(len(values))]
        assert found[f"{channel}_lead"] == pytest.approx(values - others, abs=1e-8)


@pytest.mark.parametrize(
    ("nearest", "words", "expected"),
    [
        pytest.param([5], 12, True, id="hardly worse than the second"),
        pytest.param([5], 13, False, id="a long question"),
        pytest.param([6], 12, False, id="far worse than the second"),
        pytest.param([3], 12, True, id="it is the first"),
        pytest.param([4], 12, True, id="it is the second"),
        pytest.param([9], 12, False, id="not ranked"),
        pytest.param([], 12, False, id="there is none"),
    ],
)
def test_the_nearest_passage_stays_ahead_for_a_short_question(nearest: list[int], words: int, expected: bool) -> None:
    # Log-odds: 2.2, 1.4, -0.4 and -1.4.
    assert stays_ahead([3, 4, 5, 6], [0.9, 0.8, 0.4, 0.2], nearest, words, ChainParams()) is expected
    assert stays_ahead(nearest, [1.0], nearest, words, ChainParams()) is False


@pytest.mark.parametrize("scores", [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
def test_certainty_is_no_error(scores: list[float]) -> None:
    assert stays_ahead([1, 2, 3], scores, [3], 5, ChainParams()) is (scores[1] == 0.0)


def test_the_second_stage_decides() -> None:
    view = view_of(MEMORY, NAMES)
    upside_down = replace(plain_ranker(), second=graded(SECOND_FEATURES, cosine=-4.0, lexical=-4.0))
    found = rank_by_chains(ask(view, QUESTION), upside_down, NARROW, EMBEDDER.encode)
    assert found.rows[-1] == TOWER_ROW


def test_how_many_titles_are_their_own() -> None:
    titles = np.array([7, 7, 7, 8, 0, 0, 9, 9], dtype=np.uint64)
    assert share_own_titles(titles) == 5 / 8
    assert share_own_titles(titles[:0]) == 1.0
