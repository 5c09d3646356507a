"""Metrics: hand-computed values, and the interval against a second, slow implementation."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pytest

from evaluation.metrics import (
    Estimate,
    all_gold_at_k,
    bootstrap_interval,
    contains_answer,
    estimate_difference,
    estimate_mean,
    exact_match,
    find_median_and_p95,
    mean,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank,
    token_f1,
    tokenize_answer,
)
from memory_graph.errors import InvalidInput


@pytest.mark.parametrize(("k", "expected"), [(1, 0.0), (2, 0.5), (3, 0.5), (4, 1.0), (10, 1.0)])
def test_recall_counts_gold_documents_among_the_first_k(k: int, expected: float) -> None:
    assert recall_at_k(["a", "b"], ["x", "b", "y", "a"], k) == expected


def test_recall_of_what_was_not_found_counts_as_missing() -> None:
    assert recall_at_k(["a", "b", "c"], ["a"], 5) == pytest.approx(1 / 3)
    assert recall_at_k(["a"], [], 5) == 0


def test_reciprocal_rank_takes_the_first_gold_document() -> None:
    assert reciprocal_rank(["a", "b"], ["x", "y", "b", "a"]) == pytest.approx(1 / 3)
    assert reciprocal_rank(["a"], ["a"]) == 1
    assert reciprocal_rank(["a"], ["x", "y"]) == 0


@pytest.mark.parametrize(("k", "expected"), [(1, 0), (2, 0), (3, 0), (4, 1), (10, 1)])
def test_all_gold_wants_the_last_of_them(k: int, expected: float) -> None:
    assert all_gold_at_k(["a", "b"], ["x", "b", "y", "a"], k) == expected


def test_all_gold_is_out_of_reach_where_there_are_more_than_k() -> None:
    assert all_gold_at_k(["a", "b", "c"], ["a", "b", "c"], 2) == 0
    assert all_gold_at_k(["a", "b", "c"], ["a", "b", "c"], 3) == 1


@pytest.mark.parametrize(
    ("gold", "ranked", "k", "expected"),
    [
        # One gold document at rank 3: 1 / log2(4).
        (["a"], ["x", "y", "a"], 5, 0.5),
        # Ranks 2 and 4 of a best of ranks 1 and 2: (1/log2 3 + 1/log2 5) / (1 + 1/log2 3) = 1.0616 / 1.6309.
        (["a", "b"], ["x", "b", "y", "a"], 10, 0.65093),
        # The one at rank 4 is cut off: 0.6309 / 1.6309.
        (["a", "b"], ["x", "b", "y", "a"], 3, 0.38685),
        # Three gold documents, of which the best two places hold two: the best that k = 2 allows.
        (["a", "b", "c"], ["b", "c", "x"], 2, 1.0),
        (["a", "b"], ["a", "b", "x"], 10, 1.0),
        (["a"], ["x"], 5, 0.0),
        (["a"], [], 5, 0.0),
    ],
)
def test_ndcg_by_hand(gold: list[str], ranked: list[str], k: int, expected: float) -> None:
    assert ndcg_at_k(gold, ranked, k) == pytest.approx(expected, abs=1e-5)


def test_ndcg_is_1_for_the_best_order_alone() -> None:
    documents = ["a", "b", "x", "y"]
    best = max(
        math.fsum(1 / math.log2(rank + 1) for rank, one in enumerate(order[:3], start=1) if one in "ab")
        for order in itertools.permutations(documents)
    )
    for order in itertools.permutations(documents):
        gained = math.fsum(1 / math.log2(rank + 1) for rank, one in enumerate(order[:3], start=1) if one in "ab")
        assert ndcg_at_k(["a", "b"], order, 3) == pytest.approx(gained / best)


def test_retrieval_scores_need_gold_documents() -> None:
    with pytest.raises(InvalidInput, match="gold: is empty"):
        reciprocal_rank([], ["a"])
    for score in (recall_at_k, all_gold_at_k, ndcg_at_k):
        with pytest.raises(InvalidInput, match="gold: is empty"):
            score([], ["a"], 5)
        with pytest.raises(InvalidInput, match="k: must be at least 1"):
            score(["a"], ["a"], 0)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The  Sable Plover!", ["sable", "plover"]),
        ("an apple, a day", ["apple", "day"]),
        ("theatre", ["theatre"]),
        ("1,234.5", ["12345"]),
        ("«Ærø» – Straße", ["ærø", "strasse"]),
        ("Ro\u0308ntgen", ["röntgen"]),
        ("ＡＢＣ", ["abc"]),
        ("東京 都、です", ["東", "京", "都", "で", "す"]),
        ("Tokyo東京2020", ["tokyo", "東", "京", "2020"]),
        ("ที่", ["ที่"]),
        ("서울 특별시", ["서울", "특별시"]),
        ("हिन्दी", ["हिन्दी"]),
        ("A", ["a"]),
        ("+", ["+"]),
        ("", []),
    ],
)
def test_answers_are_compared_by_token(text: str, tokens: list[str]) -> None:
    assert tokenize_answer(text) == tokens


@pytest.mark.parametrize(
    ("answer", "answers", "expected"),
    [
        ("the Sable Plover.", ["Sable Plover"], 1),
        ("Plover Sable", ["Sable Plover"], 0),
        ("211", ["211 fathoms", "211"], 1),
        ("It is 211", ["211 fathoms", "211"], 0),
        ("RÖNTGEN", ["Ro\u0308ntgen"], 1),
        ("東京都", ["東京 都"], 1),
        ("+", ["-"], 0),
        ("", ["the"], 0),
    ],
)
def test_exact_match_takes_any_accepted_spelling(answer: str, answers: list[str], expected: float) -> None:
    assert exact_match(answer, answers) == expected


@pytest.mark.parametrize(
    ("answer", "answers", "expected"),
    [
        # precision 1/3, recall 1: 2 · (1/3) / (4/3)
        ("it was 1612", ["1612"], 0.5),
        # precision 2/4, recall 2/3: 2 · (1/3) / (7/6) = 4/7
        ("Tamsin Ockerby of Lissenholt", ["Miss Tamsin Ockerby"], 4 / 7),
        # the better of 4/7 and 2/5
        ("Tamsin Ockerby of Lissenholt", ["Ockerby", "Miss Tamsin Ockerby"], 4 / 7),
        # "b" counts once: it occurs once in the gold answer
        ("b b b", ["b c"], 2 / 5),
        # two of three characters
        ("東京府", ["東京都"], 2 / 3),
        ("the Lissenholt", ["Lissenholt"], 1),
        ("wrong", ["right"], 0),
        ("", ["right"], 0),
    ],
)
def test_f1_is_the_best_over_the_answers(answer: str, answers: list[str], expected: float) -> None:
    assert token_f1(answer, answers) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "answers", "expected"),
    [
        ("They sounded 211 fathoms there.", ["two hundred", "211 fathoms"], 1),
        ("It is 2112.", ["211"], 0),
        ("fathoms 211", ["211 fathoms"], 0),
        ("那是東京都的", ["東京都"], 1),
        ("", ["211"], 0),
    ],
)
def test_containing_means_whole_tokens_in_order(answer: str, answers: list[str], expected: float) -> None:
    assert contains_answer(answer, answers) == expected


@pytest.mark.parametrize("score", [exact_match, token_f1, contains_answer])
def test_answer_scores_need_an_answer(score: object) -> None:
    assert callable(score)
    for answers in ([], [" "]):
        with pytest.raises(InvalidInput, match="answers: are empty"):
            score("said", answers)


def test_mean() -> None:
    assert mean([0.0, 0.5, 1.0, 0.5]) == 0.5
    with pytest.raises(InvalidInput, match="values: are empty"):
        mean([])


def find_percentile_slowly(values: list[float], share: float) -> float:
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_equals_a_slow_one_over_the_same_draws(level: float) -> None:
    values = [0.0, 1.0, 1.0, 0.5, 1 / 3, 0.0, 1.0]
    generator = np.random.default_rng(3)
    means = [statistics.fmean(values[index] for index in generator.integers(0, 7, size=7)) for _ in range(500)]
    low, high = bootstrap_interval(values, seed=3, samples=500, level=level)
    assert low == pytest.approx(find_percentile_slowly(means, (1 - level) / 2))
    assert high == pytest.approx(find_percentile_slowly(means, (1 + level) / 2))


def test_the_interval_agrees_with_other_draws() -> None:
    draw = random.Random(1)
    values = [draw.random() for _ in range(40)]
    means = [statistics.fmean(draw.choices(values, k=40)) for _ in range(4000)]
    low, high = bootstrap_interval(values)
    # The standard error of such a percentile is about 0.002 here.
    assert low == pytest.approx(find_percentile_slowly(means, 0.025), abs=0.01)
    assert high == pytest.approx(find_percentile_slowly(means, 0.975), abs=0.01)
    assert low < statistics.fmean(values) < high


def test_the_interval_does_not_depend_on_the_size_of_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [0.0, 1.0, 1.0, 0.5]
    whole = bootstrap_interval(values, samples=101)
    monkeypatch.setattr("evaluation.metrics._BLOCK", 13)
    assert bootstrap_interval(values, samples=101) == whole


def test_the_interval_is_the_same_for_a_seed_and_has_no_width_for_equal_values() -> None:
    values = [0.0, 1.0, 0.25]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval([0.75] * 3) == (0.75, 0.75)
    assert estimate_mean([0.75] * 3) == Estimate(mean=0.75, low=0.75, high=0.75, n=3)
    assert estimate_mean([]) is None


def test_the_interval_refuses_what_has_none() -> None:
    with pytest.raises(InvalidInput, match="values: are empty"):
        bootstrap_interval([])
    with pytest.raises(InvalidInput, match="samples: must be at least 1"):
        bootstrap_interval([1.0], samples=0)
    with pytest.raises(InvalidInput, match="level: must lie between 0 and 1"):
        bootstrap_interval([1.0], level=95)


def test_a_difference_is_paired() -> None:
    # Questions differ much, the two ways by a quarter on one question of four: the pairing sees only that.
    first, second = [0.0, 1.0, 0.0, 1.0], [0.25, 1.0, 0.0, 1.0]
    difference = estimate_difference(second, first)
    assert difference == Estimate(0.0625, *bootstrap_interval([0.25, 0.0, 0.0, 0.0]), n=4)
    assert (difference.low, difference.high) == (0.0, pytest.approx(0.1875))
    assert estimate_difference(first, second).mean == -0.0625
    assert estimate_difference([value + 0.5 for value in first], first) == Estimate(0.5, 0.5, 0.5, 4)


def test_a_difference_needs_pairs() -> None:
    with pytest.raises(InvalidInput, match="against: has 1 values, not 2"):
        estimate_difference([1.0, 0.0], [1.0])
    with pytest.raises(InvalidInput, match="values: are empty"):
        estimate_difference([], [])


def test_median_and_p95_are_linear_between_values() -> None:
    # 21 values 0..20: p95 stands at index 19; 4 values: median between 2 and 3, p95 at 2.85.
    assert find_median_and_p95(list(range(21))) == (10, 19)
    assert find_median_and_p95([4, 1, 3, 2]) == pytest.approx((2.5, 3.85))
    with pytest.raises(InvalidInput, match="values: are empty"):
        find_median_and_p95([])
