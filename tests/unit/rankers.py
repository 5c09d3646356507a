"""Rankers made by hand or by chance, where what is tested is not what was learned."""

from __future__ import annotations

import numpy as np

from retrieval.chains import FEATURES, SECOND_FEATURES
from retrieval.ranker import ChainRanker, Linear, Trees


def linear(bias: float = 0.0, **weights: float) -> Linear:
    """Weigh a few features, by their names."""
    values = np.zeros(len(FEATURES))
    for name, weight in weights.items():
        values[FEATURES.index(name)] = weight
    return Linear(means=np.zeros(len(FEATURES)), scales=np.ones(len(FEATURES)), weights=values, bias=bias)


def stumps(**thresholds: tuple[float, float]) -> Trees:
    """One tree a feature: worth the second number where the feature is above the first, else nothing."""
    n = len(thresholds)
    return Trees(
        roots=np.arange(n),
        features=np.array([SECOND_FEATURES.index(name) for name in thresholds], dtype=np.int64),
        thresholds=np.array([threshold for threshold, _ in thresholds.values()]),
        lefts=-1 - 2 * np.arange(n),
        rights=-2 - 2 * np.arange(n),
        values=np.array([value for _, worth in thresholds.values() for value in (0.0, worth)]),
    )


def random_trees(chance: np.random.Generator, n_features: int, trees: int = 20, nodes: int = 7) -> Trees:
    """Return trees of any shape, whose thresholds lie where features are wont to."""
    roots, features, lefts, rights, values = list[int](), list[int](), list[int](), list[int](), list[float]()
    for _ in range(trees):
        first = len(features)
        roots.append(first)
        ends = [(place, side) for place in range(nodes) for side in (lefts, rights)]
        features += chance.integers(0, n_features, nodes).tolist()
        lefts += [0] * nodes
        rights += [0] * nodes
        waiting = [(first, lefts), (first, rights)]
        for place in range(first + 1, first + nodes):
            at, side = waiting.pop(int(chance.integers(len(waiting))))
            side[at] = place
            waiting += [(place, lefts), (place, rights)]
        for at, side in waiting:
            values.append(float(chance.normal()))
            side[at] = -len(values)
        assert len(waiting) == len(ends) - nodes + 1
    return Trees(
        roots=np.array(roots),
        features=np.array(features),
        thresholds=np.where(
            chance.random(len(features)) < 0.5, chance.random(len(features)), chance.normal(size=len(features))
        ),
        lefts=np.array(lefts),
        rights=np.array(rights),
        values=np.array(values),
    )


def random_ranker(seed: int) -> ChainRanker:
    """Return a ranker that looks at everything, for no reason."""
    chance = np.random.default_rng(seed)
    n = len(FEATURES)
    return ChainRanker(
        first=Linear(
            means=chance.normal(size=n), scales=chance.random(n) + 0.5, weights=chance.normal(size=n), bias=-1.0
        ),
        second=random_trees(chance, len(SECOND_FEATURES)),
    )
