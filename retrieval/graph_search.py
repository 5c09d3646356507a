"""Passages ranked by a walk from the question's phrases and its nearest passages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.walk import WalkParams, power_iteration
from retrieval.linking import link_phrases
from retrieval.view import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GraphParams:
    """How the reset vector is made.

    ``phrase_share`` of the mass starts at the question's phrases, in proportion to idf; the rest at the ``seeds``
    nearest passages, in proportion to exp((similarity - best) / temperature): a small temperature starts sharply.
    The ``guard`` nearest passages stay among the first ``guard_within``: the walk may lead away from the one passage
    that a single-hop question needs.
    """

    phrase_share: float = 0.2
    seeds: int = 200
    temperature: float = 0.06
    guard: int = 2
    guard_within: int = 5
    walk: WalkParams = field(default_factory=WalkParams)


@dataclass(frozen=True)
class GraphRanking:
    """Rows of passages with the walk's score, best first, and what the walk started from."""

    rows: Ints
    scores: Floats
    phrase_rows: list[int]
    fallback_reason: str | None
    detail: dict[str, Any]


def rank_by_walk(
    view: View, question: str, seed_rows: Ints, similarities: NDArray[np.float32], params: GraphParams
) -> GraphRanking:
    """Rank the passages by personalized PageRank.

    ``seed_rows`` and ``similarities`` (k,) are the question's nearest passages, best first. Without any edge in the
    graph the dense ranking is returned, with the reason.
    """
    graph = view.graph
    if not graph.n_edges or not len(seed_rows):
        return GraphRanking(seed_rows, similarities.astype(np.float64), [], "empty_graph", {})
    phrase_rows = link_phrases(question, view.phrase_rows)
    phrase_mass = graph.idf[phrase_rows] if phrase_rows else np.zeros(0)
    share = params.phrase_share if phrase_rows else 0.0
    reset = np.zeros(graph.n_nodes)
    sharpened = np.exp((similarities.astype(np.float64) - float(similarities[0])) / params.temperature)
    reset[seed_rows] = (1.0 - share) * sharpened / sharpened.sum()
    if phrase_rows:
        reset[np.array(phrase_rows) + graph.n_passages] = share * phrase_mass / phrase_mass.sum()
    scores = power_iteration(graph.step, reset, params.walk)[: graph.n_passages]
    reached = np.flatnonzero(scores > 0)
    order = _guard(reached[np.lexsort((reached, -scores[reached]))], seed_rows, params)
    detail = {
        "phrases": [
            {"phrase_id": int(view.phrase_ids[row]), "reset": float(reset[row + graph.n_passages])}
            for row in phrase_rows
        ],
        "seeds": [
            {"passage_id": int(view.passage_ids[row]), "similarity": float(s), "reset": float(reset[row])}
            for row, s in list(zip(seed_rows, similarities, strict=True))[:20]
        ],
        "nodes": graph.n_nodes,
        "edges": graph.n_edges,
        "damping": params.walk.damping,
    }
    reason = None if phrase_rows else "no_known_phrase_in_question"
    return GraphRanking(order, scores[order], phrase_rows, reason, detail)


def _guard(order: Ints, nearest: Ints, params: GraphParams) -> Ints:
    """Move the nearest passages up to the last guarded places where the walk ranked them below."""
    rows = order.tolist()
    guarded = nearest[: params.guard].tolist()
    head = rows[: params.guard_within]
    late = [row for row in guarded if row not in head]
    # Those that give way are the last of the head that are not guarded themselves.
    giving_way = [row for row in reversed(head) if row not in guarded][: len(late)]
    head = [row for row in head if row not in giving_way] + late
    return np.array([*head, *(row for row in rows if row not in head)], dtype=np.int64)
