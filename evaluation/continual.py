"""What a memory keeps while it grows: the metrics of continual learning, over every part's score after every commit.

The scores are a matrix (parts, commits), in 0..1: row i has the score of part i's questions after each commit, from its
own commit on. Before that, and all along where a part has no questions, it is NaN. Parts without questions are left
out of every mean. Parts and commits count from 0 in the formulas below; a metric that has nothing to average is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import mean
from memory_graph.errors import InvalidInput

Scores: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ContinualScores:
    """The metrics after one commit; windowed ones by their window."""

    average: float | None
    forgetting: float | None
    learning: float | None
    forgotten: float | None
    min_accuracy: float | None
    worst_case: float | None
    windowed_forgetting: Mapping[int, float | None]
    windowed_plasticity: Mapping[int, float | None]

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as what ``json.dumps`` takes."""
        fields = asdict(self)
        for name in ("windowed_forgetting", "windowed_plasticity"):
            fields[name] = {str(window): value for window, value in fields[name].items()}
        return fields


def score_commit(scores: Scores, n: int, windows: Sequence[int]) -> ContinualScores:
    """Return all metrics after commit ``n``. Errors: ``InvalidInput`` for scores that are no such matrix."""
    check_scores(scores)
    return ContinualScores(
        average=average(scores, n),
        forgetting=forgetting(scores, n),
        learning=learning(scores, n),
        forgotten=forgotten(scores, n),
        min_accuracy=min_accuracy(scores, n),
        worst_case=worst_case(scores, n),
        windowed_forgetting={window: windowed_forgetting(scores, n, window) for window in windows},
        windowed_plasticity={window: windowed_plasticity(scores, n, window) for window in windows},
    )


def check_scores(scores: Scores) -> None:
    """Check that every part has a score after its own commit and each later one, or none at all.

    Errors: ``InvalidInput``.
    """
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise InvalidInput("scores", f"must have one row a part and one column a commit, but have {scores.shape}.")
    there = ~np.isnan(scores)
    for part, row in enumerate(there):
        if row[:part].any() or row[part:].any() != row[part:].all():
            raise InvalidInput("scores", f"of part {part} must begin with its commit and go on to the last one.")


def average(scores: Scores, n: int) -> float | None:
    """Return A_n = mean over i ≤ n of A[i][n], also called ACC (DSI++, arXiv:2212.09744)."""
    return _mean([scores[i, n] for i in _parts(scores, n + 1)])


def forgetting(scores: Scores, n: int) -> float | None:
    """Return F_n = mean over i < n of (max over i ≤ m < n of A[i][m]) - A[i][n]; below 0 where parts gained.

    Source: DSI++ (arXiv:2212.09744).
    """
    return _mean([scores[i, i:n].max() - scores[i, n] for i in _parts(scores, n)])


def learning(scores: Scores, n: int) -> float | None:
    """Return LA_n = mean over 1 ≤ i ≤ n of A[i][i], how well each part is known just after it was learned.

    The first part is what the memory begins with, and does not count. Source: DSI++ (arXiv:2212.09744).
    """
    return _mean([scores[i, i] for i in _parts(scores, n + 1) if i > 0])


def forgotten(scores: Scores, n: int) -> float | None:
    """Return FORG = mean over i < n of A[i][i] - A[i][n]: against when it was learned, not against its best.

    Source: De Lange et al. (arXiv:2205.13452).
    """
    return _mean([scores[i, i] - scores[i, n] for i in _parts(scores, n)])


def min_accuracy(scores: Scores, n: int) -> float | None:
    """Return min-ACC = mean over i < n of the minimum over i < m ≤ n of A[i][m].

    The lowest that each part came to after the commit that taught it. Source: De Lange et al. (arXiv:2205.13452).
    """
    return _mean([scores[i, i + 1 : n + 1].min() for i in _parts(scores, n)])


def worst_case(scores: Scores, n: int) -> float | None:
    """Return WC-ACC = A[n][n] / k + (1 - 1/k) min-ACC for the k parts up to n.

    Where part n has no questions, the minima alone count. Source: De Lange et al. (arXiv:2205.13452).
    """
    lowest = [scores[i, i + 1 : n + 1].min() for i in _parts(scores, n)]
    present = [] if np.isnan(scores[n, n]) else [scores[n, n]]
    return _mean([*lowest, *present])


def windowed_forgetting(scores: Scores, n: int, window: int) -> float | None:
    """Return WF^w = mean over i < n of the largest drop of part i within ``window`` evaluations in a row, up to n.

    Source: De Lange et al. (arXiv:2205.13452). Errors: ``InvalidInput`` for a window below 2.
    """
    return _mean([largest_drop(scores[i, i : n + 1], window) for i in _parts(scores, n)])


def windowed_plasticity(scores: Scores, n: int, window: int) -> float | None:
    """Return WP^w, which is WF^w of rises instead of drops."""
    return _mean([largest_drop(-scores[i, i : n + 1], window) for i in _parts(scores, n)])


def largest_drop(values: Scores, window: int) -> float:
    """Return the maximum of values[m] - values[n] over m < n < m + window, below 0 where the values only rise.

    ``values`` are (evaluations,), two or more. Each window takes one pass that keeps the highest value so far.
    Errors: ``InvalidInput`` for a window below 2 or fewer than two values.
    """
    if window < 2:
        raise InvalidInput("window", "must be at least 2: a change takes two evaluations.")
    if len(values) < 2:
        raise InvalidInput("values", "must be at least two: a change takes two evaluations.")
    last_start = max(0, len(values) - window)
    return max(_drop(values[start : start + window]) for start in range(last_start + 1))


def _drop(values: Scores) -> float:
    highest, drop = float(values[0]), -np.inf
    for value in values[1:].tolist():
        drop = max(drop, highest - value)
        highest = max(highest, value)
    return drop


def _parts(scores: Scores, end: int) -> list[int]:
    """Return the parts before ``end`` that have questions."""
    return [i for i in range(end) if not np.isnan(scores[i, i])]


def _mean(values: Sequence[float]) -> float | None:
    return mean([float(value) for value in values]) if values else None
