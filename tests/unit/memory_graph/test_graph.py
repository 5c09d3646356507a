"""The graph's numbers, by hand on a small one."""

from __future__ import annotations

import numpy as np
import pytest

from memory_graph.graph import build_graph

# Passage 0 mentions phrase 0 twice and phrase 1 once; passage 1 mentions phrase 1; passage 2 and phrase 2 stand alone.
PASSAGES, PHRASES, COUNTS = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([2, 1, 1])


def test_idf_looks_at_all_passages() -> None:
    graph = build_graph(PASSAGES, PHRASES, COUNTS, n_passages=3, n_phrases=3)
    assert graph.document_frequency.tolist() == [1, 2, 0]
    np.testing.assert_allclose(graph.idf, np.log([4 / 1.5, 4 / 2.5, 4 / 0.5]))


def test_steps_go_along_edges_by_count_and_idf() -> None:
    graph = build_graph(PASSAGES, PHRASES, COUNTS, n_passages=3, n_phrases=3)
    step = graph.step.toarray()
    strong, weak = 2 * np.log(4 / 1.5), np.log(4 / 2.5)
    np.testing.assert_allclose(step[:, 0], [0, 0, 0, strong / (strong + weak), weak / (strong + weak), 0])
    np.testing.assert_allclose(step[:, 1], [0, 0, 0, 0, 1, 0])
    np.testing.assert_allclose(step[:, 3], [1, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(step[:, 4], [0.5, 0.5, 0, 0, 0, 0])
    assert not step[:, [2, 5]].any()
    assert (graph.n_nodes, graph.n_edges) == (6, 3)


def test_columns_sum_to_one_or_to_nothing() -> None:
    random = np.random.default_rng(3)
    edges = np.unique(random.integers(0, [40, 25], size=(120, 2)), axis=0)
    graph = build_graph(edges[:, 0], edges[:, 1], random.integers(1, 9, len(edges)), n_passages=50, n_phrases=30)
    sums = np.asarray(graph.step.sum(axis=0)).ravel()
    joined = np.zeros(80, dtype=bool)
    joined[edges[:, 0]] = joined[edges[:, 1] + 50] = True
    np.testing.assert_allclose(sums, joined.astype(float), atol=1e-12)
    assert 0 < joined.sum() < 80
    assert graph.n_edges == len(edges)


@pytest.mark.parametrize("n_passages", [1, 2, 1000])
def test_a_phrase_of_every_passage_keeps_its_edges(n_passages: int) -> None:
    rows = np.arange(n_passages)
    graph = build_graph(rows, np.zeros_like(rows), np.ones_like(rows), n_passages=n_passages, n_phrases=1)
    assert graph.idf[0] >= 0.01
    assert graph.n_edges == n_passages
    np.testing.assert_allclose(np.asarray(graph.step.sum(axis=0)).ravel(), 1.0)


def test_the_order_of_the_edges_does_not_matter() -> None:
    order = np.array([2, 0, 1])
    one = build_graph(PASSAGES, PHRASES, COUNTS, n_passages=3, n_phrases=3)
    other = build_graph(PASSAGES[order], PHRASES[order], COUNTS[order], n_passages=3, n_phrases=3)
    np.testing.assert_allclose(one.step.toarray(), other.step.toarray(), rtol=1e-12)


@pytest.mark.parametrize(("n_passages", "n_phrases"), [(0, 0), (3, 0), (0, 2), (3, 2)])
def test_a_graph_without_edges(n_passages: int, n_phrases: int) -> None:
    none = np.zeros(0, dtype=np.int64)
    graph = build_graph(none, none, none, n_passages=n_passages, n_phrases=n_phrases)
    assert (graph.n_nodes, graph.n_edges, graph.step.nnz) == (n_passages + n_phrases, 0, 0)
    assert len(graph.idf) == n_phrases
