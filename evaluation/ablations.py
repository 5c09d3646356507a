"""What each ingredient of the search is worth: what recall costs where it is left out.

Ingredients of the walk are left out of the search itself. Those of the chain ranker are columns: its forests are grown
anew without them, and every question is ranked by forests that were not grown from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from evaluation.asked import Scores, Taught
from evaluation.metrics import Estimate, estimate_difference
from evaluation.ranker_training import Progress, TrainingParams, cross_validate, look_at_all, rank, score
from evaluation.remade import COUNTED_ONCE, WITHOUT_SCAN, WITHOUT_TITLES
from evaluation.variants import Variant, embed_questions, score_variant, with_damping
from retrieval.chain_ranking import Encode
from retrieval.chains import LINK_KINDS, SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams
from retrieval.links import LINK_COLUMNS

FULL_WALK = Variant(name="the walk")

WALK_VARIANTS = (
    FULL_WALK,
    Variant(name="without names in the question", params=GraphParams(phrase_share=0.0)),
    Variant(name="without words", params=GraphParams(lexical_weight=0.0)),
    Variant(name="without sharp seeds", params=GraphParams(dense_weight=1, lexical_weight=0.3)),
    Variant(name="without the walk", ranking="base"),
    Variant(name="without the guard", params=GraphParams(guard=0)),
    Variant(name="without names found again", view=WITHOUT_SCAN),
    Variant(name="without titles as names", view=WITHOUT_TITLES),
    Variant(name="without counts of names", view=COUNTED_ONCE),
    *(Variant(name=f"damping {damping}", params=with_damping(damping)) for damping in (0.3, 0.5, 0.85)),
    Variant(name="by vector alone", ranking="dense"),
)


def _begin(*beginnings: str) -> frozenset[str]:
    return frozenset(name for name in SECOND_FEATURES if name.startswith(beginnings))


# What leads over names of each kind, and what the words of both passages cover together.
_LINKS = {kind: frozenset(f"{kind}_{column}" for column in (*LINK_COLUMNS, "gain", "union")) for kind in LINK_KINDS}
_BACK = _begin("back_link")

COLUMNS = {
    "without bridged questions": _begin("bridge"),
    "without links over titles": _LINKS["title"],
    "without links over a part of a title": _LINKS["part"],
    "without links over names": _LINKS["name"],
    "without any link": _BACK.union(*_LINKS.values()),
    "without titles": _begin("title_"),
    "without words": _begin("lexical", "covered")
    | {f"{kind}_{end}" for kind in LINK_KINDS for end in ("gain", "union")},
    "without the names of the question": _begin("phrase"),
    # The leads of the first look are the walk's best, and their strengths its scores.
    "without the walk's scores": _begin("walk") | {"lead", "lead_place"},
    "without likeness to the leads": _begin("like_"),
    "without margins": frozenset(name for name in SECOND_FEATURES if name.endswith("_lead")),
}
"""The columns that belong to each ingredient of the chain ranker; some belong to two."""

FASTER = TrainingParams(seeds=1, trees=200, learning_rate=0.05)
"""A third of the forests, of half as many trees: a dozen rankers are grown, to be compared with each other alone."""


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
    progress: Progress = lambda stage, share: None,
) -> dict[str, list[Ablation]]:
    """Return the ablations of the chain ranker by kind of question, the whole ranker first.

    Without some columns both forests are grown anew, and the second look follows what the first one thinks then. The
    candidates, which channels and links bring, stay. One ranker lacks nothing and is grown with other random numbers:
    what it differs by is chance. ``encode`` should remember, as most bridged questions come again.
    Errors: ``InvalidInput`` for fewer groups of questions than folds.
    """
    graph, chains = GraphParams(), ChainParams()
    examples = look_at_all(sets, encode, graph, chains, params, progress)
    cross_validate(examples, encode, chains, params)
    unguarded, unruled = replace(graph, guard=0), replace(chains, short=0)
    found = [
        score("the chain ranker", examples, lambda one: rank(one, 2, graph, chains)),
        score("without the second look", examples, lambda one: rank(one, 1, graph, chains)),
        score("without the guard", examples, lambda one: rank(one, 2, unguarded, chains)),
        score("without the rule for short questions", examples, lambda one: rank(one, 2, graph, unruled)),
        score("without both", examples, lambda one: rank(one, 2, unguarded, unruled)),
    ]
    by_chance = replace(params, first_seed=params.first_seed + params.seeds)
    cases = [
        ("with other random numbers", by_chance, frozenset()),
        *((name, params, without) for name, without in COLUMNS.items()),
    ]
    for number, (name, grown, without) in enumerate(cases, start=1):
        cross_validate(examples, encode, chains, grown, without=without)
        found.append(score(name, examples, lambda one: rank(one, 2, graph, chains)))
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
