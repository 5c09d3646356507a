"""Personalized PageRank: where a walk that keeps returning to the question's passages and phrases spends its time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from memory_graph.graph import Graph, Shares
from memory_graph.push import arrays_of, push

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WalkParams:
    """``damping`` is the probability of following an edge, ``shares`` divide a phrase's mass among its kinds of edges.

    ``mode`` *push* is local: it stops where no node holds more than ``epsilon`` times its out-degree, so a smaller
    value is closer and slower. *exact* is the power iteration over the whole graph, which ends at an L1 change below
    ``tolerance``.
    """

    mode: Literal["push", "exact"] = "push"
    damping: float = 0.5
    shares: Shares = field(default_factory=Shares)
    epsilon: float = 2e-5
    tolerance: float = 1e-12
    max_iterations: int = 200


@dataclass(frozen=True, kw_only=True)
class Walk:
    """The nodes that a walk reached (n,), passages first by number, and their scores (n,), in no order.

    Scores of a push are lower bounds: they fall short of the exact ones by ``residual`` in sum, which is thus the error
    in L1. ``edges`` is how many were followed. ``returning`` is the share of all mass that goes back to the reset
    vector at each step: 1 - damping, and what is lost for want of an edge.
    """

    nodes: Ints
    scores: Floats
    residual: float
    edges: int
    returning: float


def walk(graph: Graph, seeds: Ints, masses: Floats, params: WalkParams) -> Walk:
    """Walk from ``seeds`` (k,), distinct living nodes with ``masses`` (k,) that sum to 1; phrases follow the passages.

    π = (1-d)·r + d·(S π + r·m), where m is the mass on nodes without edges: it returns to the reset vector r.
    """
    if params.mode == "exact":
        reset = np.zeros(graph.n_nodes)
        reset[seeds] = masses
        step = graph.transition(params.shares)
        scores = power_iteration(step, reset, params)
        nodes = np.flatnonzero(scores)
        returning = 1.0 - params.damping * float((step @ scores).sum())
        return Walk(nodes=nodes, scores=scores[nodes], residual=0.0, edges=int(step.nnz), returning=returning)
    nodes, settled, left, edges, _ = push(
        arrays_of(graph), seeds, masses, params.damping, params.epsilon, params.shares
    )
    # Without the mass that dangling nodes return, x = (1-d)·r + d·S·x is π but for its length: x sums to
    # settled + left, less what dangling nodes would lose of what is left. So π ≥ settled / (settled + left), and the
    # difference sums to left / (settled + left).
    whole = float(settled.sum()) + left
    met = settled > 0
    return Walk(
        nodes=nodes[met],
        scores=settled[met] / whole,
        residual=left / whole,
        edges=edges,
        returning=(1.0 - params.damping) / whole,
    )


def power_iteration(step: csr_matrix, reset: Floats, params: WalkParams) -> Floats:
    """Return the stationary distribution π = (1-d)·r + d·(S π + r·dangling mass), shape (n_nodes,), sum 1.

    ``step`` S (n_nodes, n_nodes) has columns that sum to 1 or, for nodes without edges, to 0; what the walk loses there
    goes back to ``reset`` r (n_nodes,), which sums to 1. The error in L1 is at most tolerance · d / (1-d).
    Source: Page et al. 1998; the treatment of dangling nodes is that of HippoRAG 2's walk.
    """
    scores = reset.copy()
    for _ in range(params.max_iterations):
        moved = params.damping * (step @ scores)
        # What was not moved along an edge, by choice or for want of one, returns to the reset vector.
        following = moved + (1.0 - moved.sum()) * reset
        change = float(np.abs(following - scores).sum())
        scores = following
        if change < params.tolerance:
            break
    return scores
