"""What a view joins a phrase with because it means the same."""

from __future__ import annotations

import numpy as np

from memory_graph.edges import Kind
from retrieval.view import View


def synonyms_of(view: View, phrase_id: int) -> list[tuple[int, float]]:
    """Return the phrases that a view joins one with, by id, and the similarity, the nearest first."""
    row = int(np.searchsorted(view.phrase_ids, phrase_id))
    if row == len(view.phrases) or view.phrase_ids[row] != phrase_id:
        return []
    targets, counts = view.graph.edges.row(row * len(Kind) + Kind.synonymy)
    found = zip(view.phrase_ids[targets].tolist(), (counts / 1000).tolist(), strict=True)
    return sorted(found, key=lambda one: (-one[1], one[0]))
