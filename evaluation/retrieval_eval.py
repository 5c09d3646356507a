"""How well a search finds the documents that carry the answers, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
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
from memory_graph.errors import InvalidInput

Search: TypeAlias = Callable[[str, int], Sequence[str]]
"""(question, number of passages) → the document id of each passage, best first."""

KS = (2, 5, 10)
AT_K = {"recall": recall_at_k, "all_gold": all_gold_at_k, "ndcg": ndcg_at_k}
MRR = "mrr"

Scores: TypeAlias = Mapping[str, Estimate]
"""By measure (``recall@5``, ``all_gold@5``, ``ndcg@10``, ``mrr``), each a mean over the same questions, in 0..1."""


@dataclass(frozen=True, kw_only=True)
class RankedQuestion:
    """What a search found for one question: the documents, best first, and their scores in 0..1 by measure."""

    id: str
    type: str
    gold_ids: tuple[str, ...]
    ranked: tuple[str, ...]
    scores: Mapping[str, float]
    ms: float


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
        }


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
    median, p95 = find_median_and_p95([row.ms for row in rows])
    types = dict.fromkeys(row.type for row in rows)
    return RetrievalReport(
        dataset=dataset.name,
        way=way,
        scores=_estimate(rows),
        by_type={type: _estimate([row for row in rows if row.type == type]) for type in types},
        ms_median=median,
        ms_p95=p95,
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
    ranked, spent_ms = _find_documents(search, question.question, max(ks), clock)
    scores = {f"{name}@{k}": score(question.gold_ids, ranked, k) for name, score in AT_K.items() for k in ks}
    return RankedQuestion(
        id=question.id,
        type=question.type,
        gold_ids=question.gold_ids,
        ranked=tuple(ranked),
        scores=scores | {MRR: reciprocal_rank(question.gold_ids, ranked)},
        ms=spent_ms,
    )


def _find_documents(search: Search, question: str, count: int, clock: Callable[[], float]) -> tuple[list[str], float]:
    """Return the first ``count`` documents, each once at its best rank, and the milliseconds of a plain search.

    Where the passages come from fewer documents, deeper searches fetch the rest. They are not timed: a user who asks
    for ``count`` passages does not wait for them.
    """
    start = clock()
    passages = search(question, count)
    spent_ms = (clock() - start) * 1000
    depth = count
    while len(set(passages)) < count and len(passages) >= depth:
        depth *= 2
        passages = search(question, depth)
    return list(dict.fromkeys(passages))[:count], spent_ms


def _estimate(rows: Sequence[RankedQuestion]) -> Scores:
    estimates = {name: estimate_mean(_values(rows, name)) for name in rows[0].scores}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def _values(rows: Sequence[RankedQuestion], measure: str) -> list[float]:
    return [row.scores[measure] for row in rows]
