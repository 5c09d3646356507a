"""Personalized PageRank, against networkx's."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from numpy.typing import NDArray

from memory_graph.graph import Graph, build_graph
from memory_graph.walk import WalkParams, power_iteration


def _random_graph(seed: int, n_passages: int = 30, n_phrases: int = 20, n_edges: int = 45) -> Graph:
    """A sparse graph: some nodes have no edge, and it falls into several parts."""
    random = np.random.default_rng(seed)
    edges = np.unique(random.integers(0, [n_passages, n_phrases], size=(n_edges, 2)), axis=0)
    counts = random.integers(1, 6, len(edges))
    return build_graph(edges[:, 0], edges[:, 1], counts, n_passages=n_passages, n_phrases=n_phrases)


def _random_reset(seed: int, n_nodes: int, n_seeds: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    reset = np.zeros(n_nodes)
    reset[random.choice(n_nodes, n_seeds, replace=False)] = random.random(n_seeds) + 0.01
    return reset / reset.sum()


def _networkx(graph: Graph, reset: NDArray[np.float64], damping: float) -> NDArray[np.float64]:
    directed = networkx.DiGraph()
    directed.add_nodes_from(range(graph.n_nodes))
    step = graph.step.tocoo()
    directed.add_weighted_edges_from(
        (int(source), int(target), float(share))
        for target, source, share in zip(step.row, step.col, step.data, strict=True)
    )
    start = dict(enumerate(reset.tolist()))
    scores = networkx.pagerank(directed, alpha=damping, personalization=start, dangling=start, tol=1e-14, max_iter=1000)
    return np.array([scores[node] for node in range(graph.n_nodes)])


@pytest.mark.parametrize("damping", [0.5, 0.85])
@pytest.mark.parametrize("n_seeds", [1, 3, 50])
@pytest.mark.parametrize("seed", range(4))
def test_the_walk_agrees_with_networkx(seed: int, n_seeds: int, damping: float) -> None:
    graph = _random_graph(seed)
    reset = _random_reset(seed + 100, graph.n_nodes, n_seeds)
    scores = power_iteration(graph.step, reset, WalkParams(damping=damping, max_iterations=1000))
    np.testing.assert_allclose(scores, _networkx(graph, reset, damping), atol=1e-6, rtol=0)
    assert scores.sum() == pytest.approx(1.0, abs=1e-9)
    assert (scores >= 0).all()


def test_the_random_graphs_have_dangling_nodes_and_several_parts() -> None:
    for seed in range(4):
        graph = _random_graph(seed)
        parts = list(networkx.connected_components(networkx.from_scipy_sparse_array(graph.step)))
        assert sum(len(part) == 1 for part in parts) >= 1
        assert sum(len(part) > 1 for part in parts) >= 2


def test_the_default_damping_is_a_half_and_reaches_its_tolerance() -> None:
    graph = _random_graph(7)
    reset = _random_reset(7, graph.n_nodes, 2)
    scores = power_iteration(graph.step, reset, WalkParams())
    assert WalkParams().damping == 0.5
    exact = np.linalg.solve(
        # π = (1-d)·r + d·(S π + r·dangling·π), solved directly.
        np.eye(graph.n_nodes)
        - 0.5 * (graph.step.toarray() + np.outer(reset, 1.0 - np.asarray(graph.step.sum(axis=0)).ravel())),
        0.5 * reset,
    )
    assert np.abs(scores - exact).sum() <= 1e-8


def test_mass_stays_in_the_part_where_it_starts() -> None:
    graph = build_graph(np.array([0, 1]), np.array([0, 1]), np.array([1, 1]), n_passages=2, n_phrases=2)
    scores = power_iteration(graph.step, np.array([1.0, 0, 0, 0]), WalkParams())
    # π0 = ½ + ½π2 and π2 = ½π0.
    np.testing.assert_allclose(scores, [2 / 3, 0, 1 / 3, 0], atol=1e-8)


def test_a_walk_from_a_node_without_edges_stays_there() -> None:
    graph = build_graph(np.array([0]), np.array([0]), np.array([1]), n_passages=2, n_phrases=1)
    np.testing.assert_allclose(power_iteration(graph.step, np.array([0, 1.0, 0]), WalkParams()), [0, 1, 0])


def test_an_empty_graph_and_one_without_edges() -> None:
    none = np.zeros(0, dtype=np.int64)
    empty = build_graph(none, none, none, n_passages=0, n_phrases=0)
    assert power_iteration(empty.step, np.zeros(0), WalkParams()).shape == (0,)
    bare = build_graph(none, none, none, n_passages=2, n_phrases=1)
    reset = np.array([0.25, 0.5, 0.25])
    np.testing.assert_allclose(power_iteration(bare.step, reset, WalkParams()), reset)


def test_the_reset_vector_is_not_changed() -> None:
    graph = _random_graph(1)
    reset = _random_reset(1, graph.n_nodes, 3)
    before = reset.copy()
    power_iteration(graph.step, reset, WalkParams())
    np.testing.assert_array_equal(reset, before)


def test_few_iterations_are_kept_to() -> None:
    graph = build_graph(np.array([0]), np.array([0]), np.array([1]), n_passages=1, n_phrases=1)
    once = power_iteration(graph.step, np.array([1.0, 0]), WalkParams(max_iterations=1))
    np.testing.assert_allclose(once, [0.5, 0.5])
