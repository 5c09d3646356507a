"""Passages ranked by a walk from the question's phrases and its nearest passages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.graph import Shares
from memory_graph.walk import WalkParams, walk
from retrieval.facts import FactParams, join_seeds
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
    that a single-hop question needs. Relation edges are not walked: those of facts that were read without a language
    model neither helped nor harmed on the development sets.
    """

    phrase_share: float = 0.2
    seeds: int = 200
    temperature: float = 0.06
    guard: int = 2
    guard_within: int = 5
    facts: FactParams = field(default_factory=FactParams)
    walk: WalkParams = field(default_factory=lambda: WalkParams(shares=Shares(relation=0.0)))

    @property
    def exact(self) -> bool:
        """Whether everything is computed exactly: all vectors are compared, all edges walked."""
        return self.walk.mode == "exact"


@dataclass(frozen=True)
class GraphRanking:
    """Rows of passages with the walk's score, best first, and what the walk started from."""

    rows: list[int]
    scores: list[float]
    phrase_rows: list[int]
    fallback_reason: str | None
    detail: dict[str, Any]


def rank_by_walk(
    view: View,
    question: str,
    seeds: tuple[Ints, Floats],
    nearest: Ints,
    params: GraphParams,
    *,
    top_k: int,
    facts: tuple[Ints, Floats] | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> GraphRanking:
    """Rank the passages by personalized PageRank; return at least the ``top_k`` best that were reached.

    ``seeds`` are rows and similarities (k,) of the passages nearest to the question, best first; ``nearest`` the
    nearest of those that may be returned, which ``allowed`` (n_passages,) limits: the walk may cross the others.
    ``facts`` are rows and weights (m,) of phrases that the nearest facts join.
    Without any edge in the graph nothing is ranked, with the reason.
    """
    graph, (seed_rows, similarities) = view.graph, seeds
    if not graph.total_count or not len(seed_rows):
        return GraphRanking([], [], [], "empty_graph", {})
    phrase_rows = link_phrases(question, lambda keys: view.names.find(keys, graph.dead_phrases))
    share = params.phrase_share if phrase_rows else 0.0
    phrases = np.array(phrase_rows, dtype=np.int64)
    idf = graph.idf_of(phrases)
    phrase_masses = share * idf / idf.sum() if phrase_rows else idf
    fact_rows, fact_weights = facts or (np.zeros(0, dtype=np.int64), np.zeros(0))
    fact_share = params.facts.share if len(fact_rows) else 0.0
    phrases, phrase_masses = join_seeds((phrases, phrase_masses), (fact_rows, fact_share * fact_weights))
    sharpened = np.exp((similarities - similarities[0]) / params.temperature)
    passage_masses = (1.0 - share - fact_share) * sharpened / sharpened.sum()
    walked = walk(
        graph,
        np.concatenate([seed_rows, phrases + graph.n_passages]),
        np.concatenate([passage_masses, phrase_masses]),
        params.walk,
    )
    are_passages = walked.nodes < graph.n_passages
    rows, scores = walked.nodes[are_passages], walked.scores[are_passages]
    if allowed is not None:
        rows, scores = rows[allowed[rows]], scores[allowed[rows]]
    best = best_rows(rows, scores, view.orders.rows, max(top_k, params.guard_within) + params.guard)
    order = _guard(best.tolist(), nearest[: params.guard].tolist(), params.guard_within)
    chosen = np.isin(rows, order)
    score_of = dict(zip(rows[chosen].tolist(), scores[chosen].tolist(), strict=True))
    detail = {
        "phrases": [
            {"phrase_id": int(view.phrase_ids[row]), "reset": float(mass)}
            for row, mass in zip(phrases, phrase_masses, strict=True)
        ],
        "seeds": [
            {"passage_id": int(view.passage_ids[row]), "similarity": float(s), "reset": float(mass)}
            for row, s, mass in list(zip(seed_rows, similarities, passage_masses, strict=True))[:20]
        ],
        "mode": params.walk.mode,
        "damping": params.walk.damping,
        "nodes_reached": len(walked.nodes),
        "edges_touched": walked.edges,
        "residual": walked.residual,
    }
    reason = None if phrase_rows else "no_known_phrase_in_question"
    return GraphRanking(order, [score_of.get(row, 0.0) for row in order], phrase_rows, reason, detail)


def best_rows(rows: Ints, scores: Floats, orders: Ints, k: int) -> Ints:
    """Return the ``k`` rows of the highest scores (n,), best first; those that are equal to 1e-12 by ``orders``."""
    rounded = np.round(scores, 12)
    if k < len(rows):
        least = np.partition(rounded, len(rows) - k)[len(rows) - k]
        kept = rounded >= least
        rows, rounded = rows[kept], rounded[kept]
    best: Ints = rows[np.lexsort((orders[rows], -rounded))][:k]
    return best


def _guard(rows: list[int], guarded: list[int], within: int) -> list[int]:
    """Move the guarded rows up to the last of the first places where the walk ranked them below."""
    head = rows[:within]
    late = [row for row in guarded if row not in head]
    # Those that give way are the last of the head that are not guarded themselves.
    giving_way = [row for row in reversed(head) if row not in guarded][: len(late)]
    head = [row for row in head if row not in giving_way] + late
    return [*head, *(row for row in rows if row not in head)]
