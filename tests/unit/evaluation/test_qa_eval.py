"""Answers: every share has the denominator it is defined over, and every verdict can be looked at."""

from __future__ import annotations

import asyncio
import json
from io import StringIO

import pytest
from rich.console import Console

from evaluation.datasets import Dataset, Question
from evaluation.metrics import Estimate
from evaluation.qa_eval import Answered, QaReport, evaluate_answers
from evaluation.report import tabulate_answers, tabulate_costs, tabulate_failures, tabulate_types
from memory_graph.errors import InvalidInput

QUESTIONS = (
    Question("q1", "exact", ("1612",), ("a",), "one-hop"),
    Question("q2", "long", ("Odile Marsh", "Marsh"), ("a", "b"), "two-hop"),
    Question("q3", "wrong", ("Quell",), ("c",), "two-hop"),
    Question("q4", "declined", ("says",), ("d",), "one-hop"),
    Question("r1", "retrieval only", (), ("a",), "one-hop"),
    Question("u1", "refused", (), (), "unanswerable"),
    Question("u2", "invented", (), (), "unanswerable"),
)
NO = "The memory does not say."
REPLIES = {
    # given, supported, gold
    "exact": Answered("1612", True, [("a", True), ("z", False)], True, None, 1.0),
    # given, not supported, gold: precision 2/4, recall 1 → F1 2/3
    "long": Answered("Odile Marsh was mayor", True, [("b", False)], True, None, 2.0),
    # given by a fallback, supported, but a quote does not hold, no gold
    "wrong": Answered("in [Aldery]", True, [("z", True)], False, "generator_timeout: 30 s", 3.0),
    "declined": Answered(NO, False, [], True, None, 4.0),
    "refused": Answered(NO, False, [], True, "generator_timeout: 60 s", 5.0),
    # given without a citation
    "invented": Answered("Bob", True, [], True, "generator_unavailable: refused", 6.0),
}


async def ask(question: str) -> Answered:
    return REPLIES[question]


def evaluate(questions: tuple[Question, ...] = QUESTIONS) -> QaReport:
    return asyncio.run(evaluate_answers(Dataset("tiny", (), questions, "none"), ask))


def check(estimate: Estimate | None, mean: float, n: int) -> None:
    assert estimate is not None
    assert estimate.mean == pytest.approx(mean)
    assert estimate.n == n
    assert estimate.low <= estimate.mean <= estimate.high


def test_scores_by_hand() -> None:
    report = evaluate()
    assert report.dataset == "tiny"
    assert report.n_questions == 6  # not the one that scores retrieval only
    check(report.exact_match, 1 / 4, 4)
    check(report.f1, (1 + 2 / 3 + 0 + 0) / 4, 4)
    check(report.contains_answer, 2 / 4, 4)
    check(report.citations_hold, 1 / 4, 4)  # given: exact, long, wrong, invented
    check(report.cites_gold, 2 / 3, 3)  # not "invented", which has no gold documents
    check(report.declined_correctly, 1 / 2, 2)
    check(report.declined_wrongly, 1 / 4, 4)
    assert report.fallbacks == {"generator_timeout": 2, "generator_unavailable": 1}
    assert report.seconds_median == pytest.approx(3.5)
    assert report.seconds_p95 == pytest.approx(5.75)


def test_scores_by_type_leave_out_unanswerable_questions() -> None:
    by_type = evaluate().by_type
    assert list(by_type) == ["one-hop", "two-hop"]
    check(by_type["one-hop"].exact_match, 1 / 2, 2)
    check(by_type["two-hop"].exact_match, 0, 2)
    check(by_type["two-hop"].f1, 1 / 3, 2)
    check(by_type["two-hop"].contains_answer, 1 / 2, 2)


def test_the_words_of_a_refusal_earn_nothing() -> None:
    row = next(row for row in evaluate().rows if row.id == "q4")
    assert "say" in row.answer
    assert (row.exact_match, row.f1, row.contains_answer) == (0, 0, 0)
    assert (row.citations_hold, row.cites_gold) == (None, None)


def test_rows_keep_what_is_needed_to_look_at_a_failure() -> None:
    rows = {row.id: row for row in evaluate().rows}
    assert list(rows) == ["q1", "q2", "q3", "q4", "u1", "u2"]
    wrong = rows["q3"]
    assert (wrong.question, wrong.expected, wrong.answer) == ("wrong", ("Quell",), "in [Aldery]")
    assert wrong.gold_ids == ("c",)
    assert wrong.cited == (("z", True),)
    assert (wrong.citations_hold, wrong.cites_gold) == (False, False)
    assert wrong.fallback_reason == "generator_timeout: 30 s"
    invented = rows["u2"]
    assert (invented.exact_match, invented.citations_hold, invented.cites_gold) == (None, False, None)


def test_shares_over_nothing_are_none() -> None:
    unanswerable = evaluate(QUESTIONS[5:6])
    assert (unanswerable.exact_match, unanswerable.citations_hold, unanswerable.declined_wrongly) == (None, None, None)
    assert unanswerable.by_type == {}
    check(unanswerable.declined_correctly, 1, 1)
    assert evaluate(QUESTIONS[:1]).declined_correctly is None


def test_a_set_that_scores_only_retrieval_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none of 'tiny' has answers"):
        evaluate(QUESTIONS[4:5])


def test_the_report_is_json() -> None:
    written = json.loads(json.dumps(evaluate().to_json()))
    assert written["exact_match"]["mean"] == 0.25
    assert written["by_type"]["two-hop"]["f1"]["n"] == 2
    assert written["rows"][0]["cited"] == [["a", True], ["z", False]]
    assert written["fallbacks"]["generator_timeout"] == 2


def test_the_tables_show_every_score_and_what_went_wrong() -> None:
    report = evaluate()
    console = Console(file=StringIO(), width=160)
    for table in (tabulate_answers(report), tabulate_types(report), tabulate_costs(report), tabulate_failures(report)):
        console.print(table)
    assert isinstance(console.file, StringIO)
    text = console.file.getvalue()
    assert "exact match" in text
    assert "25.0 [0.0, " in text
    assert "two-hop" in text
    assert "3 of 6" in text  # fallbacks, and what is not right: q3, q4, u2
    assert "generator_timeout" in text
    assert "in [Aldery]" in text  # and not taken for markup
    assert "Not right: 3 of 6" in text
    assert tabulate_failures(report, limit=1).row_count == 1
    assert tabulate_answers(evaluate(QUESTIONS[5:6])).row_count == 7
