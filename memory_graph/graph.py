"""The graph over passages and phrases, as arrays.

Nodes 0 … n_passages-1 are passages, the rest phrases. An edge joins a passage and a phrase that it mentions and carries
the count. What looks at the whole memory (document frequency, idf) is derived here from the counts, never stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Graph:
    """An immutable bipartite graph.

    ``step`` (n_nodes, n_nodes) is column-stochastic: ``step @ mass`` moves mass along edges chosen in proportion to
    count · idf; columns of nodes without edges are zero. ``idf`` and ``document_frequency`` have shape (n_phrases,).
    """

    n_passages: int
    n_phrases: int
    step: csr_matrix
    document_frequency: Ints
    idf: Floats

    @property
    def n_nodes(self) -> int:
        return self.n_passages + self.n_phrases

    @property
    def n_edges(self) -> int:
        """Edges between a passage and a phrase, each counted once."""
        return int(self.step.nnz // 2)


def build_graph(passage_rows: Ints, phrase_rows: Ints, counts: Ints, *, n_passages: int, n_phrases: int) -> Graph:
    """Build the graph from its context edges: three aligned arrays (m,) of rows and counts, one entry an edge.

    idf = ln((N + 1) / (df + 0.5)), floored at a hundredth so that a phrase of every passage keeps its edges.
    """
    frequency = np.bincount(phrase_rows, minlength=n_phrases).astype(np.int64)
    idf = np.maximum(np.log((n_passages + 1) / (frequency + 0.5)), 0.01)
    n_nodes = n_passages + n_phrases
    weights = counts * idf[phrase_rows] if len(counts) else np.zeros(0)
    phrase_nodes = phrase_rows + n_passages
    adjacency = csr_matrix(
        (
            np.concatenate([weights, weights]),
            (np.concatenate([passage_rows, phrase_nodes]), np.concatenate([phrase_nodes, passage_rows])),
        ),
        shape=(n_nodes, n_nodes),
    )
    totals = np.asarray(adjacency.sum(axis=1)).ravel()
    scale = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0)
    # The adjacency is symmetric, so scaling its columns gives the transposed transition without transposing.
    adjacency.data *= scale[adjacency.indices]
    return Graph(
        n_passages=n_passages,
        n_phrases=n_phrases,
        step=adjacency,
        document_frequency=frequency,
        idf=idf,
    )
