"""How well a search finds the documents that carry the answers, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from evaluation.datasets import Dataset
from evaluation.metrics import Estimate, estimate_mean, find_median_and_p95, recall_at_k, reciprocal_rank
from memory_graph.errors import InvalidInput

Search: TypeAlias = Callable[[str, int], Sequence[str]]
"""(question, number of passages) → the document id of each passage, best first."""


@dataclass(frozen=True, kw_only=True)
class RetrievalReport:
    """Retrieval scores in 0..1, means over the ``n_questions`` that have gold documents; times in milliseconds."""

    dataset: str
    mode: str
    n_questions: int
    recall: Mapping[int, Estimate]
    """By k: the share of the gold documents among the first k documents."""
    mrr: Estimate
    """1 / rank of the first gold document, 0 where it is not among the first max(k) documents."""
    ms_median: float
    ms_p95: float

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes."""
        return {
            "dataset": self.dataset,
            "mode": self.mode,
            "n_questions": self.n_questions,
            "recall": {str(k): asdict(estimate) for k, estimate in self.recall.items()},
            "mrr": asdict(self.mrr),
            "ms_median": self.ms_median,
            "ms_p95": self.ms_p95,
        }


def evaluate_retrieval(
    dataset: Dataset,
    search: Search,
    ks: Sequence[int] = (2, 5, 10),
    *,
    mode: str = "search",
    clock: Callable[[], float] = time.perf_counter,
) -> RetrievalReport:
    """Search every question that has gold documents, and score the documents found.

    ``clock`` gives seconds. Errors: ``InvalidInput`` for no ``ks``, one below 1, or a set without gold documents.
    """
    if not ks or min(ks) < 1:
        raise InvalidInput("ks", "must be one number or more, all of them at least 1.")
    questions = [question for question in dataset.questions if question.gold_ids]
    recalls: dict[int, list[float]] = {k: [] for k in sorted(set(ks))}
    ranks: list[float] = []
    times_ms: list[float] = []
    for question in questions:
        ranked, spent_ms = _find_documents(search, question.question, max(ks), clock)
        times_ms.append(spent_ms)
        ranks.append(reciprocal_rank(question.gold_ids, ranked))
        for k, values in recalls.items():
            values.append(recall_at_k(question.gold_ids, ranked, k))
    mrr = estimate_mean(ranks)
    if mrr is None:
        raise InvalidInput("questions", f"none of {dataset.name!r} names a gold document: retrieval cannot be scored.")
    median, p95 = find_median_and_p95(times_ms)
    return RetrievalReport(
        dataset=dataset.name,
        mode=mode,
        n_questions=len(questions),
        recall={k: estimate for k, values in recalls.items() if (estimate := estimate_mean(values))},
        mrr=mrr,
        ms_median=median,
        ms_p95=p95,
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
