"""Passages ranked by a walk from the question's phrases and the passages that resemble it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from memory_graph.graph import Shares
from memory_graph.walk import Walk, WalkParams, walk
from retrieval.fact_linking import LinkedFacts
from retrieval.facts import FactParams, join_seeds
from retrieval.lexical import LexicalParams, Matches
from retrieval.view import View

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GraphParams:
    """How the reset vector is made.

    ``phrase_share`` of the mass starts at the question's phrases, in proportion to idf, and a share of ``facts`` at the
    phrases of the nearest facts, where there are any with vectors; the rest at the ``seeds``
    passages nearest by vector and the ``seeds`` best by words, in proportion to exp(``dense_weight`` · cosine +
    ``lexical_weight`` · BM25 / the best BM25): large weights start sharply. Nothing there looks at the whole memory, so
    that what a question finds does not drift as it grows. In mode *hybrid* passages are ranked by cosine +
    ``hybrid_weight`` · BM25 / the best BM25.

    The ``guard`` nearest passages stay among the first ``guard_within``: a ranking may lead away from the one passage
    that a single-hop question needs. Relation edges are not walked: those of facts that were read without a language
    model neither helped nor harmed on the development sets. Synonymy edges get a small share where there are any; a
    large one harmed.
    """

    phrase_share: float = 0.3
    seeds: int = 200
    dense_weight: float = 20.0
    lexical_weight: float = 6.0
    hybrid_weight: float = 0.1
    guard: int = 2
    guard_within: int = 5
    lexical: LexicalParams = field(default_factory=LexicalParams)
    facts: FactParams = field(default_factory=FactParams)
    walk: WalkParams = field(default_factory=lambda: WalkParams(damping=0.7, shares=Shares(relation=0.0, synonymy=0.1)))

    def __post_init__(self) -> None:
        if self.phrase_share + self.facts.share > 1.0:
            raise ValueError("phrase_share and the share of facts are parts of one mass: together at most 1")

    @property
    def exact(self) -> bool:
        """Whether everything is computed exactly: all vectors are compared, all edges walked."""
        return self.walk.mode == "exact"


@dataclass(frozen=True, eq=False)
class Base:
    """Passages by their own likeness to the question, best first: rows (k,), cosines (k,) and BM25 / the best (k,)."""

    rows: Ints
    cosines: Floats
    lexical: Floats
    scores: Floats


def fuse(
    view: View,
    query: NDArray[np.float32],
    dense: Ints,
    lexical: Matches,
    weights: tuple[float, float],
    facts: LinkedFacts | None = None,
) -> Base:
    """Rank what was found by vector and by words by the weighted sum of cosine and relative BM25.

    Passages that state one of the ``facts`` come in too, and what they state counts in the place of a part of the
    cosine. Ties go by what passages are called.
    """
    rows = np.unique(np.concatenate([dense, lexical.rows] + ([facts.stated] if facts else [])))
    # In double precision, row by row: the same in whatever company.
    cosines = np.vecdot(view.index.take(rows).astype(np.float64), query.astype(np.float64))
    sums = lexical.sums
    relative = sums[rows] / sums[lexical.rows[0]] if len(lexical.rows) else np.zeros(len(rows))
    scores = weights[0] * (facts.weigh(rows, cosines) if facts else cosines) + weights[1] * relative
    order = np.lexsort((view.orders.rows[rows], -scores.round(12)))
    return Base(rows[order], cosines[order], relative[order], scores[order])


def walk_from(
    view: View, base: Base, phrases: Ints, params: GraphParams, facts: LinkedFacts | None = None
) -> tuple[Walk, Floats, tuple[Ints, Floats]]:
    """Walk from passages, from the question's phrases and from those of facts.

    Returns the walk, the mass that each passage started with, and the rows and masses of the phrases.
    """
    idf = view.graph.idf_of(phrases)
    share = params.phrase_share if len(phrases) else 0.0
    phrase_masses = share * idf / idf.sum() if len(phrases) else idf
    if facts is not None:
        phrases, phrase_masses = join_seeds((phrases, phrase_masses), (facts.phrases, facts.masses))
        share += float(facts.masses.sum())
    sharpened = np.exp(base.scores - base.scores[0])
    passage_masses = (1.0 - share) * sharpened / sharpened.sum()
    walked = walk(
        view.graph,
        np.concatenate([base.rows, phrases + view.graph.n_passages]),
        np.concatenate([passage_masses, phrase_masses]),
        params.walk,
    )
    return walked, passage_masses, (phrases, phrase_masses)


def best_rows(rows: Ints, scores: Floats, orders: Ints, k: int) -> tuple[Ints, Floats]:
    """Return the ``k`` rows of the highest scores (n,), best first, and these; equal to 1e-12 they go by ``orders``."""
    rounded = np.round(scores, 12)
    if k < len(rows):
        least = np.partition(rounded, len(rows) - k)[len(rows) - k]
        kept = rounded >= least
        rows, rounded, scores = rows[kept], rounded[kept], scores[kept]
    order = np.lexsort((orders[rows], -rounded))[:k]
    return rows[order], scores[order]


def guard(rows: list[int], guarded: list[int], within: int) -> list[int]:
    """Move the guarded rows up to the last of the first places where the ranking had them below."""
    head = rows[:within]
    late = [row for row in guarded if row not in head]
    # Those that give way are the last of the head that are not guarded themselves.
    giving_way = [row for row in reversed(head) if row not in guarded][: len(late)]
    head = [row for row in head if row not in giving_way] + late
    return [*head, *(row for row in rows if row not in head)]
