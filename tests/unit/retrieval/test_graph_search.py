"""From the question's names and nearest passages to a ranking, on graphs small enough to follow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from memory_graph.graph import build_graph
from memory_graph.walk import power_iteration
from retrieval.graph_search import GraphParams, rank_by_walk
from retrieval.index import PassageIndex
from retrieval.view import View

Rows = NDArray[np.int64]


def _view(mentions: list[tuple[int, int]], *, passages: int, names: list[str]) -> View:
    """A view whose passages have the ids 100, 101, …, and whose phrases 10, 11, …."""
    rows = np.array([(100 + p, 10 + f, 1) for p, f in mentions], dtype=np.int64).reshape(-1, 3)
    return View(
        version=1,
        passage_ids=np.arange(100, 100 + passages),
        document_ids=np.arange(passages),
        index=PassageIndex(np.eye(passages, dtype=np.float32)),
        phrase_keys={10 + row: name for row, name in enumerate(names)},
        mentions=rows,
    )


def _nearest(*similarities: float) -> tuple[Rows, NDArray[np.float32]]:
    """Rows 0, 1, … as nearest passages, best first."""
    return np.arange(len(similarities)), np.array(similarities, dtype=np.float32)


CHAIN = _view([(0, 0), (1, 0), (1, 1), (2, 1)], passages=4, names=["ada quill", "bram oster"])


def test_without_edges_the_dense_ranking_stands_and_says_why() -> None:
    view = _view([], passages=3, names=[])
    found = rank_by_walk(view, "Ada Quill", *_nearest(0.9, 0.5), GraphParams())
    assert found.fallback_reason == "empty_graph"
    assert found.rows.tolist() == [0, 1]
    assert found.scores.tolist() == pytest.approx([0.9, 0.5])


def test_without_seeds_there_is_nothing_to_walk_from() -> None:
    found = rank_by_walk(CHAIN, "Ada Quill", *_nearest(), GraphParams())
    assert (found.fallback_reason, found.rows.tolist()) == ("empty_graph", [])


def test_without_a_known_name_the_walk_starts_from_passages_alone() -> None:
    found = rank_by_walk(CHAIN, "Who slept?", *_nearest(0.9), GraphParams())
    assert found.fallback_reason == "no_known_phrase_in_question"
    assert found.phrase_rows == []
    assert found.detail["phrases"] == []
    assert found.detail["seeds"][0]["reset"] == pytest.approx(1.0)


def test_the_walk_reaches_passages_that_share_no_name_with_the_seed() -> None:
    found = rank_by_walk(CHAIN, "Who slept?", *_nearest(0.9), GraphParams())
    assert found.rows.tolist() == [0, 1, 2]  # passage 3 hangs on nothing
    assert (np.diff(found.scores) < 0).all()


def test_the_reset_vector_is_shared_between_names_and_passages() -> None:
    found = rank_by_walk(CHAIN, "Did Ada Quill know Bram Oster?", *_nearest(0.9, 0.9), GraphParams(phrase_share=0.3))
    assert found.fallback_reason is None
    assert found.phrase_rows == [0, 1]
    assert sum(one["reset"] for one in found.detail["phrases"]) == pytest.approx(0.3)
    assert [one["phrase_id"] for one in found.detail["phrases"]] == [10, 11]
    assert [one["passage_id"] for one in found.detail["seeds"]] == [100, 101]
    assert [one["reset"] for one in found.detail["seeds"]] == pytest.approx([0.35, 0.35])


def test_a_rare_name_gets_more_than_a_common_one() -> None:
    view = _view([(0, 0), (1, 0), (2, 0), (3, 1)], passages=6, names=["common", "rare"])
    found = rank_by_walk(view, "common rare", *_nearest(0.9), GraphParams())
    common, rare = (one["reset"] for one in found.detail["phrases"])
    assert rare / common == pytest.approx(float(np.log(7 / 1.5) / np.log(7 / 3.5)))


def test_scores_are_those_of_the_walk() -> None:
    params = GraphParams(temperature=0.1)
    found = rank_by_walk(CHAIN, "Ada Quill", *_nearest(0.9, 0.8), params)
    graph = build_graph(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), np.ones(4, int), n_passages=4, n_phrases=2)
    reset = np.zeros(6)
    reset[:2] = 0.8 * np.array([1, np.exp(-1)]) / (1 + np.exp(-1))
    reset[4] = 0.2
    expected = power_iteration(graph.step, reset, params.walk)
    np.testing.assert_allclose(found.scores, expected[found.rows], atol=1e-6)


def test_equal_scores_go_to_the_lower_row() -> None:
    view = _view([(0, 0), (3, 0), (2, 0), (1, 0)], passages=4, names=["ada"])
    found = rank_by_walk(view, "ada", *_nearest(0.9), GraphParams())
    assert found.rows.tolist() == [0, 1, 2, 3]


def _hub(nearest: list[int], params: GraphParams) -> list[int]:
    """Ten passages; the question's name points at 0-5, so that the walk ranks them above the nearest."""
    view = _view([(row, 0) for row in range(6)] + [(9, 1)], passages=10, names=["hub", "other"])
    similarities = np.linspace(0.9, 0.89, len(nearest), dtype=np.float32)
    found = rank_by_walk(view, "hub", np.array(nearest), similarities, params)
    assert len(set(found.rows.tolist())) == len(found.rows)
    return found.rows.tolist()


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
    found = rank_by_walk(CHAIN, "", *_nearest(0.9, 0.8, 0.7, 0.6), GraphParams())
    unguarded = rank_by_walk(CHAIN, "", *_nearest(0.9, 0.8, 0.7, 0.6), GraphParams(guard=0))
    assert found.rows.tolist() == unguarded.rows.tolist()


def test_a_guarded_passage_that_the_walk_gave_nothing_is_kept_all_the_same() -> None:
    """So cold a start that the second nearest gets no mass at all."""
    view = _view([(row, 0) for row in range(6)], passages=10, names=["hub"])
    found = rank_by_walk(view, "hub", np.array([7, 8]), np.array([0.9, 0.1], np.float32), GraphParams(temperature=1e-4))
    assert {7, 8} <= set(found.rows[:5].tolist())
    assert len(found.scores) == len(found.rows)
