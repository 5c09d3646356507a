"""Synonymy follows from what lives, not from the order in which it came."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_graph.graph import Kind, Mentions, Relations, build_graph
from memory_graph.synonymy import Pairs, SynonymyParams, cap_degrees, find_synonyms, to_edges

Named = set[tuple[str, str, float]]


def unit_vectors(seed: int, n: int, dim: int = 8) -> np.ndarray:
    """Return float16 unit vectors in a few clusters, some of them equal, so that many are near each other."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(4, dim))
    vectors = centres[chance.integers(0, 4, n)] + chance.normal(scale=0.4, size=(n, dim))
    copies = chance.integers(0, n, n // 5)
    vectors[copies] = vectors[0]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def named(pairs: Pairs, names: np.ndarray) -> Named:
    """Return pairs by what their phrases are called."""
    return {
        (*sorted((str(names[left]), str(names[right]))), float(cosine))  # type: ignore[misc]
        for left, right, cosine in zip(*pairs, strict=True)
    }


def all_linkable(n: int) -> np.ndarray:
    return np.ones(n, dtype=bool)


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_those_of_comparing_each_with_each(seed: int) -> None:
    vectors = unit_vectors(seed, 60)
    linkable = np.random.default_rng(seed).random(60) < 0.8
    found = find_synonyms(vectors, linkable, SynonymyParams(threshold=0.7, block=7))
    exact = vectors.astype(np.float64)
    expected = {
        (i, j): float(exact[i] @ exact[j])
        for i in range(60)
        for j in range(i + 1, 60)
        if linkable[i] and linkable[j] and exact[i] @ exact[j] >= 0.7
    }
    assert 50 < len(expected) < 60 * 59 / 2
    assert dict(zip(zip(found.lefts.tolist(), found.rights.tolist(), strict=True), found.cosines, strict=True)) == (
        pytest.approx(expected, rel=0, abs=0)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 50), st.integers(1, 4), st.integers(1, 60), st.integers(1, 8))
def test_the_order_of_learning_does_not_matter(seed: int, n: int, commits: int, block: int, degree: int) -> None:
    vectors, names = unit_vectors(seed, n), np.array([f"name {i}" for i in range(n)])
    params = SynonymyParams(threshold=0.75, block=block)
    once = find_synonyms(vectors, all_linkable(n), params)
    chance = np.random.default_rng(seed + 1)
    order = chance.permutation(n)
    bounds = [0, *sorted(chance.integers(0, n, commits - 1).tolist()), n]
    parts = [
        find_synonyms(vectors[order[:stop]], all_linkable(stop), params, first_new=start)
        for start, stop in pairwise(bounds)
    ]
    later = Pairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    assert len(later.lefts) == len(named(later, names[order])), "a pair came twice"
    assert named(later, names[order]) == named(once, names)
    capped = cap_degrees(once, names, degree)
    assert named(cap_degrees(later, names[order], degree), names[order]) == named(capped, names)
    degrees = np.bincount(np.concatenate([capped.lefts, capped.rights]), minlength=n)
    assert degrees.max(initial=0) <= degree


def test_the_nearest_stay_and_equal_ones_go_by_name() -> None:
    names = np.array(["hub", "c", "b", "a", "near"])
    pairs = Pairs(np.array([0, 0, 0, 0]), np.array([1, 2, 3, 4]), np.array([0.9, 0.9, 0.9, 0.95]))
    assert named(cap_degrees(pairs, names, 2), names) == {("hub", "near", 0.95), ("a", "hub", 0.9)}


def test_nothing_has_no_synonyms() -> None:
    none = find_synonyms(np.zeros((0, 4), np.float16), all_linkable(0), SynonymyParams())
    assert len(none.lefts) == 0
    assert len(cap_degrees(none, np.zeros(0, dtype=str), 5).lefts) == 0
    alone = find_synonyms(unit_vectors(0, 1), all_linkable(1), SynonymyParams())
    assert len(alone.lefts) == 0


def test_a_synonym_leaves_the_relation_of_the_same_pair_as_it_is() -> None:
    relation = Relations(*(np.array([value], dtype=np.int32) for value in (0, 0, 1, 3)))
    synonyms = to_edges(Pairs(np.array([0]), np.array([1]), np.array([0.8704])))
    graph = build_graph(Mentions.none(), relation, synonyms, n_passages=1, n_phrases=2)
    rows = {kind: graph.edges.row(0 * len(Kind) + kind) for kind in Kind}
    assert [(t.tolist(), c.tolist()) for t, c in (rows[Kind.relation], rows[Kind.synonymy])] == [
        ([1], [3]),
        ([1], [870]),
    ]
