"""Searches with other parameters, ranked without the chain ranker: for ablations, and to choose defaults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from evaluation.asked import Scores, Taught, score_rankings
from retrieval.graph_search import GraphParams, fuse, guard
from retrieval.scene import Query, link, look, match_words
from retrieval.stages import Stages

Ranking: TypeAlias = Literal["walk", "base", "hybrid", "dense"]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way of ranking under a name: by the walk, by the passages it starts from, by hybrid or by vector alone.

    ``view`` names one of the views that were remade; if it is empty the set's own is searched.
    """

    name: str
    ranking: Ranking = "walk"
    params: GraphParams = field(default_factory=GraphParams)
    view: str = ""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A set that was learned, with a vector for each of its questions: float32 (n, dim)."""

    taught: Taught
    vectors: NDArray[np.float32]


def embed_questions(sets: Sequence[Taught], encode: Callable[[list[str]], NDArray[np.float32]]) -> list[Embedded]:
    """Embed the questions of all sets, once for all variants."""
    return [Embedded(taught=one, vectors=encode([asked.question for asked in one.questions])) for one in sets]


def score_variant(sets: Sequence[Embedded], variant: Variant) -> Scores:
    """Return recall of a variant, by kind of question."""
    ranked = (
        (one.taught, asked, rank(one.taught, asked.question, vector, variant))
        for one in sets
        for asked, vector in zip(one.taught.questions, one.vectors, strict=True)
    )
    return score_rankings(variant.name, ranked)


def rank(taught: Taught, question: str, vector: Query, variant: Variant) -> list[int]:
    """Return rows of passages, best first."""
    view, params = taught.remade[variant.view] if variant.view else taught.view, variant.params
    dense, _ = view.index.search(vector, params.seeds, ties=view.orders.rows)
    if variant.ranking == "dense":
        return list(dense.tolist())
    if variant.ranking == "hybrid":
        found = match_words(view, link(view, question), params, Stages())
        return list(fuse(view, vector, dense, found, (1.0, params.hybrid_weight)).rows.tolist())
    scene = look(view, vector, question, dense, params, Stages())
    rows = scene.walked if variant.ranking == "walk" else scene.base.rows
    return guard(rows.tolist(), dense[: params.guard].tolist(), params.guard_within)


def with_damping(damping: float) -> GraphParams:
    """Return the default parameters with another damping."""
    params = GraphParams()
    return replace(params, walk=replace(params.walk, damping=damping))
