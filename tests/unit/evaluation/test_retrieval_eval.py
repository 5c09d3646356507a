"""Retrieval: documents count once, questions without gold documents not at all, and only a plain search is timed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from evaluation.datasets import Dataset, Question
from evaluation.metrics import Estimate
from evaluation.report import (
    format_difference,
    format_estimate,
    tabulate_differences,
    tabulate_retrieval,
    tabulate_retrieval_types,
    tabulate_stages,
)
from evaluation.retrieval_eval import (
    RetrievalReport,
    Times,
    compare_reports,
    evaluate_retrieval,
    list_measures,
    merge_orders,
)
from evaluation.searches import Found
from memory_graph.errors import InvalidInput

QUESTIONS = (
    Question("q1", "one", ("x",), ("a", "b"), "two-hop"),
    Question("q2", "two", (), ("c",), "one-hop"),
    Question("q3", "three", ("x",), ("d", "e"), "two-hop"),
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

    def __call__(self, question: str, count: int) -> Found:
        self.calls.append((question, count))
        self.now += {"one": 0.010, "two": 0.030, "three": 0.020}[question] * count
        return Found(FOUND[question][:count])


def test_scores_by_hand() -> None:
    search = Search()
    report = evaluate_retrieval(DATASET, search, ks=(4, 2), way="dense", clock=lambda: search.now)
    assert (report.dataset, report.way, report.n_questions) == ("tiny", "dense", 3)
    assert list(report.scores) == list_measures((2, 4))
    means = {measure: estimate.mean for measure, estimate in report.scores.items()}
    third = math.log2(3)
    assert means == pytest.approx(
        {
            # First 2 documents: x a → 1/2; c → 1; p q → 0. First 4: x a y b → 1; c → 1; p q r s → 0.
            "recall@2": 0.5,
            "recall@4": 2 / 3,
            "all_gold@2": 1 / 3,
            "all_gold@4": 2 / 3,
            # q1 has its gold documents at ranks 2 and 4, q2 at rank 1.
            "ndcg@2": ((1 / third) / (1 + 1 / third) + 1) / 3,
            "ndcg@4": ((1 / third + 1 / math.log2(5)) / (1 + 1 / third) + 1) / 3,
            # Ranks 2, 1 and none.
            "mrr": (0.5 + 1 + 0) / 3,
        }
    )
    assert report.recall == {2: report.scores["recall@2"], 4: report.scores["recall@4"]}
    assert (report.scores["recall@2"].low, report.scores["recall@2"].high, report.scores["recall@2"].n) == (0, 1, 3)
    # Only the searches for 4 passages count: 40, 120 and 80 ms; p95 is 80 + 0.9 · 40.
    assert report.ms_median == pytest.approx(80)
    assert report.ms_p95 == pytest.approx(116)


def test_scores_by_type() -> None:
    report = evaluate_retrieval(DATASET, Search(), ks=(2, 4))
    assert list(report.by_type) == ["two-hop", "one-hop"]  # as the questions come
    assert report.by_type["two-hop"]["recall@4"].mean == pytest.approx(0.5)
    assert report.by_type["two-hop"]["recall@4"].n == 2
    assert report.by_type["one-hop"]["mrr"] == Estimate(1, 1, 1, 1)


def test_the_rows_say_what_was_found() -> None:
    report = evaluate_retrieval(DATASET, Search(), ks=(4,))
    assert [(row.id, row.ranked) for row in report.rows] == [
        ("q1", ("x", "a", "y", "b")),
        ("q2", ("c",)),
        ("q3", ("p", "q", "r", "s")),
    ]
    assert report.rows[0].scores["all_gold@4"] == 1


def test_a_document_with_several_passages_leaves_room_for_the_others() -> None:
    search = Search()
    evaluate_retrieval(DATASET, search, ks=(4,))
    # "one": 4 passages of 3 documents, so 8 are asked for. "two": 4 passages of 1, then 8 brings no more: the end.
    assert search.calls == [("one", 4), ("one", 8), ("two", 4), ("two", 8), ("three", 4)]


def test_a_search_that_finds_nothing_scores_nothing() -> None:
    report = evaluate_retrieval(DATASET, lambda question, count: Found([]))
    assert {measure: estimate.mean for measure, estimate in report.scores.items()} == dict.fromkeys(list_measures(), 0)
    assert report.ms_p95 >= report.ms_median >= 0


def test_a_set_without_gold_documents_is_refused() -> None:
    with pytest.raises(InvalidInput, match="none of 'tiny' names a gold document"):
        evaluate_retrieval(Dataset("tiny", (), QUESTIONS[3:], "none"), lambda question, count: Found([]))
    for ks in ((), (0, 5)):
        with pytest.raises(InvalidInput, match="ks: must be one number or more"):
            evaluate_retrieval(DATASET, lambda question, count: Found([]), ks=ks)


def test_the_report_is_json() -> None:
    search = Search()
    report = evaluate_retrieval(DATASET, search, ks=(2,), way="graph", clock=lambda: search.now)
    written = json.loads(json.dumps(report.to_json()))
    assert written["way"] == "graph"
    assert written["n_questions"] == 3
    assert written["recall"]["2"] == {"mean": 0.5, "low": 0.0, "high": 1.0, "n": 3}
    assert set(written["by_type"]["one-hop"]) == {"recall", "all_gold", "ndcg", "mrr"}
    assert written["by_type"]["one-hop"]["mrr"]["mean"] == 1
    assert written["ms_median"] == pytest.approx(40)


def evaluate(way: str, found: dict[str, list[str]], ks: Sequence[int] = (2, 5, 10)) -> RetrievalReport:
    return evaluate_retrieval(
        DATASET, lambda question, count: Found(found.get(question, [])[:count]), ks, way=way, clock=lambda: 0.0
    )


def test_two_ways_are_compared_question_by_question() -> None:
    dense, graph = evaluate("dense", FOUND), evaluate("graph", FOUND | {"three": ["d", "p", "e"]})
    compared = compare_reports(graph, dense)
    assert list(compared) == list_measures()
    # At 2 the graph has d of d, e where dense has nothing, at 5 both; the other questions are found alike.
    assert compared["recall@2"].mean == pytest.approx((0 + 0 + 0.5) / 3)
    assert compared["all_gold@5"] == Estimate(pytest.approx(1 / 3), 0.0, 1.0, 3)
    assert compare_reports(dense, graph)["recall@2"].mean == pytest.approx(-0.5 / 3)


def test_other_questions_are_not_compared() -> None:
    other = evaluate_retrieval(Dataset("tiny", (), QUESTIONS[1:], "none"), Search())
    with pytest.raises(InvalidInput, match="against: is of other questions"):
        compare_reports(evaluate("dense", FOUND), other)


def printed(table: Table | None) -> str:
    assert table is not None
    console = Console(file=StringIO(), width=80)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_table_has_a_column_for_each_way_and_fits_80_characters() -> None:
    reports = [evaluate(f"[{ks}]", FOUND, ks) for ks in ((2,), (5, 10))]
    text = printed(tabulate_retrieval(reports))
    for label in ("recall@2", "recall@5", "recall@10", "all-gold@5", "nDCG@10", "MRR"):
        assert label in text
    assert "nDCG@2" not in text
    assert "[(2,)]" in text  # and not taken for markup
    assert "50.0 [0.0, 100.0]" in text


def test_types_have_a_table_where_there_are_several() -> None:
    reports = [evaluate("dense", FOUND), evaluate("graph", {})]
    text = printed(tabulate_retrieval_types(reports))
    (line,) = [line for line in text.splitlines() if "two-hop" in line]
    assert [cell.strip() for cell in line.strip("│").split("│")] == [
        "two-hop",
        "2",
        "50.0 [0.0, 100.0]",
        "0.0 [0.0, 0.0]",
    ]
    one_type = Dataset("tiny", (), (QUESTIONS[0],), "none")
    assert tabulate_retrieval_types([evaluate_retrieval(one_type, Search())]) is None
    assert tabulate_retrieval_types([evaluate("dense", FOUND, (2, 4))]) is None


def timed(way: str, *stages: dict[str, float], whole_ms: float = 10.0) -> RetrievalReport:
    """Evaluate the three questions by a search that tells these stages of each and takes ``whole_ms``."""
    told, now = iter(stages), [0.0]

    def search(question: str, count: int) -> Found:
        now[0] += whole_ms / 1000
        return Found(list("abcdefghij"), next(told))

    return evaluate_retrieval(DATASET, search, way=way, clock=lambda: now[0])


DENSE = ({"view": 1, "embed": 4, "read": 1}, {"view": 1, "embed": 2, "read": 1}, {"view": 1, "embed": 3, "read": 1})
GRAPH = (
    {"view": 1, "embed": 1, "read": 1},
    {"view": 1, "embed": 1, "walk": 6, "read": 1},
    {"view": 1, "embed": 1, "walk": 2, "chain": 1, "read": 1},
)


def test_stages_are_timed_over_all_searches_and_the_rest_is_told() -> None:
    report = timed("graph", *GRAPH)
    assert list(report.stages) == ["view", "embed", "walk", "chain", "read", "other"]
    # A search that did not walk took no time for it: 0, 6 and 2 ms.
    assert report.stages["walk"] == Times(median=2, p95=pytest.approx(5.6))
    # What is left of 10 ms each: 7, 1 and 4.
    assert report.stages["other"] == Times(median=pytest.approx(4), p95=pytest.approx(6.7))
    assert report.to_json()["stages"]["chain"] == {"median": 0, "p95": pytest.approx(0.9)}
    assert timed("dense", *DENSE, whole_ms=6).stages["other"].median == pytest.approx(1)


def test_a_search_that_tells_no_stages_has_none() -> None:
    report = evaluate("dense", FOUND)
    assert report.stages == report.to_json()["stages"] == {}
    assert tabulate_stages([report]) is None


def test_only_the_plain_search_tells_its_stages() -> None:
    stages = iter([{"walk": 1.0}, {"walk": 9.0}])
    dataset = Dataset("tiny", (), (QUESTIONS[0],), "none")
    report = evaluate_retrieval(dataset, lambda question, count: Found(["a"] * min(count, 12), next(stages)))
    assert report.stages["walk"] == Times(median=1, p95=1)


def test_stages_of_several_ways_stand_in_the_order_in_which_they_run() -> None:
    assert merge_orders([["a", "z"], ["a", "m", "z"], ["b", "a", "m", "n", "z"]]) == ["b", "a", "m", "n", "z"]
    text = printed(tabulate_stages([timed("dense", *DENSE), timed("graph", *GRAPH), evaluate("parity", FOUND)]))
    assert "Time of a search by stage, ms" in text
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line[0] == "│"]
    assert [row[0] for row in rows] == ["view", "embed", "walk", "chain", "read", "other", "the whole search"]
    assert rows[2] == ["walk", "–", "2.00 / 5.60", "–"]
    assert rows[-1] == ["the whole search", "10.00 / 10.00", "10.00 / 10.00", "0.00 / 0.00"]


def test_differences_have_a_table_where_there_are_several_ways() -> None:
    dense, graph = evaluate("dense", FOUND), evaluate("graph", FOUND | {"three": ["d", "p", "e"]})
    text = printed(tabulate_differences([dense, graph]))
    assert "Difference to dense" in text
    (line,) = [line for line in text.splitlines() if "recall@2" in line]
    assert "+16.7 [+0.0, +50.0]" in line
    assert tabulate_differences([dense]) is None


def test_scores_are_written_as_percentages_with_their_interval() -> None:
    assert format_estimate(Estimate(0.615, 0.52, 0.7071, 20)) == "61.5 [52.0, 70.7]"
    assert format_estimate(None) == "–"
    assert format_difference(Estimate(0.093, -0.0001, 0.1424, 20)) == "+9.3 [+0.0, +14.2]"
    assert format_difference(Estimate(-0.05, -0.15, 0.0, 20)) == "-5.0 [-15.0, +0.0]"
