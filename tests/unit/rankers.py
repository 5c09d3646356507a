"""Rankers made by hand or by chance, where what is tested is not what was learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrieval.chains import FEATURES, SECOND_FEATURES
from retrieval.ranker import ChainRanker, Trees

GRADES = 20


def graded(columns: Sequence[str], bias: float = 0.0, **worth: float) -> Trees:
    """Weigh a few features in grades from 0 to 1, each step with a tree of one node."""
    features = np.repeat([columns.index(name) for name in worth], GRADES).astype(np.int64)
    n = len(features)
    values = np.zeros(2 * n + 1)
    values[1:-1:2] = np.repeat(list(worth.values()), GRADES) / GRADES
    values[-1] = bias
    return Trees(
        roots=np.append(np.arange(n), -1 - 2 * n),  # the last tree is a leaf
        features=features,
        thresholds=np.tile(np.linspace(0.0, 1.0, GRADES, endpoint=False), len(worth)),
        lefts=-1 - 2 * np.arange(n),
        rights=-2 - 2 * np.arange(n),
        values=values,
    )


def plain_ranker() -> ChainRanker:
    """Return a ranker that goes by likeness to the question, and by links from what is like it."""
    weights = {"cosine": 4.0, "lexical": 2.0, "title_strongest": 4.0, "name_strongest": 1.0}
    return ChainRanker(
        first=graded(FEATURES, -3.0, **weights), second=graded(SECOND_FEATURES, -3.0, **weights, bridge=2.0)
    )


def random_trees(chance: np.random.Generator, n_features: int, trees: int = 20, nodes: int = 7) -> Trees:
    """Return trees of any shape, whose thresholds lie where features are wont to."""
    roots, features, values = list[int](), list[int](), list[float]()
    children: tuple[list[int], list[int]] = ([], [])
    for _ in range(trees):
        first = len(features)
        roots.append(first)
        features += chance.integers(0, n_features, nodes).tolist()
        for side in children:
            side += [0] * nodes
        waiting = [(first, side) for side in children]
        for place in range(first + 1, first + nodes):
            at, side = waiting.pop(int(chance.integers(len(waiting))))
            side[at] = place
            waiting += [(place, side) for side in children]
        for at, side in waiting:
            values.append(float(chance.normal()))
            side[at] = -len(values)
    n = len(features)
    return Trees(
        roots=np.array(roots),
        features=np.array(features),
        thresholds=np.where(chance.random(n) < 0.5, chance.random(n), chance.normal(size=n)),
        lefts=np.array(children[0]),
        rights=np.array(children[1]),
        values=np.array(values),
    )


def random_ranker(seed: int) -> ChainRanker:
    """Return a ranker that looks at everything, for no reason."""
    chance = np.random.default_rng(seed)
    first, second = (random_trees(chance, len(columns)) for columns in (FEATURES, SECOND_FEATURES))
    return ChainRanker(first=first, second=second)
