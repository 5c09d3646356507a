"""Conditions: what is OK, what fails, what is skipped, and the tables that are made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.condition_file import read_conditions
from evaluation.conditions import (
    Condition,
    Verdict,
    check_conditions,
    choose_conditions,
    describe_verdict,
    make_markdown,
)
from evaluation.metrics import Estimate
from evaluation.retrieval_eval import Scores, list_measures
from evaluation.ways import Way
from memory_graph.errors import InvalidInput

REPOSITORY = Path(__file__).parents[3]
_TABLE = re.compile(r"<!-- conditions:begin -->\n(.*?)<!-- conditions:end -->", re.DOTALL)


def condition(
    name: str, set: str = "tiny", *, mode: str = "graph", tolerance: float = 0.5, **expect: float
) -> Condition:
    way = Way(mode="dense" if mode == "dense" else "graph")
    return Condition(name=name, set=set, way=way, tolerance=tolerance, expect=expect or {"recall@5": 61.5})


class Measured:
    """Gives every condition the same score, and remembers which came together."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.calls: list[tuple[Path, list[str]]] = []

    def __call__(self, folder: Path, conditions: Sequence[Condition]) -> Iterator[Scores]:
        self.calls.append((folder, [condition.name for condition in conditions]))
        for _ in conditions:
            yield {measure: Estimate(self.share, 0, 1, 10) for measure in list_measures()}


@pytest.mark.parametrize(
    ("share", "state"),
    [(0.615, "OK"), (0.62, "OK"), (0.61, "OK"), (0.6201, "FAIL"), (0.6099, "FAIL"), (1.0, "FAIL")],
)
def test_a_score_may_be_off_by_the_tolerance_on_either_side(tmp_path: Path, share: float, state: str) -> None:
    (tmp_path / "tiny").mkdir()
    (verdict,) = check_conditions([condition("a")], [tmp_path], Measured(share))
    assert verdict.state == state
    assert verdict.missed("recall@5") == (state == "FAIL")


def test_one_score_that_is_off_fails_the_condition(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    claim = condition("a", **{"recall@5": 50, "mrr": 60})
    (verdict,) = check_conditions([claim], [tmp_path], Measured(0.5))
    assert verdict.state == "FAIL"
    assert describe_verdict(verdict) == "FAIL    a: recall@5 50.00 (50.0), MRR 50.00 (not 60.0), each ± 0.5"


def test_a_set_is_measured_once_and_one_that_is_not_there_is_skipped(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first / "both", second / "both", second / "tiny"):
        folder.mkdir(parents=True)
    (first / "file").write_text("")
    claims = [condition("a"), condition("b", "absent"), condition("c", "both"), condition("d"), condition("e", "file")]
    measure = Measured(0.615)
    verdicts = list(check_conditions(claims, [first, second], measure))
    assert measure.calls == [(second / "tiny", ["a", "d"]), (first / "both", ["c"])]
    assert {verdict.condition.name: verdict.state for verdict in verdicts} == {
        "a": "OK",
        "d": "OK",
        "b": "SKIPPED",
        "c": "OK",
        "e": "SKIPPED",
    }
    assert describe_verdict(verdicts[2]) == "SKIPPED b: there is no folder absent"


def test_what_learns_the_same_is_measured_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        (root / "tiny").mkdir(parents=True)
    (second / "tiny" / "openie.jsonl").write_text("")
    triples = [replace(condition(name), openie="openie.jsonl") for name in "bd"]
    absent = replace(condition("e"), openie="other.jsonl")
    measure = Measured(0.615)
    claims = [condition("a"), triples[0], condition("c"), triples[1], absent]
    *_, skipped = list(check_conditions(claims, [first, second], measure))
    assert measure.calls == [(first / "tiny", ["a", "c"]), (second / "tiny", ["b", "d"])]
    assert describe_verdict(skipped) == "SKIPPED e: there is no file tiny/other.jsonl"
    assert "| d | tiny, openie.jsonl |" in make_markdown(claims)


def test_conditions_are_chosen_by_name() -> None:
    claims = [condition("a"), condition("b"), condition("c")]
    assert choose_conditions(claims, []) == claims
    assert choose_conditions(claims, ["c", "a"]) == [claims[0], claims[2]]
    with pytest.raises(InvalidInput, match=r"NAME: there is no condition 'd'. There are: a, b, c"):
        choose_conditions(claims, ["a", "d"])


def test_a_verdict_is_json() -> None:
    claim = condition("a", mode="dense", **{"recall@5": 61.5})
    scores = {"recall@5": Estimate(0.5, 0, 1, 10)}
    written = json.loads(json.dumps(Verdict(condition=claim, state="FAIL", measured=scores).to_json()))
    assert written == {
        "name": "a",
        "state": "FAIL",
        "set": "tiny",
        "command": "sharpwave eval tiny --mode dense",
        "tolerance": 0.005,
        "scores": {"recall@5": {"expected": 0.615, "measured": 0.5, "ok": False}},
    }
    skipped = Verdict(condition=claim, state="SKIPPED").to_json()
    assert skipped["scores"] == {"recall@5": {"expected": 0.615, "measured": None, "ok": None}}


def test_the_table_has_a_row_for_each_condition() -> None:
    claim = Condition(
        name="a", set="x|y", way=Way(walk="exact"), limit=7, tolerance=1, expect={"recall@5": 61.54, "all_gold@5": 40}
    )
    heading, rule, row = make_markdown([claim]).splitlines()
    assert heading.split(" | ")[3:] == ["recall@2", "recall@5", "recall@10", "all-gold@5", "nDCG@10", "MRR", "± |"]
    assert rule.count("|") == heading.count("|")
    assert row == r"| a | x\|y (7 questions) | graph,walk=exact | – | 61.5 | – | 40.0 | – | – | 1.0 |"


def test_the_shipped_conditions_hold_the_samples_in_both_modes() -> None:
    modes = {claim.way.mode for claim in read_conditions() if claim.set == "samples" and not claim.limit}
    assert modes >= {"dense", "graph"}
    assert (REPOSITORY / "samples" / "questions.jsonl").exists()


def test_the_pages_show_what_the_conditions_expect() -> None:
    shown = {
        str(path.relative_to(REPOSITORY)): table
        for path in [REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")]
        for table in _TABLE.findall(path.read_text("utf-8"))
    }
    assert "docs/evaluation.md" in shown
    expected = make_markdown(read_conditions())
    for page, table in shown.items():
        assert table.strip() == expected.strip(), f"{page}: put in what `sharpwave eval --check --markdown` prints"
