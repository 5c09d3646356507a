"""The learned weights of the chain ranker: how they are read, and what they make of descriptions.

Two models, from one file that says where they come from: a logistic regression over ``FEATURES``, and trees over
``SECOND_FEATURES`` (gradient boosting with LambdaRank: Burges 2010; Ke et al. 2017). ``make ranker`` trains them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.errors import InvalidInput
from retrieval.chains import FEATURES, SECOND_FEATURES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMAT = 1
SHIPPED = Path(__file__).parent / "weights" / "chains.json"


@dataclass(frozen=True, kw_only=True, eq=False)
class Linear:
    """Logistic regression over standardised features: ``weights`` (f,), ``means`` (f,) and ``scales`` (f,)."""

    means: Floats
    scales: Floats
    weights: Floats
    bias: float

    def predict(self, features: Floats) -> Floats:
        """Return the probability (k,) that a passage is needed, from descriptions (k, f)."""
        raw = (features - self.means) / self.scales @ self.weights + self.bias
        return 1.0 / (1.0 + np.exp(-raw))


@dataclass(frozen=True, kw_only=True, eq=False)
class Trees:
    """A sum of decision trees, as arrays over all their nodes.

    From node i one goes to ``lefts[i]`` where feature ``features[i]`` is at most ``thresholds[i]``, else to
    ``rights[i]``; a negative number -1-j is leaf j, worth ``values[j]``. ``roots`` are the first nodes.
    """

    roots: Ints
    features: Ints
    thresholds: Floats
    lefts: Ints
    rights: Ints
    values: Floats

    def predict(self, features: Floats) -> Floats:
        """Return a score (k,) without unit, higher for what is needed more, from descriptions (k, f)."""
        scores: Floats = _sum_trees(
            np.ascontiguousarray(features, dtype=np.float64),
            self.roots,
            self.features,
            self.thresholds,
            self.lefts,
            self.rights,
            self.values,
        )
        return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainRanker:
    """Both models and what is known of where they come from."""

    first: Linear
    second: Trees
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what ``read_ranker`` reads."""
        return {
            "format": FORMAT,
            "provenance": dict(self.provenance),
            "first": {"columns": list(FEATURES), **_plain(vars(self.first))},
            "second": {"columns": list(SECOND_FEATURES), **_plain(vars(self.second))},
        }


@cache
def read_ranker(path: Path = SHIPPED) -> ChainRanker:
    """Read trained weights. Errors: ``InvalidInput`` naming the file, for weights of other features too."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"it is of format {found['format']}, not {FORMAT}")
        first, second = dict(found["first"]), dict(found["second"])
        _check_features("first", first.pop("columns"), FEATURES)
        _check_features("second", second.pop("columns"), SECOND_FEATURES)
        ranker = ChainRanker(
            first=Linear(bias=float(first.pop("bias")), **{name: _floats(values) for name, values in first.items()}),
            second=Trees(
                thresholds=_floats(second.pop("thresholds")),
                values=_floats(second.pop("values")),
                **{name: np.asarray(values, dtype=np.int64) for name, values in second.items()},
            ),
            provenance=found["provenance"],
        )
        _check_shapes(ranker)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            str(path), f"holds no weights of the chain ranker ({error}); make ranker trains it"
        ) from error
    return ranker


def _check_features(stage: str, found: Sequence[str], expected: Sequence[str]) -> None:
    if list(found) != list(expected):
        raise ValueError(f"its {stage} stage was trained on other features")


def _check_shapes(ranker: ChainRanker) -> None:
    """Refuse what would be read outside its arrays."""
    first, second = ranker.first, ranker.second
    if not len(first.means) == len(first.scales) == len(first.weights) == len(FEATURES) or (first.scales <= 0).any():
        raise ValueError("its first stage does not fit the features")
    nodes, leaves = len(second.features), len(second.values)
    children = np.concatenate([second.lefts, second.rights, second.roots])
    if not len(second.thresholds) == len(second.lefts) == len(second.rights) == nodes:
        raise ValueError("the trees are not whole")
    if (children >= nodes).any() or (children < -leaves).any() or not len(second.roots):
        raise ValueError("the trees lead to nodes that are not there")
    own = np.tile(np.arange(nodes), 2)
    inner = np.concatenate([second.lefts, second.rights])
    if (inner[inner >= 0] <= own[inner >= 0]).any():
        raise ValueError("the trees go round in circles")
    if nodes and not 0 <= second.features.min() <= second.features.max() < len(SECOND_FEATURES):
        raise ValueError("the trees look at features that are not there")


def _floats(values: Any) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError("a list of finite numbers was expected")
    return found


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: [float(f"{one:.7g}") if isinstance(one, float) else one for one in value.tolist()]
        if isinstance(value, np.ndarray)
        else value
        for name, value in values.items()
    }


@njit(cache=True, nogil=True)
def _sum_trees(
    described: Floats, roots: Ints, features: Ints, thresholds: Floats, lefts: Ints, rights: Ints, values: Floats
) -> Any:
    scores = np.zeros(len(described))
    for row in range(len(described)):
        for root in roots:
            node = root
            while node >= 0:
                node = lefts[node] if described[row, features[node]] <= thresholds[node] else rights[node]
            scores[row] += values[-1 - node]
    return scores
