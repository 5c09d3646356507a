"""How the defaults of a search were chosen: one parameter at a time around its default, on the development sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from evaluation.asked import Taught
from evaluation.metrics import Estimate
from evaluation.ranker_training import Progress
from evaluation.variants import Ranking, Variant, embed_questions, score_variant, with_damping
from retrieval.chain_ranking import Encode
from retrieval.graph_search import GraphParams

SWEPT: dict[str, tuple[float, ...]] = {
    "phrase_share": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
    "dense_weight": (5.0, 10.0, 15.0, 20.0, 30.0, 40.0),
    "lexical_weight": (0.0, 2.0, 4.0, 6.0, 8.0, 12.0),
    "guard_within": (2, 3, 4, 5, 7, 10),
    "seeds": (20, 50, 100, 200, 400),
    "damping": (0.3, 0.4, 0.5, 0.6, 0.7, 0.85),
    "hybrid_weight": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5),
}
"""The values tried of each parameter; ``hybrid_weight`` is that of mode hybrid, the others are those of the walk."""


@dataclass(frozen=True, kw_only=True)
class Tried:
    """Recall by kind of question and k with one parameter changed, all others at their defaults."""

    parameter: str
    value: float
    is_default: bool
    recall: dict[str, dict[int, Estimate]]


def sweep(sets: Sequence[Taught], encode: Encode, progress: Progress = lambda stage, share: None) -> list[Tried]:
    """Try each value of each parameter."""
    embedded = embed_questions(sets, encode)
    pairs = [(name, value) for name, values in SWEPT.items() for value in values]
    found = []
    for number, (name, value) in enumerate(pairs, start=1):
        ranking: Ranking = "hybrid" if name == "hybrid_weight" else "walk"
        variant = Variant(name=name, ranking=ranking, params=change(name, value))
        recall = score_variant(embedded, variant).recall
        found.append(Tried(parameter=name, value=value, is_default=value == default_of(name), recall=recall))
        progress("values", number / len(pairs))
    return found


def change(name: str, value: float) -> GraphParams:
    """Return the defaults with one parameter changed."""
    changed: dict[str, Any] = {name: value}
    return with_damping(value) if name == "damping" else replace(GraphParams(), **changed)


def default_of(name: str) -> float:
    """Return a parameter's default."""
    params = GraphParams()
    known = {field.name: getattr(params, field.name) for field in fields(params)} | {"damping": params.walk.damping}
    return float(known[name])
