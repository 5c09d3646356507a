"""The walk against igraph's prpack, which is what HippoRAG 2 runs."""

from __future__ import annotations

import numpy as np
import pytest

from memory_graph.graph import Graph, Mentions, Shares
from memory_graph.walk import WalkParams, walk
from tests.unit.graphs import columns
from tests.unit.memory_graph.test_walk import random_graph, random_reset, spread_out

igraph = pytest.importorskip("igraph", reason="the bench extra is not installed")


def prpack(graph: Graph, seeds: np.ndarray, masses: np.ndarray, damping: float) -> np.ndarray:
    """Walk with igraph over the same directed weights."""
    step = graph.transition(Shares()).tocoo()  # column → row
    reset = np.zeros(graph.n_nodes)
    reset[seeds] = masses
    there = igraph.Graph(n=graph.n_nodes, edges=np.column_stack([step.col, step.row]), directed=True)
    scores = there.personalized_pagerank(
        damping=damping, reset=reset.tolist(), weights=step.data.tolist(), directed=True, implementation="prpack"
    )
    return np.array(scores)


@pytest.mark.parametrize("damping", [0.5, 0.85])
@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_prpack_on_the_same_weights(seed: int, damping: float) -> None:
    graph = random_graph(seed, 60, 40)
    if seed % 2:  # what came and went later counts as well
        later = [(60, 3, 2), (60, 40, 1), (61, 5, 1)]
        graph = graph.extended(
            passages=3, phrases=1, context=Mentions(*columns(later, 3)), dead_passages=np.array([1, 7])
        )
    seeds, masses = random_reset(graph, 100 + seed, 6)
    theirs = prpack(graph, seeds, masses, damping)
    # igraph sends dangling mass to the reset vector as well, so the two agree there too.
    exact = walk(graph, seeds, masses, WalkParams(mode="exact", damping=damping))
    assert np.abs(spread_out(exact, graph) - theirs).sum() < 1e-6
    pushed = walk(graph, seeds, masses, WalkParams(damping=damping, epsilon=1e-9))
    assert np.abs(spread_out(pushed, graph) - theirs).sum() < 1e-5


def test_some_of_these_graphs_have_nodes_without_edges() -> None:
    steps = [random_graph(seed, 60, 40).transition(Shares()).tocsc() for seed in range(8)]
    assert any((np.diff(step.indptr) == 0).any() for step in steps)
