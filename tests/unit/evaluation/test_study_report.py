"""Ablations and sweeps as rows of cells, in the terminal and as Markdown."""

from __future__ import annotations

from rich.console import Console

from evaluation.ablations import Ablation
from evaluation.metrics import Estimate
from evaluation.study_report import lay_out, list_ablations, list_tried, to_markdown
from evaluation.sweep import Tried


def _recall(*means: float) -> dict[int, Estimate]:
    return {k: Estimate(mean, mean - 0.1, mean + 0.1, 7) for k, mean in zip((2, 5, 10), means, strict=True)}


WHOLE = Ablation(name="the walk", recall=_recall(0.5, 0.6, 0.7), differences={})
LESS = Ablation(name="without | words", recall=_recall(0.4, 0.6, 0.7), differences=_recall(-0.1, 0, 0))
RANKER = Ablation(name="the chain ranker", recall=_recall(0.6, 0.8, 0.9), differences={})


def test_a_kind_of_question_has_one_table_for_all_rankings() -> None:
    tables = list_ablations({"walk": {"a": [WHOLE, LESS], "b": [WHOLE]}, "chain": {"a": [RANKER], "b": [RANKER]}})
    assert list(tables) == ["a", "b"]
    assert tables["a"] == [
        ["a (7)", "@2", "@5", "@10", "difference @2", "difference @5", "difference @10"],
        ["the walk", "50.0", "60.0", "70.0", "", "", ""],
        ["without | words", "40.0", "60.0", "70.0", "-10.0 [-20.0, +0.0]", *["+0.0 [-10.0, +10.0]"] * 2],
        ["the chain ranker", "60.0", "80.0", "90.0", "", "", ""],
    ]
    assert [row[0] for row in tables["b"][1:]] == ["the walk", "the chain ranker"]


def test_a_value_has_a_row_and_the_default_is_marked() -> None:
    recall = {"a": _recall(0.5, 0.6, 0.7), "b": _recall(0.1, 0.2, 0.3)}
    tried = [Tried(parameter="seeds", value=value, is_default=value == 200, recall=recall) for value in (50, 200)]
    assert list_tried(tried) == [
        ["recall @2 / @5 / @10", "a (7)", "b (7)"],
        ["seeds 50", "50.0 / 60.0 / 70.0", "10.0 / 20.0 / 30.0"],
        ["seeds 200 (default)", "50.0 / 60.0 / 70.0", "10.0 / 20.0 / 30.0"],
    ]


def test_a_table_is_laid_out_as_it_stands() -> None:
    cells = [["a", "[b]"], ["x | y", "1 [0, 2]"]]
    assert to_markdown(cells) == "| a | [b] |\n| --- | ---: |\n| x \\| y | 1 [0, 2] |\n"
    console = Console(width=60)
    with console.capture() as printed:
        console.print(lay_out(cells))
    assert "[b]" in printed.get()
    assert "1 [0, 2]" in printed.get()
