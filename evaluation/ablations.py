"""What each ingredient of the search is worth: what recall costs where it is left out.

Ingredients of the walk are left out of the search itself. Those of the chain ranker are columns: its forests are grown
anew without them, and every question is ranked by forests that were not grown from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from evaluation.metrics import Estimate, estimate_difference
from evaluation.ranker_training import Scores, Taught, TrainingParams, cross_validate, look_at_all
from evaluation.variants import Variant, embed_questions, score_variant, with_damping
from retrieval.chain_ranking import Encode
from retrieval.chains import SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams

FULL_WALK = Variant(name="the walk")

WALK_VARIANTS = (
    FULL_WALK,
    Variant(name="without names in the question", params=GraphParams(phrase_share=0.0)),
    Variant(name="without words", params=GraphParams(lexical_weight=0.0)),
    Variant(
        name="without sharpness: a twentieth of the weights", params=GraphParams(dense_weight=1, lexical_weight=0.3)
    ),
    Variant(name="without the walk: where it starts from", ranking="base"),
    Variant(name="without the guard", params=GraphParams(guard=0)),
    Variant(name="damping 0.5, as published", params=with_damping(0.5)),
    Variant(name="by vector alone", ranking="dense"),
)


def _begin(*beginnings: str) -> frozenset[str]:
    return frozenset(name for name in SECOND_FEATURES if name.startswith(beginnings))


def _end(*endings: str) -> frozenset[str]:
    return frozenset(name for name in SECOND_FEATURES if name.endswith(endings))


_TITLES = _begin("title_", "part_", "back_link")

COLUMNS = {
    "without bridged questions": _begin("bridge"),
    "without links over names": _begin("name_"),
    "without titles": _TITLES,
    "without any link": _TITLES | _begin("name_"),
    "without words": _begin("lexical", "covered") | _end("_gain", "_union"),
    "without the names of the question": _begin("phrase"),
    "without the walk's scores": _begin("walk"),
    "without likeness to the leads": _begin("like_"),
    "without margins": _end("_lead"),
}
"""The columns that belong to each ingredient of the chain ranker."""

FASTER = TrainingParams(seeds=1, trees=200, learning_rate=0.05)
"""A third of the seeds and half of the trees: a dozen rankers are grown, and compared with each other alone."""


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A ranking without an ingredient, for one kind of question: recall by k, and the difference to the whole one."""

    name: str
    recall: dict[int, Estimate]
    differences: dict[int, Estimate]
    """Empty for the whole ranking itself."""


def ablate_walk(sets: Sequence[Taught], encode: Encode) -> dict[str, list[Ablation]]:
    """Return the ablations of the walk by kind of question, the whole walk first."""
    embedded = embed_questions(sets, encode)
    return _compare([score_variant(embedded, variant) for variant in WALK_VARIANTS])


def ablate_ranker(
    sets: Sequence[Taught],
    encode: Encode,
    params: TrainingParams = FASTER,
    progress: Callable[[str, float], None] = lambda stage, share: None,
) -> dict[str, list[Ablation]]:
    """Return the ablations of the chain ranker by kind of question, the whole ranker first."""
    graph, chains = GraphParams(), ChainParams()
    examples = look_at_all(sets, encode, graph, chains, params, progress)
    one_look, whole = cross_validate(examples, encode, graph, chains, params)
    found = [replace(whole, name="the chain ranker"), replace(one_look, name="without the second look")]
    cases = [
        *((name, graph, chains, without) for name, without in COLUMNS.items()),
        ("without the guard", replace(graph, guard=0), chains, frozenset()),
        ("without the rule for short questions", graph, replace(chains, short=0), frozenset()),
    ]
    for number, (name, of_graph, of_chains, without) in enumerate(cases, start=1):
        _, two_looks = cross_validate(examples, encode, of_graph, of_chains, params, without=without)
        found.append(replace(two_looks, name=name))
        progress("rankers", number / len(cases))
    return _compare(found)


def _compare(found: Sequence[Scores]) -> dict[str, list[Ablation]]:
    whole = found[0]
    return {
        kind: [
            Ablation(
                name=one.name,
                recall=one.recall[kind],
                differences={}
                if one is whole
                else {k: estimate_difference(one.values[kind][k], values) for k, values in by_k.items()},
            )
            for one in found
        ]
        for kind, by_k in whole.values.items()
    }
