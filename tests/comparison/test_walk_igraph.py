"""The walk against igraph's prpack, which is what HippoRAG 2 runs."""

from __future__ import annotations

import numpy as np
import pytest

from memory_graph.graph import Graph, build_graph
from memory_graph.walk import WalkParams, power_iteration

igraph = pytest.importorskip("igraph", reason="the bench extra is not installed")


def random_graph(seed: int, *, n_passages: int = 60, n_phrases: int = 40, n_edges: int = 150) -> Graph:
    """Return a random bipartite graph; some nodes have no edge, and it may fall apart into pieces."""
    random = np.random.default_rng(seed)
    pairs = np.unique(
        np.stack([random.integers(0, n_passages, n_edges), random.integers(0, n_phrases, n_edges)], axis=1), axis=0
    )
    counts = random.integers(1, 5, len(pairs))
    return build_graph(pairs[:, 0], pairs[:, 1], counts, n_passages=n_passages, n_phrases=n_phrases)


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_prpack_on_the_same_weights(seed: int) -> None:
    graph = random_graph(seed)
    random = np.random.default_rng(100 + seed)
    reset = np.zeros(graph.n_nodes)
    seeds = random.choice(graph.n_nodes, size=6, replace=False)
    reset[seeds] = random.random(6)
    reset /= reset.sum()
    ours = power_iteration(graph.step, reset, WalkParams(tolerance=1e-12))

    step = graph.step.tocoo()  # column → row
    theirs = igraph.Graph(
        n=graph.n_nodes, edges=list(zip(step.col.tolist(), step.row.tolist(), strict=True)), directed=True
    ).personalized_pagerank(
        damping=0.5, reset=reset.tolist(), weights=step.data.tolist(), directed=True, implementation="prpack"
    )

    # igraph sends dangling mass to the reset vector as well, so the two agree there too.
    assert np.abs(ours - np.array(theirs)).sum() < 1e-6
    assert ours.sum() == pytest.approx(1.0)


def test_some_of_these_graphs_have_nodes_without_edges() -> None:
    assert any((np.diff(random_graph(seed).step.tocsc().indptr) == 0).any() for seed in range(8))
