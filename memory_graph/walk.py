"""Personalized PageRank: where a walk that keeps returning to the question's passages and phrases spends its time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WalkParams:
    """``damping`` is the probability of following an edge; the iteration ends at an L1 change below ``tolerance``."""

    damping: float = 0.5
    tolerance: float = 1e-8
    max_iterations: int = 100


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
