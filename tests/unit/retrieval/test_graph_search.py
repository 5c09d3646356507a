"""From the question's names and nearest passages to a ranking, on graphs small enough to follow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from memory_graph.graph import Shares
from memory_graph.store.reading import Changes
from memory_graph.walk import WalkParams, power_iteration
from retrieval.graph_search import GraphParams, GraphRanking, best_rows, rank_by_walk
from retrieval.view import View, advance, empty_view

Rows = NDArray[np.int64]


def _view(mentions: list[tuple[int, int]], *, passages: int, names: list[str]) -> View:
    """A view whose passages have the ids 100, 101, …, and whose phrases 10, 11, …."""
    none = np.zeros(0, dtype=np.int64)
    changes = Changes(
        version=1,
        token="t",
        passage_ids=np.arange(100, 100 + passages),
        document_ids=np.arange(passages),
        order_keys=np.arange(passages),
        titles=np.zeros(passages, dtype=np.uint64),
        words=np.zeros(0, dtype=np.uint32),
        word_ends=np.zeros(passages, dtype=np.int64),
        vectors=np.eye(passages, dtype=np.float16),
        phrase_keys={10 + row: name for row, name in enumerate(names)},
        mentions=np.array([(100 + p, 10 + f, 1) for p, f in mentions], dtype=np.int64).reshape(-1, 3),
        relations=np.zeros((0, 4), dtype=np.int64),
        removed_passages=none,
        removed_phrases=none,
    )
    return advance(empty_view(), changes)


def _nearest(*similarities: float) -> tuple[Rows, NDArray[np.float64]]:
    """Rows 0, 1, … as nearest passages, best first."""
    return np.arange(len(similarities)), np.array(similarities)


def _rank(
    view: View,
    question: str,
    seeds: tuple[Rows, NDArray[np.float64]],
    params: GraphParams | None = None,
    *,
    top_k: int = 10,
    allowed: NDArray[np.bool_] | None = None,
) -> GraphRanking:
    nearest = seeds[0] if allowed is None else seeds[0][allowed[seeds[0]]]
    return rank_by_walk(view, question, seeds, nearest, params or GraphParams(), top_k=top_k, allowed=allowed)


CHAIN = _view([(0, 0), (1, 0), (1, 1), (2, 1)], passages=4, names=["ada quill", "bram oster"])


def test_without_edges_nothing_is_ranked_and_it_says_why() -> None:
    view = _view([], passages=3, names=[])
    found = _rank(view, "Ada Quill", _nearest(0.9, 0.5), GraphParams())
    assert found.fallback_reason == "empty_graph"
    assert found.rows == []


def test_without_seeds_there_is_nothing_to_walk_from() -> None:
    found = _rank(CHAIN, "Ada Quill", _nearest(), GraphParams())
    assert (found.fallback_reason, found.rows) == ("empty_graph", [])


def test_without_a_known_name_the_walk_starts_from_passages_alone() -> None:
    found = _rank(CHAIN, "Who slept?", _nearest(0.9), GraphParams())
    assert found.fallback_reason == "no_known_phrase_in_question"
    assert found.phrase_rows == []
    assert found.detail["phrases"] == []
    assert found.detail["seeds"][0]["reset"] == pytest.approx(1.0)


def test_the_walk_reaches_passages_that_share_no_name_with_the_seed() -> None:
    found = _rank(CHAIN, "Who slept?", _nearest(0.9), GraphParams())
    assert found.rows == [0, 1, 2]  # passage 3 hangs on nothing
    assert (np.diff(found.scores) < 0).all()


def test_the_reset_vector_is_shared_between_names_and_passages() -> None:
    found = _rank(CHAIN, "Did Ada Quill know Bram Oster?", _nearest(0.9, 0.9), GraphParams(phrase_share=0.3))
    assert found.fallback_reason is None
    assert found.phrase_rows == [0, 1]
    assert sum(one["reset"] for one in found.detail["phrases"]) == pytest.approx(0.3)
    assert [one["phrase_id"] for one in found.detail["phrases"]] == [10, 11]
    assert [one["passage_id"] for one in found.detail["seeds"]] == [100, 101]
    assert [one["reset"] for one in found.detail["seeds"]] == pytest.approx([0.35, 0.35])


def test_a_rare_name_gets_more_than_a_common_one() -> None:
    view = _view([(0, 0), (1, 0), (2, 0), (3, 1)], passages=6, names=["common", "rare"])
    found = _rank(view, "common rare", _nearest(0.9), GraphParams())
    common, rare = (one["reset"] for one in found.detail["phrases"])
    assert rare / common == pytest.approx(float(np.log(7 / 1.5) / np.log(7 / 3.5)))


def test_scores_are_those_of_the_walk() -> None:
    params = GraphParams(temperature=0.1)
    found = _rank(CHAIN, "Ada Quill", _nearest(0.9, 0.8), params)
    reset = np.zeros(6)
    reset[:2] = 0.8 * np.array([1, np.exp(-1)]) / (1 + np.exp(-1))
    reset[4] = 0.2
    expected = power_iteration(CHAIN.graph.transition(Shares()), reset, params.walk)
    np.testing.assert_allclose(found.scores, expected[found.rows], atol=1e-4)


def test_equal_scores_go_to_the_lower_row() -> None:
    view = _view([(0, 0), (3, 0), (2, 0), (1, 0)], passages=4, names=["ada"])
    found = _rank(view, "ada", _nearest(0.9), GraphParams())
    assert found.rows == [0, 1, 2, 3]


def _hub(nearest: list[int], params: GraphParams) -> list[int]:
    """Ten passages; the question's name points at 0-5, so that the walk ranks them above the nearest."""
    view = _view([(row, 0) for row in range(6)] + [(9, 1)], passages=10, names=["hub", "other"])
    found = _rank(view, "hub", (np.array(nearest), np.linspace(0.9, 0.89, len(nearest))), params)
    assert len(set(found.rows)) == len(found.rows)
    return found.rows


LED_AWAY = GraphParams(phrase_share=0.999)


def test_the_walk_may_lead_away_from_the_nearest_without_a_guard() -> None:
    rows = _hub([7, 8], GraphParams(phrase_share=0.999, guard=0))
    assert rows[:6] == [0, 1, 2, 3, 4, 5]
    assert sorted(rows[6:]) == [7, 8]


def test_the_two_nearest_stay_among_the_first_five() -> None:
    rows = _hub([7, 8], LED_AWAY)
    assert rows[:5] == [0, 1, 2, 7, 8]
    assert sorted(rows) == [0, 1, 2, 3, 4, 5, 7, 8]


def test_one_that_is_late_moves_to_the_last_guarded_place() -> None:
    rows = _hub([0, 8], LED_AWAY)
    assert rows[:5] == [0, 1, 2, 3, 8]


def test_one_guarded_passage_does_not_push_the_other_out() -> None:
    order = _hub([4, 8], LED_AWAY)
    assert {4, 8} <= set(order[:5])


def test_a_guard_of_those_in_place_changes_nothing() -> None:
    assert _hub([0, 1], LED_AWAY)[:2] == [0, 1]
    found = _rank(CHAIN, "", _nearest(0.9, 0.8, 0.7, 0.6), GraphParams())
    unguarded = _rank(CHAIN, "", _nearest(0.9, 0.8, 0.7, 0.6), GraphParams(guard=0))
    assert found.rows == unguarded.rows


def test_a_guarded_passage_that_the_walk_gave_nothing_is_kept_all_the_same() -> None:
    """So cold a start that the second nearest gets no mass at all."""
    view = _view([(row, 0) for row in range(6)], passages=10, names=["hub"])
    found = _rank(view, "hub", (np.array([7, 8]), np.array([0.9, 0.1])), GraphParams(temperature=1e-4))
    assert {7, 8} <= set(found.rows[:5])
    assert len(found.scores) == len(found.rows)


def test_what_is_not_allowed_is_crossed_but_not_returned() -> None:
    allowed = np.array([False, False, True, True])
    found = _rank(CHAIN, "Who slept?", _nearest(0.9), allowed=allowed)
    assert found.rows == [2]
    assert found.scores[0] > 0


def test_the_exact_walk_ranks_alike_and_says_what_it_is() -> None:
    fast = _rank(CHAIN, "Ada Quill", _nearest(0.9, 0.8))
    exact = _rank(CHAIN, "Ada Quill", _nearest(0.9, 0.8), GraphParams(walk=WalkParams(mode="exact")))
    assert fast.rows == exact.rows
    assert (fast.detail["mode"], exact.detail["mode"]) == ("push", "exact")
    assert exact.detail["residual"] == 0
    assert sum(abs(a - b) for a, b in zip(fast.scores, exact.scores, strict=True)) <= fast.detail["residual"]


def test_the_best_rows_are_in_order_and_ties_go_by_their_key() -> None:
    random = np.random.default_rng(0)
    rows, orders = random.permutation(200), random.permutation(1000)
    scores = random.integers(0, 20, 200) / 7 + random.random(200) * 1e-14
    expected = sorted(rows.tolist(), key=lambda row: (-round(scores[rows.tolist().index(row)], 12), orders[row]))
    for k in (1, 7, 60, 199, 200, 300):
        assert best_rows(rows, scores, orders, k).tolist() == expected[:k]
