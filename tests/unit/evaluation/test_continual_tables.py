"""What people see of a continual evaluation: the tables, the closing lines, and the picture."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console
from rich.table import Table

from evaluation.continual import score_commit
from evaluation.continual_plot import plot_continual
from evaluation.continual_report import ContinualReport, Part, WayReport
from evaluation.continual_tables import say_state, tabulate_reads, tabulate_scores
from evaluation.metrics import Estimate
from evaluation.reads import Availability

NAN = float("nan")
SCORES = np.array([[1.0, 0.5, 0.75], [NAN, NAN, NAN], [NAN, NAN, 0.25]])
PARTS = tuple(
    Part(documents=5, passages=10, questions=questions, versions=1, failed=0, seconds=seconds)
    for questions, seconds in ((4, 1.0), (0, 2.5), (8, 3.0))
)
NOTHING_READ = Availability(
    reads=0, answered=0, failed=0, empty=0, short=0, dips=0, ms_median=None, ms_p95=None, ms_max=None
)
ALL_READ = replace(NOTHING_READ, reads=1200, answered=1200, dips=3, ms_median=12.4, ms_p95=30.0, ms_max=99.6)
SOME_READ = replace(ALL_READ, answered=1199, failed=1, dips=0)


def way_report(name: str) -> WayReport:
    return WayReport(
        way=name,
        scores={5: SCORES},
        pooled={5: [Estimate(share, share, share, 4) for share in (1.0, 0.5, 5 / 12)]},
        metrics={5: [score_commit(SCORES, n, (2,)) for n in range(3)]},
        reads=[NOTHING_READ, ALL_READ, SOME_READ],
        at_once={5: Estimate(0.5, 0.25, 0.75, 12)},
        ranked_differently=2,
    )


REPORT = ContinualReport(
    dataset="a [set]",
    order="file",
    seed=0,
    windows=(2,),
    parts=PARTS,
    ways=[way_report("dense"), way_report("graph")],
    differences=[],
)


def lines(table: Table) -> list[list[str]]:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(table)
    return [line.split() for line in captured.get().splitlines()]


def test_scores_stand_under_their_commit() -> None:
    found = lines(tabulate_scores(REPORT, REPORT.ways[0], 5))
    assert ["part", "1", "4", "100.0", "50.0", "75.0"] in found
    assert ["part", "2", "0", "–", "–"] in found
    assert ["part", "3", "8", "25.0"] in found
    assert ["all", "asked", "12", "100.0", "50.0", "41.7"] in found
    assert ["A", "=", "ACC", "100.0", "50.0", "50.0"] in found
    assert ["F", "–", "50.0", "25.0"] in found
    assert ["LA", "–", "–", "25.0"] in found
    assert ["FORG", "–", "50.0", "25.0"] in found
    assert ["min-ACC", "–", "50.0", "50.0"] in found
    assert ["WC-ACC", "100.0", "50.0", "37.5"] in found
    assert ["WF^2", "–", "50.0", "50.0"] in found
    assert ["WP^2", "–", "-50.0", "25.0"] in found
    assert "[set]" in found[0] + found[1]


def test_one_read_that_failed_is_not_all_answered() -> None:
    found = lines(tabulate_reads(REPORT))
    assert ["1", "dense", "0", "–", "0", "0", "0", "0", "–", "1.0"] in found
    assert ["2", "graph", "1,200", "100.0", "%", "0", "0", "0", "3", "12", "/", "30", "/", "100", "2.5"] in found
    assert ["3", "graph", "1,200", "99.9", "%", "1", "0", "0", "0", "12", "/", "30", "/", "100", "3.0"] in found


def test_ten_commits_fit_a_terminal_of_80() -> None:
    ten = np.triu(np.ones((10, 10)))
    ten[np.tril_indices(10, -1)] = NAN
    way = replace(
        REPORT.ways[0],
        scores={5: ten},
        pooled={5: [Estimate(1.0, 1.0, 1.0, 9)] * 10},
        metrics={5: [score_commit(ten, n, (2,)) for n in range(10)]},
    )
    report = replace(REPORT, parts=[PARTS[0]] * 10)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(tabulate_scores(report, way, 5))
    assert "…" not in captured.get()
    assert captured.get().count("100.0") >= 55 + 10


def test_equal_is_said_and_what_differs_is_listed() -> None:
    first, *rest = say_state(REPORT, 5)
    assert first == "The final state equals one ingestion of everything (vectors reused by text)."
    assert rest[0] == (
        "recall@5, dense: 41.7 [41.7, 41.7] after 3 commits, 50.0 [25.0, 75.0] at once; 2 questions ranked differently."
    )
    other = replace(
        REPORT,
        differences=["phrases: 1 only in the first, as 'ada'"],
        parts=[PARTS[0], replace(PARTS[1], versions=2), replace(PARTS[2], failed=3)],
    )
    said = say_state(other, 5)
    assert said[:2] == [
        "The final state (first) differs from one ingestion of everything (second):",
        "  phrases: 1 only in the first, as 'ada'",
    ]
    assert said[-2:] == ["Parts that took more than one transaction: 2.", "3 documents could not be learned."]


SVG = "{http://www.w3.org/2000/svg}"


def read_points(root: ElementTree.Element, name: str) -> list[tuple[float, float]]:
    """Return where a line of the picture bends, y downwards, as SVG counts."""
    (group,) = [one for one in root.iter(f"{SVG}g") if one.get("id") == name]
    path = group.find(f"{SVG}path")
    assert path is not None
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))]


def test_the_picture_shows_the_numbers(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the bench extra is not installed")
    plot_continual(REPORT, 5, tmp_path / "one.svg")
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    assert root.tag == f"{SVG}svg"
    texts = {text.text for text in root.iter(f"{SVG}text")}
    assert {"a [set]: 3 commits in file order", "dense", "graph", "recall@5, %", "reads answered, %"} <= texts
    assert {"A", "min-ACC", "WC-ACC", "a part's questions", "commit (2,400 reads in all)"} <= texts
    for way in ("dense", "graph"):
        part = read_points(root, f"{way}-part-1")
        average = read_points(root, f"{way}-average")
        worst = read_points(root, f"{way}-worst_case")
        # 100, 50 and 75 %: the second point is twice as far below the first as the third.
        height = part[1][1] - part[0][1]
        assert height > 0
        assert part[2][1] - part[0][1] == pytest.approx(height / 2, abs=0.01)
        assert [y for _, y in average] == pytest.approx([part[0][1], part[1][1], part[1][1]], abs=0.01)
        assert worst[2][1] - part[0][1] == pytest.approx(height * 1.25, abs=0.01)
        # The last part was asked once, under the last commit; the part without questions is not drawn.
        ((x, y),) = read_points(root, f"{way}-part-3")
        assert (x, y - part[0][1]) == (pytest.approx(part[2][0]), pytest.approx(height * 1.5, abs=0.01))
        assert not [one for one in root.iter(f"{SVG}g") if one.get("id") == f"{way}-part-2"]
        assert [x for x, _ in read_points(root, f"{way}-min_accuracy")] == [x for x, _ in part[1:]]
        reads = read_points(root, f"{way}-availability")
        assert [x for x, _ in reads] == pytest.approx([x for x, _ in part[1:]])
        assert reads[1][1] > reads[0][1]


def test_equal_reports_make_equal_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the bench extra is not installed")
    for name in ("one.svg", "two.svg"):
        plot_continual(REPORT, 5, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
