"""Retrieval: documents count once, questions without gold documents not at all, and only a plain search is timed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.console import Console

from evaluation.datasets import Dataset, Question
from evaluation.metrics import Estimate
from evaluation.report import format_estimate, tabulate_retrieval
from evaluation.retrieval_eval import evaluate_retrieval
from memory_graph.errors import InvalidInput

QUESTIONS = (
    Question("q1", "one", ("x",), ("a", "b")),
    Question("q2", "two", (), ("c",)),
    Question("q3", "three", ("x",), ("d", "e")),
    Question("u1", "none", (), ()),
)
DATASET = Dataset("tiny", (), QUESTIONS, "none")
FOUND = {
    "one": ["x", "a", "a", "y", "b", "z"],  # as documents: x a y b z
    "two": ["c", "c", "c", "c"],
    "three": ["p", "q", "r", "s", "t", "d"],
}


class Search:
    """Answers from FOUND, and takes a tick of the clock for every passage asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.now = 0.0

    def __call__(self, question: str, count: int) -> Sequence[str]:
        self.calls.append((question, count))
        self.now += {"one": 0.010, "two": 0.030, "three": 0.020}[question] * count
        return FOUND[question][:count]


def test_scores_by_hand() -> None:
    search = Search()
    report = evaluate_retrieval(DATASET, search, ks=(4, 2), mode="dense", clock=lambda: search.now)
    assert (report.dataset, report.mode, report.n_questions) == ("tiny", "dense", 3)
    # First 2 documents: x a → 1/2; c → 1; p q → 0. First 4: x a y b → 1; c → 1; p q r s → 0.
    assert list(report.recall) == [2, 4]
    assert report.recall[2].mean == pytest.approx(0.5)
    assert report.recall[4].mean == pytest.approx(2 / 3)
    assert report.recall[2].n == 3
    # Ranks 2, 1 and none.
    assert report.mrr.mean == pytest.approx((0.5 + 1 + 0) / 3)
    assert report.recall[2].low == 0
    assert report.recall[2].high == 1
    # Only the searches for 4 passages count: 40, 120 and 80 ms; p95 is 80 + 0.9 · 40.
    assert report.ms_median == pytest.approx(80)
    assert report.ms_p95 == pytest.approx(116)


def test_a_document_with_several_passages_leaves_room_for_the_others() -> None:
    search = Search()
    evaluate_retrieval(DATASET, search, ks=(4,))
    # "one": 4 passages of 3 documents, so 8 are asked for. "two": 4 passages of 1, then 8 brings no more: the end.
    assert search.calls == [("one", 4), ("one", 8), ("two", 4), ("two", 8), ("three", 4)]


def test_a_search_that_finds_nothing_scores_nothing() -> None:
    report = evaluate_retrieval(DATASET, lambda question, count: [])
    assert {k: estimate.mean for k, estimate in report.recall.items()} == {2: 0, 5: 0, 10: 0}
    assert report.mrr.mean == 0
    assert report.ms_p95 >= report.ms_median >= 0


def test_a_set_without_gold_documents_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none of 'tiny' names a gold document"):
        evaluate_retrieval(Dataset("tiny", (), QUESTIONS[3:], "none"), lambda question, count: [])
    for ks in ((), (0, 5)):
        with pytest.raises(InvalidInput, match="ks: must be one number or more"):
            evaluate_retrieval(DATASET, lambda question, count: [], ks=ks)


def test_the_report_is_json() -> None:
    search = Search()
    report = evaluate_retrieval(DATASET, search, ks=(2,), mode="graph", clock=lambda: search.now)
    written = json.loads(json.dumps(report.to_json()))
    assert written["mode"] == "graph"
    assert written["recall"]["2"] == {"mean": 0.5, "low": 0.0, "high": 1.0, "n": 3}
    assert written["ms_median"] == pytest.approx(40)


def test_the_table_has_a_column_for_each_mode_and_fits_80_characters() -> None:
    search = Search()
    reports = [evaluate_retrieval(DATASET, search, ks=ks, mode=f"[{ks}]", clock=lambda: 0.0) for ks in ((2,), (4,))]
    table = tabulate_retrieval(reports)
    console = Console(file=StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "recall@2" in text
    assert "recall@4" in text
    assert "[(2,)]" in text  # and not taken for markup
    assert "50.0 [0.0, 100.0]" in text


def test_scores_are_written_as_percentages_with_their_interval() -> None:
    assert format_estimate(Estimate(0.615, 0.52, 0.7071, 20)) == "61.5 [52.0, 70.7]"
    assert format_estimate(None) == "–"
