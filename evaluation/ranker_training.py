"""The chain ranker's weights: learned from question sets, and scored on questions that they were not learned from.

Both looks are made by the product's own code, on memories made by its own pipeline. The second look is described from
what a first look thought that was trained without the question, and folds are by question: the single-hop questions
into which a multi-hop one was taken apart stay with it, and stand guard over what one hop needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.asked import SUB_QUESTION, Asked, Scores, Taught, score_rankings
from memory_graph.errors import InvalidInput
from retrieval.chain_ranking import Encode, First, Second, look_again, look_first, stays_ahead
from retrieval.chains import FEATURES, SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams, guard
from retrieval.ranker import ChainRanker, Trees
from retrieval.scene import Scene, look
from retrieval.stages import Stages

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Progress = Callable[[str, float], None]
"""Hears what is going on, and how far it is, 0..1."""


@dataclass(frozen=True, kw_only=True)
class TrainingParams:
    """``folds`` for the cross-validation; ``seeds`` forests of ``trees`` trees are averaged, from ``first_seed`` on.

    A tree has ``leaves`` leaves. There are few sub-questions, so each counts ``sub_question_weight`` times: what one
    hop needs must not be forgotten.
    """

    folds: int = 5
    seeds: int = 3
    first_seed: int = 0
    trees: int = 400
    leaves: int = 8
    sub_question_weight: float = 4.0
    learning_rate: float = 0.025
    least_in_leaf: int = 20
    truncation: int = 10


@dataclass(eq=False)
class Example:
    """A question on its way through both looks, and the scores (k,) of its candidates at each: empty before it."""

    taught: Taught
    asked: Asked
    scene: Scene
    gold: Ints
    first: First
    fold: int
    second: Second | None = None
    scores: dict[int, Floats] = field(default_factory=dict)

    def described(self, look: int) -> tuple[Ints, Floats]:
        """Return the rows and descriptions of the first or the second look."""
        found = self.first if look == 1 or self.second is None else self.second
        return found.candidates.rows, found.candidates.features


def train(
    sets: Sequence[Taught],
    encode: Encode,
    *,
    graph: GraphParams | None = None,
    chains: ChainParams | None = None,
    params: TrainingParams | None = None,
    progress: Progress = lambda stage, share: None,
    seed: int = 0,
) -> tuple[ChainRanker, list[Scores]]:
    """Learn weights from all sets, and score them by cross-validation.

    Errors: ``InvalidInput`` for fewer groups than folds.
    """
    graph, chains, params = graph or GraphParams(), chains or ChainParams(), params or TrainingParams()
    examples = look_at_all(sets, encode, graph, chains, params, progress, seed)
    cross_validate(examples, encode, chains, params, progress)
    scores = [
        score("dense", examples, lambda one: [*one.scene.dense]),
        score("walk", examples, lambda one: _guarded(one, one.scene.walked, graph)),
        score("one look", examples, lambda one: rank(one, 1, graph, chains)),
        score("two looks", examples, lambda one: rank(one, 2, graph, chains)),
    ]
    return ChainRanker(first=fit_trees(examples, 1, params), second=fit_trees(examples, 2, params)), scores


def cross_validate(
    examples: Sequence[Example],
    encode: Encode,
    chains: ChainParams,
    params: TrainingParams,
    progress: Progress = lambda stage, share: None,
    without: frozenset[str] = frozenset(),
) -> None:
    """Score every example at both looks by forests that were grown without its fold, and do not see some columns.

    The examples keep the scores, and the second look that follows from those of the first.
    """
    _score_unseen(examples, 1, params, progress, without)
    for number, one in enumerate(examples):
        one.second = look_again(one.scene, one.first, one.scores[1], chains, encode)
        progress("second look", (number + 1) / len(examples))
    _score_unseen(examples, 2, params, progress, without)


def _score_unseen(
    examples: Sequence[Example], look: int, params: TrainingParams, progress: Progress, without: frozenset[str]
) -> None:
    for fold in range(params.folds):
        forest = fit_trees([one for one in examples if one.fold != fold], look, params, without)
        for one in examples:
            if one.fold == fold:
                one.scores[look] = forest.predict(one.described(look)[1])
        if look == 2:
            progress("cross-validation", (fold + 1) / params.folds)


def look_at_all(
    sets: Sequence[Taught],
    encode: Encode,
    graph: GraphParams,
    chains: ChainParams,
    params: TrainingParams,
    progress: Progress = lambda stage, share: None,
    seed: int = 0,
) -> list[Example]:
    """Take a first look for every question, and deal the questions to folds.

    Errors: ``InvalidInput`` for fewer groups than folds.
    """
    groups = list(dict.fromkeys(asked.group for taught in sets for asked in taught.questions))
    if len(groups) < params.folds:
        raise InvalidInput("questions", f"{len(groups)} with gold documents do not fill {params.folds} folds")
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[place]: number % params.folds for number, place in enumerate(order.tolist())}
    examples, total = [], sum(len(taught.questions) for taught in sets)
    for taught in sets:
        rows_of: dict[str, list[int]] = {}
        for row, document in enumerate(taught.document_of):
            rows_of.setdefault(document, []).append(row)
        vectors = encode([asked.question for asked in taught.questions])
        for asked, vector in zip(taught.questions, vectors, strict=True):
            view = taught.view
            dense, _ = view.index.search(vector, graph.seeds, ties=view.orders.rows)
            scene = look(view, vector, asked.question, dense, graph, Stages())
            gold = np.array([row for one in asked.gold_ids for row in rows_of.get(one, ())], dtype=np.int64)
            first = look_first(scene, chains)
            examples.append(Example(taught, asked, scene, gold, first, fold_of[asked.group]))
            progress("first look", len(examples) / total)
    return examples


def fit_trees(
    examples: Sequence[Example], look: int, params: TrainingParams, without: frozenset[str] = frozenset()
) -> Trees:
    """Grow a forest over the first look of the examples, to tell gold from others, or the second, to order them.

    No tree asks for a column ``without``.
    """
    import lightgbm

    columns = FEATURES if look == 1 else SECOND_FEATURES
    seen = np.array([name not in without for name in columns], dtype=float)
    described = [one.described(look) for one in examples]
    labels = [np.isin(rows, one.gold).astype(int) for (rows, _), one in zip(described, examples, strict=True)]
    weights = [params.sub_question_weight if one.asked.type == SUB_QUESTION else 1.0 for one in examples]
    data = lightgbm.Dataset(
        np.concatenate([features for _, features in described]) * seen,
        np.concatenate(labels),
        weight=np.repeat(weights, [len(rows) for rows, _ in described]),
        group=[len(rows) for rows, _ in described] if look == 2 else None,
        feature_name=list(columns),
    )
    objective = {"objective": "lambdarank", "lambdarank_truncation_level": params.truncation}
    nodes: list[tuple[int, float, int, int]] = []
    values: list[float] = []
    roots = []
    for seed in range(params.first_seed, params.first_seed + params.seeds):
        forest = lightgbm.train(
            {
                **(objective if look == 2 else {"objective": "binary"}),
                "num_leaves": params.leaves,
                "learning_rate": params.learning_rate,
                "min_data_in_leaf": params.least_in_leaf,
                "feature_fraction": 0.7,
                "bagging_fraction": 0.8,
                "bagging_freq": 1,
                "seed": seed,
                "deterministic": True,
                "num_threads": 2,
                "verbosity": -1,
            },
            data,
            params.trees,
        )
        roots += [_take_apart(tree["tree_structure"], nodes, values) for tree in forest.dump_model()["tree_info"]]
    table = np.array(nodes, dtype=np.float64).reshape(-1, 4).T
    return Trees(
        roots=np.array(roots, dtype=np.int64),
        features=table[0].astype(np.int64),
        thresholds=table[1],
        lefts=table[2].astype(np.int64),
        rights=table[3].astype(np.int64),
        values=np.array(values, dtype=np.float64) / params.seeds,
    )


def _take_apart(node: dict[str, Any], nodes: list[tuple[int, float, int, int]], values: list[float]) -> int:
    """Write a tree's nodes behind those that are there, children behind their parents; return where it begins."""
    if "leaf_value" in node:
        values.append(float(node["leaf_value"]))
        return -len(values)
    place = len(nodes)
    nodes.append((0, 0.0, 0, 0))
    left = _take_apart(node["left_child"], nodes, values)
    right = _take_apart(node["right_child"], nodes, values)
    nodes[place] = (int(node["split_feature"]), float(node["threshold"]), left, right)
    return place


def rank(one: Example, look: int, graph: GraphParams, chains: ChainParams) -> list[int]:
    """Return the candidates of a look by their scores, best first, guarded as searches do."""
    (rows, _), scores = one.described(look), one.scores[look]
    order = np.lexsort((one.taught.view.orders.rows[rows], -scores.round(12)))
    found, nearest = rows[order].tolist(), one.scene.dense[:1].tolist()
    ahead = stays_ahead(found, scores[order].tolist(), nearest, len(one.scene.question.tokens), chains)
    kept = _guarded(one, rows[order], graph)
    return guard(kept, nearest, 2) if ahead else kept


def _guarded(one: Example, rows: Ints, graph: GraphParams) -> list[int]:
    return guard(rows.tolist(), one.scene.dense[: graph.guard].tolist(), graph.guard_within)


def score(name: str, examples: Sequence[Example], rank: Callable[[Example], list[int]]) -> Scores:
    """Score a way of ranking rows of passages."""
    return score_rankings(name, ((one.taught, one.asked, rank(one)) for one in examples))
