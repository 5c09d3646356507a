"""The learned weights of the chain ranker: how they are read, and what they make of descriptions.

Two forests of decision trees, from one file that says where they come from: the first, over ``FEATURES``, was grown to
tell needed passages from others (logistic loss), the second, over ``SECOND_FEATURES``, to order them (LambdaRank:
Burges 2010; Ke et al. 2017). ``make ranker`` grows them.
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
        """Return a score (k,) between 0 and 1, higher for what is needed more, from descriptions (k, f)."""
        sums: Floats = _sum_trees(
            np.ascontiguousarray(features, dtype=np.float64),
            self.roots,
            self.features,
            self.thresholds,
            self.lefts,
            self.rights,
            self.values,
        )
        scores: Floats = 1.0 / (1.0 + np.exp(-sums))
        return scores


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainRanker:
    """Both forests and what is known of where they come from."""

    first: Trees
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
        ranker = ChainRanker(
            first=_read_trees(found["first"], FEATURES),
            second=_read_trees(found["second"], SECOND_FEATURES),
            provenance=dict(found["provenance"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            str(path), f"holds no weights of the chain ranker ({error}); make ranker trains it"
        ) from error
    return ranker


def _read_trees(found: Mapping[str, Any], expected: Sequence[str]) -> Trees:
    """Read a forest; refuse one of other features, and what would be read outside its arrays."""
    values = dict(found)
    if values.pop("columns") != list(expected):
        raise ValueError("it was trained on other features")
    trees = Trees(
        thresholds=_floats(values.pop("thresholds")),
        values=_floats(values.pop("values")),
        **{name: _whole(numbers) for name, numbers in values.items()},
    )
    nodes, leaves = len(trees.features), len(trees.values)
    children = np.concatenate([trees.lefts, trees.rights])
    if not len(trees.thresholds) == len(trees.lefts) == len(trees.rights) == nodes or not len(trees.roots):
        raise ValueError("the trees are not whole")
    for places in (children, trees.roots):
        if (places >= nodes).any() or (places < -leaves).any():
            raise ValueError("the trees lead to nodes that are not there")
    inner = children >= 0
    if (children[inner] <= np.tile(np.arange(nodes), 2)[inner]).any():
        raise ValueError("the trees go round in circles")
    if nodes and not 0 <= trees.features.min() <= trees.features.max() < len(expected):
        raise ValueError("the trees look at features that are not there")
    return trees


def _floats(values: Any) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or not np.isfinite(found).all():
        raise ValueError("a list of finite numbers was expected")
    return found


def _whole(values: Any) -> Ints:
    found = _floats(values)
    if (found != np.floor(found)).any() or (np.abs(found) > 2**31).any():
        raise ValueError("a list of whole numbers was expected")
    return found.astype(np.int64)


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
