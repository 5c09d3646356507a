"""The nearest passages are exactly the nearest."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.index import PassageIndex


def _unit(random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    vectors = random.standard_normal(shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("k", [1, 5, 40, 200])
def test_the_nearest_are_those_of_a_full_scan(k: int, masked: bool) -> None:
    random = np.random.default_rng(k)
    vectors, query = _unit(random, 40, 8), _unit(random, 8)
    allowed = random.random(40) < 0.4 if masked else None
    rows, similarities = PassageIndex(vectors).search(query, k, allowed)
    candidates = np.flatnonzero(allowed) if allowed is not None else np.arange(40)
    expected = candidates[np.argsort(-(vectors[candidates] @ query), kind="stable")][:k]
    assert rows.tolist() == expected.tolist()
    np.testing.assert_allclose(similarities, vectors[expected] @ query, atol=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_ties_go_to_the_lower_row(masked: bool) -> None:
    vectors = np.tile(np.array([1.0, 0.0], dtype=np.float32), (6, 1))
    vectors[3] = (0.0, 1.0)
    allowed = np.ones(6, dtype=bool) if masked else None
    rows, similarities = PassageIndex(vectors).search(np.array([1, 0], dtype=np.float32), 6, allowed)
    assert rows.tolist() == [0, 1, 2, 4, 5, 3]
    assert similarities.tolist() == [1, 1, 1, 1, 1, 0]


def test_nothing_is_found_where_nothing_may_be() -> None:
    vectors, query = np.eye(3, dtype=np.float32), np.ones(3, dtype=np.float32)
    index = PassageIndex(vectors)
    assert len(index.search(query, 0)[0]) == len(index.search(query, -1)[0]) == 0
    assert len(index.search(query, 3, np.zeros(3, dtype=bool))[0]) == 0
    empty = PassageIndex(np.zeros((0, 0), dtype=np.float32))
    assert len(empty) == 0
    rows, similarities = empty.search(query, 3)
    assert len(rows) == len(similarities) == 0
    assert len(empty.search(query, 3, np.zeros(0, dtype=bool))[0]) == 0


def test_vectors_that_are_views_of_others_are_taken() -> None:
    vectors = np.asfortranarray(np.eye(4, dtype=np.float32))[::2]
    rows, _ = PassageIndex(vectors).search(np.array([0, 0, 1, 0], dtype=np.float32), 1)
    assert rows.tolist() == [1]
