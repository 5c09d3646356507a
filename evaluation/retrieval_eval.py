"""How well a search finds the documents that carry the answers, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from evaluation.datasets import Dataset, Question
from evaluation.metrics import (
    Estimate,
    all_gold_at_k,
    estimate_difference,
    estimate_mean,
    find_median_and_p95,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank,
)
from evaluation.searches import Search, rank_documents
from memory_graph.errors import InvalidInput

KS = (2, 5, 10)
AT_K = {"recall": recall_at_k, "all_gold": all_gold_at_k, "ndcg": ndcg_at_k}
MRR = "mrr"
OTHER = "other"
"""The stage that stands for what passed between the stages."""

Scores: TypeAlias = Mapping[str, Estimate]
"""By measure (``recall@5``, ``all_gold@5``, ``ndcg@10``, ``mrr``), each a mean over the same questions, in 0..1."""


@dataclass(frozen=True, kw_only=True)
class RankedQuestion:
    """What a search found for one question: the documents, best first, and their scores in 0..1 by measure.

    ``stages_ms`` are parts of ``ms``, empty where the search tells none.
    """

    id: str
    type: str
    gold_ids: tuple[str, ...]
    ranked: tuple[str, ...]
    scores: Mapping[str, float]
    ms: float
    stages_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Times:
    """The median and the 95th percentile of times in milliseconds."""

    median: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class RetrievalReport:
    """How one way of searching did on the questions that have gold documents; times in milliseconds."""

    dataset: str
    way: str
    scores: Scores
    by_type: Mapping[str, Scores]
    """By the questions' type, in the order of the questions."""
    ms_median: float
    ms_p95: float
    rows: tuple[RankedQuestion, ...]

    @property
    def n_questions(self) -> int:
        """How many questions were scored."""
        return len(self.rows)

    @property
    def recall(self) -> dict[int, Estimate]:
        """Recall by k."""
        return {
            int(name.removeprefix("recall@")): one for name, one in self.scores.items() if name.startswith("recall@")
        }

    @property
    def stages(self) -> dict[str, Times]:
        """Times by stage, as they follow one another, and ``OTHER`` last; empty where the search tells none.

        All are over the same searches: a stage that one went without took no time in it.
        """
        names = merge_orders([list(row.stages_ms) for row in self.rows])
        if not names:
            return {}
        spent = {name: [row.stages_ms.get(name, 0.0) for row in self.rows] for name in names}
        spent[OTHER] = [row.ms - sum(row.stages_ms.values()) for row in self.rows]
        return {name: _time(values) for name, values in spent.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes, without the rows."""
        return {
            "dataset": self.dataset,
            "way": self.way,
            "n_questions": self.n_questions,
            **nest_scores(self.scores),
            "by_type": {type: nest_scores(scores) for type, scores in self.by_type.items()},
            "ms_median": self.ms_median,
            "ms_p95": self.ms_p95,
            "stages": {name: asdict(times) for name, times in self.stages.items()},
        }


def merge_orders(orders: Sequence[Sequence[str]]) -> list[str]:
    """Return all names once; a name that the orders before lack stands behind the one that it follows in its own."""
    merged: list[str] = []
    for order in orders:
        place = 0
        for name in order:
            if name not in merged:
                merged.insert(place, name)
            place = merged.index(name) + 1
    return merged


def list_measures(ks: Sequence[int] = KS) -> list[str]:
    """Name the measures: each of those that look at the first k documents for every k, then the reciprocal rank."""
    return [*(f"{name}@{k}" for name in AT_K for k in ks), MRR]


def evaluate_retrieval(
    dataset: Dataset,
    search: Search,
    ks: Sequence[int] = KS,
    *,
    way: str = "search",
    clock: Callable[[], float] = time.perf_counter,
) -> RetrievalReport:
    """Search every question that has gold documents, and score the first max(``ks``) documents found.

    ``clock`` gives seconds. Errors: ``InvalidInput`` for no ``ks``, one below 1, or a set without gold documents.
    """
    if not ks or min(ks) < 1:
        raise InvalidInput("ks", "must be one number or more, all of them at least 1.")
    ks = sorted(set(ks))
    rows = tuple(_rank(question, search, ks, clock) for question in dataset.questions if question.gold_ids)
    if not rows:
        raise InvalidInput("questions", f"none of {dataset.name!r} names a gold document: retrieval cannot be scored.")
    whole = _time([row.ms for row in rows])
    types = dict.fromkeys(row.type for row in rows)
    return RetrievalReport(
        dataset=dataset.name,
        way=way,
        scores=_estimate(rows),
        by_type={type: _estimate([row for row in rows if row.type == type]) for type in types},
        ms_median=whole.median,
        ms_p95=whole.p95,
        rows=rows,
    )


def compare_reports(report: RetrievalReport, against: RetrievalReport) -> Scores:
    """Return how much more ``report`` scores than ``against``, by measure: paired differences in -1..1.

    Errors: ``InvalidInput`` where they are not of the same questions.
    """
    if [row.id for row in report.rows] != [row.id for row in against.rows]:
        raise InvalidInput("against", "is of other questions: only scores of the same questions can be paired.")
    return {
        name: estimate_difference(_values(report.rows, name), _values(against.rows, name))
        for name in report.scores
        if name in against.scores
    }


def nest_scores(scores: Scores) -> dict[str, Any]:
    """Return scores as JSON has them: ``{"recall": {"5": {"mean", "low", "high", "n"}}, …, "mrr": {…}}``."""
    nested: dict[str, Any] = {}
    for measure, estimate in scores.items():
        name, _, k = measure.partition("@")
        (nested.setdefault(name, {}) if k else nested)[k or name] = asdict(estimate)
    return nested


def _rank(question: Question, search: Search, ks: Sequence[int], clock: Callable[[], float]) -> RankedQuestion:
    start = clock()
    first = search(question.question, max(ks))
    # The deeper searches are not timed: a user who asks for so many passages does not wait for them.
    spent_ms = (clock() - start) * 1000
    ranked = rank_documents(search, question.question, max(ks), first)
    scores = {f"{name}@{k}": score(question.gold_ids, ranked, k) for name, score in AT_K.items() for k in ks}
    return RankedQuestion(
        id=question.id,
        type=question.type,
        gold_ids=question.gold_ids,
        ranked=tuple(ranked),
        scores=scores | {MRR: reciprocal_rank(question.gold_ids, ranked)},
        ms=spent_ms,
        stages_ms=first.stages_ms,
    )


def _estimate(rows: Sequence[RankedQuestion]) -> Scores:
    estimates = {name: estimate_mean(_values(rows, name)) for name in rows[0].scores}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def _time(values: Sequence[float]) -> Times:
    median, p95 = find_median_and_p95(values)
    return Times(median=median, p95=p95)


def _values(rows: Sequence[RankedQuestion], measure: str) -> list[float]:
    return [row.scores[measure] for row in rows]
