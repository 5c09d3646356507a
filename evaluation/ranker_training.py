"""The chain ranker's weights: learned from question sets, and scored on questions that they were not learned from.

Both looks are made by the product's own code, on memories made by its own pipeline. The second look is described from
what a first look thought that was trained without the question, and folds are by question: the single-hop questions
into which a multi-hop one was taken apart stay with it, and stand guard over what one hop needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.datasets import Dataset
from evaluation.metrics import Estimate, estimate_mean, recall_at_k
from memory_graph.errors import InvalidInput
from retrieval.chain_ranking import Encode, First, Second, look_again, look_first, stays_ahead
from retrieval.chains import FEATURES, SECOND_FEATURES, ChainParams
from retrieval.graph_search import GraphParams, guard
from retrieval.ranker import ChainRanker, Trees
from retrieval.scene import Scene, look
from retrieval.stages import Stages
from retrieval.view import View

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SUB_QUESTION = "sub-question"
KS = (2, 5, 10)


@dataclass(frozen=True, kw_only=True)
class TrainingParams:
    """``folds`` for the cross-validation; ``seeds`` forests of ``trees`` trees are averaged.

    A tree has ``leaves`` leaves. There are few sub-questions, so each counts ``sub_question_weight`` times: what one
    hop needs must not be forgotten.
    """

    folds: int = 5
    seeds: int = 3
    trees: int = 400
    leaves: int = 8
    sub_question_weight: float = 4.0
    learning_rate: float = 0.025
    least_in_leaf: int = 20
    truncation: int = 10


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question to learn from: which documents are gold, and which questions share its fold."""

    question: str
    gold_ids: tuple[str, ...]
    group: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A set that was learned into a memory: its view, and the document's id of each row of passages."""

    name: str
    view: View
    document_of: Sequence[str]
    questions: Sequence[Asked]


@dataclass(eq=False)
class Example:
    """A question on its way through both looks."""

    taught: Taught
    asked: Asked
    scene: Scene
    gold: Ints
    first: First
    fold: int
    probabilities: Floats = field(default_factory=lambda: np.zeros(0))
    second: Second | None = None

    def described(self, look: int) -> tuple[Ints, Floats]:
        """Return the rows and descriptions of the first or the second look."""
        found = self.first if look == 1 or self.second is None else self.second
        return found.candidates.rows, found.candidates.features


def read_sub_questions(folder: Path, dataset: Dataset) -> list[Asked]:
    """Return the single-hop questions of a set whose lines have a ``decomposition``, answers put in for ``#1``, ….

    Those that are no sentence ("Carl Zeiss >> country") are left out.
    """
    known, found = {document.id for document in dataset.documents}, []
    for line in (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        raw = json.loads(line) if line.strip() else {}
        answers: list[str] = []
        for step in raw.get("decomposition", ()):
            text = step["question"]
            for number, answer in enumerate(answers, start=1):
                text = text.replace(f"#{number}", answer)
            answers.append(step["answer"])
            if ">>" not in text and step["gold_id"] in known:
                group, gold = f"{dataset.name}/{raw['id']}", (step["gold_id"],)
                found.append(Asked(question=text, gold_ids=gold, group=group, type=SUB_QUESTION))
    return found


def questions_of(dataset: Dataset) -> list[Asked]:
    """Return the questions of a set that have gold documents."""
    return [
        Asked(question=one.question, gold_ids=one.gold_ids, group=f"{dataset.name}/{one.id}", type=dataset.name)
        for one in dataset.questions
        if one.gold_ids
    ]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Recall at 2, 5 and 10 of one way of ranking, by kind of question: each scored without having learned from it.

    ``values`` are those of the questions, in their order.
    """

    name: str
    values: dict[str, dict[int, list[float]]]

    @property
    def recall(self) -> dict[str, dict[int, Estimate]]:
        """The means with their intervals."""
        return {
            kind: {k: estimate for k, found in by_k.items() if (estimate := estimate_mean(found))}
            for kind, by_k in self.values.items()
        }


def train(
    sets: Sequence[Taught],
    encode: Encode,
    *,
    graph: GraphParams | None = None,
    chains: ChainParams | None = None,
    params: TrainingParams | None = None,
    progress: Callable[[str, float], None] = lambda stage, share: None,
    seed: int = 0,
) -> tuple[ChainRanker, list[Scores]]:
    """Learn weights from all sets, and score them by cross-validation.

    ``progress`` hears what is going on and how far, 0..1. Errors: ``InvalidInput`` for fewer groups than folds.
    """
    graph, chains, params = graph or GraphParams(), chains or ChainParams(), params or TrainingParams()
    examples = look_at_all(sets, encode, graph, chains, params, progress, seed)
    scores = [
        score("dense", examples, lambda one: [*one.scene.dense]),
        score("walk", examples, lambda one: guarded(one, one.scene.walked, graph)),
        *cross_validate(examples, encode, graph, chains, params, progress),
    ]
    return ChainRanker(first=fit_trees(examples, 1, params), second=fit_trees(examples, 2, params)), scores


def cross_validate(
    examples: Sequence[Example],
    encode: Encode,
    graph: GraphParams,
    chains: ChainParams,
    params: TrainingParams,
    progress: Callable[[str, float], None] = lambda stage, share: None,
    without: frozenset[str] = frozenset(),
) -> list[Scores]:
    """Score "one look" and "two looks", each question by forests that were grown without its fold.

    The forests do not see the columns ``without``. Examples keep their second look.
    """
    for fold in range(params.folds):
        model = fit_trees([one for one in examples if one.fold != fold], 1, params, without)
        for one in examples:
            if one.fold == fold:
                one.probabilities = model.predict(one.first.candidates.features)
    scores = [score("one look", examples, lambda one: _ranked(one, 1, one.probabilities, graph, chains))]
    for number, one in enumerate(examples):
        one.second = look_again(one.scene, one.first, one.probabilities, chains, encode)
        progress("second look", (number + 1) / len(examples))
    ranked: dict[int, Floats] = {}
    for fold in range(params.folds):
        forest = fit_trees([one for one in examples if one.fold != fold], 2, params, without)
        ranked |= {id(one): forest.predict(one.described(2)[1]) for one in examples if one.fold == fold}
        progress("cross-validation", (fold + 1) / params.folds)
    return [*scores, score("two looks", examples, lambda one: _ranked(one, 2, ranked[id(one)], graph, chains))]


def look_at_all(
    sets: Sequence[Taught],
    encode: Encode,
    graph: GraphParams,
    chains: ChainParams,
    params: TrainingParams,
    progress: Callable[[str, float], None] = lambda stage, share: None,
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
    for seed in range(params.seeds):
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


def _ranked(one: Example, look: int, scores: Floats, graph: GraphParams, chains: ChainParams) -> list[int]:
    rows, _ = one.described(look)
    order = np.lexsort((one.taught.view.orders.rows[rows], -scores.round(12)))
    found, nearest = rows[order].tolist(), one.scene.dense[:1].tolist()
    ahead = stays_ahead(found, scores[order].tolist(), nearest, len(one.scene.question.tokens), chains)
    kept = guarded(one, rows[order], graph)
    return guard(kept, nearest, 2) if ahead else kept


def guarded(one: Example, rows: Ints, graph: GraphParams) -> list[int]:
    """Return a ranking with the passages nearest to the question among its first, as searches do."""
    return guard(rows.tolist(), one.scene.dense[: graph.guard].tolist(), graph.guard_within)


def score(name: str, examples: Sequence[Example], rank: Callable[[Example], list[int]]) -> Scores:
    """Score a way of ranking rows of passages."""
    values: dict[str, dict[int, list[float]]] = {}
    for one in examples:
        documents = list(dict.fromkeys(one.taught.document_of[row] for row in rank(one)))
        for k in KS:
            of_kind = values.setdefault(one.asked.type, {}).setdefault(k, [])
            of_kind.append(recall_at_k(one.asked.gold_ids, documents, k))
    return Scores(name=name, values=values)
