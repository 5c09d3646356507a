"""The metrics against numbers worked out by hand, and against the definitions spelled out pair by pair."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.continual import (
    average,
    check_scores,
    forgetting,
    forgotten,
    largest_drop,
    learning,
    min_accuracy,
    score_commit,
    windowed_forgetting,
    windowed_plasticity,
    worst_case,
)
from memory_graph.errors import InvalidInput

NAN = float("nan")
# Part 1 falls and comes back, part 2 rises, part 3 falls at once.
SCORES = np.array(
    [
        [0.8, 0.4, 0.9, 0.7],
        [NAN, 0.5, 0.6, 0.8],
        [NAN, NAN, 1.0, 0.6],
        [NAN, NAN, NAN, 0.3],
    ]
)
# The second part has no questions.
GAP = np.array([[0.8, 0.4, 0.6], [NAN, NAN, NAN], [NAN, NAN, 0.5]])


def test_by_hand_after_the_last_commit() -> None:
    assert average(SCORES, 3) == pytest.approx((0.7 + 0.8 + 0.6 + 0.3) / 4)
    # Best before: 0.9, 0.6, 1.0.
    assert forgetting(SCORES, 3) == pytest.approx((0.2 - 0.2 + 0.4) / 3)
    assert learning(SCORES, 3) == pytest.approx((0.5 + 1.0 + 0.3) / 3)
    assert forgotten(SCORES, 3) == pytest.approx((0.1 - 0.3 + 0.4) / 3)
    assert min_accuracy(SCORES, 3) == pytest.approx((0.4 + 0.6 + 0.6) / 3)
    assert worst_case(SCORES, 3) == pytest.approx(0.3 / 4 + 0.75 * (0.4 + 0.6 + 0.6) / 3)
    # Within two evaluations: drops 0.4, -0.1 (it only rises, by 0.1 at least) and 0.4.
    assert windowed_forgetting(SCORES, 3, 2) == pytest.approx((0.4 - 0.1 + 0.4) / 3)
    assert windowed_plasticity(SCORES, 3, 2) == pytest.approx((0.5 + 0.2 - 0.4) / 3)
    assert windowed_plasticity(SCORES, 3, 10) == pytest.approx((0.5 + 0.3 - 0.4) / 3)


def test_by_hand_on_the_way() -> None:
    assert average(SCORES, 1) == pytest.approx(0.45)
    assert forgetting(SCORES, 1) == pytest.approx(0.4)
    assert learning(SCORES, 1) == pytest.approx(0.5)
    assert min_accuracy(SCORES, 2) == pytest.approx((0.4 + 0.6) / 2)
    assert worst_case(SCORES, 2) == pytest.approx((0.4 + 0.6 + 1.0) / 3)
    assert windowed_forgetting(SCORES, 2, 10) == pytest.approx((0.4 - 0.1) / 2)


def test_the_first_commit_has_nothing_to_forget() -> None:
    scores = score_commit(SCORES, 0, (2,))
    assert (scores.average, scores.worst_case) == (0.8, 0.8)
    assert scores.to_json() == {
        "average": 0.8,
        "forgetting": None,
        "learning": None,
        "forgotten": None,
        "min_accuracy": None,
        "worst_case": 0.8,
        "windowed_forgetting": {"2": None},
        "windowed_plasticity": {"2": None},
    }


def test_a_part_without_questions_is_left_out() -> None:
    assert average(GAP, 1) == pytest.approx(0.4)
    assert learning(GAP, 1) is None
    assert worst_case(GAP, 1) == min_accuracy(GAP, 1) == pytest.approx(0.4)
    assert average(GAP, 2) == pytest.approx(0.55)
    assert forgetting(GAP, 2) == pytest.approx(0.2)
    assert learning(GAP, 2) == pytest.approx(0.5)
    assert worst_case(GAP, 2) == pytest.approx((0.4 + 0.5) / 2)
    assert average(np.full((2, 2), NAN), 1) is None


def test_a_rise_from_a_late_low_counts() -> None:
    """A scan that passes over values above the lowest so far, or below the highest, would miss it."""
    values = np.array([0.5, 0.9, 0.1, 0.8])
    assert largest_drop(-values, 4) == pytest.approx(0.7)
    assert largest_drop(values, 4) == pytest.approx(0.8)
    assert largest_drop(values, 2) == pytest.approx(0.8)
    assert largest_drop(np.array([0.9, 0.8, 0.2, 0.1]), 2) == pytest.approx(0.6)
    assert largest_drop(np.array([0.9, 0.8, 0.2, 0.1]), 3) == pytest.approx(0.7)


rows = st.lists(st.integers(0, 20).map(lambda share: share / 20), min_size=2, max_size=14)


@given(rows, st.integers(2, 16))
def test_the_largest_drop_is_that_of_all_pairs(row: list[float], window: int) -> None:
    pairs = [row[m] - row[n] for m, n in combinations(range(len(row)), 2) if n - m < window]
    assert largest_drop(np.array(row), window) == max(pairs)
    assert largest_drop(-np.array(row), window) == max(-pair for pair in pairs)


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    """Return the scores of up to 8 parts, some of which have no questions."""
    count = draw(st.integers(1, 8))
    scores = np.full((count, count), NAN)
    for part in range(count):
        if draw(st.integers(0, 4)):
            scores[part, part:] = draw(
                st.lists(st.integers(0, 10).map(lambda s: s / 10), min_size=count - part, max_size=count - part)
            )
    return scores


def mean_or_none(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


@given(matrices(), st.data())
def test_every_metric_is_its_definition(scores: np.ndarray, data: st.DataObject) -> None:
    n = data.draw(st.integers(0, len(scores) - 1))
    window = data.draw(st.integers(2, 10))
    a = [[None if np.isnan(x) else float(x) for x in row] for row in scores]
    asked = [i for i in range(n + 1) if a[i][i] is not None]
    earlier = [i for i in asked if i < n]

    def pairs(i: int, sign: int) -> list[float]:
        return [
            sign * (a[i][m] - a[i][o])
            for m in range(i, n + 1)
            for o in range(i, n + 1)
            if m < o and any(s <= m and o < s + window for s in range(i, n + 1))
        ]

    expected = {
        "average": mean_or_none([a[i][n] for i in asked]),
        "forgetting": mean_or_none([max(a[i][m] - a[i][n] for m in range(i, n)) for i in earlier]),
        "learning": mean_or_none([a[i][i] for i in asked if i >= 1]),
        "forgotten": mean_or_none([a[i][i] - a[i][n] for i in earlier]),
        "min_accuracy": mean_or_none([min(a[i][m] for m in range(n + 1) if m > i) for i in earlier]),
    }
    low = expected["min_accuracy"]
    if n in asked:
        k = len(asked)
        expected["worst_case"] = a[n][n] / k + (1 - 1 / k) * (low or 0.0)
    else:
        expected["worst_case"] = low
    found = score_commit(scores, n, (window,)).to_json()
    expected["windowed_forgetting"] = mean_or_none([max(pairs(i, 1)) for i in earlier])
    expected["windowed_plasticity"] = mean_or_none([max(pairs(i, -1)) for i in earlier])
    for name, value in expected.items():
        one = found[name][str(window)] if name.startswith("windowed") else found[name]
        assert one == (None if value is None else pytest.approx(value, abs=1e-12)), name


@pytest.mark.parametrize(
    "scores",
    [
        np.zeros((2, 3)),
        np.zeros(4),
        np.zeros((2, 2)),  # the second part before it was learned
        np.array([[0.5, NAN], [NAN, 0.5]]),
        np.array([[NAN, 0.5], [NAN, 0.5]]),
    ],
)
def test_what_is_no_history_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="scores"):
        check_scores(scores)


def test_a_change_takes_two_evaluations() -> None:
    with pytest.raises(InvalidInput, match="window"):
        windowed_forgetting(SCORES, 3, 1)
    with pytest.raises(InvalidInput, match="values"):
        largest_drop(np.array([0.5]), 2)
