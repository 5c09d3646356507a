"""The continual evaluation as tables for people; scores are percentages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from evaluation.continual import ContinualScores
from evaluation.continual_report import ContinualReport, WayReport
from evaluation.report import format_estimate

NOTHING = "–"


def tabulate_scores(report: ContinualReport, way: WayReport, k: int) -> Table:
    """Lay out one way by commit (columns): the recall of each part's questions, then of all, then the metrics."""
    table = _table(f"recall@{k} after each commit, {report.dataset} in {report.order} order, {way.way}, %")
    table.add_column("")
    for name in ("asked", *(str(commit + 1) for commit in range(len(report.parts)))):
        table.add_column(name, justify="right", no_wrap=True)
    for number, part in enumerate(report.parts):
        row = way.scores[k][number].tolist()
        cells = ["" if commit < number else _percent(score) for commit, score in enumerate(row)]
        table.add_row(f"part {number + 1}", str(part.questions), *cells, end_section=number == len(report.parts) - 1)
    pooled = [_percent(estimate.mean if estimate else None) for estimate in way.pooled[k]]
    table.add_row("all asked", str(sum(part.questions for part in report.parts)), *pooled, end_section=True)
    for name, pick in _metrics(report.windows):
        table.add_row(name, "", *(_percent(pick(one)) for one in way.metrics[k]))
    return table


def _metrics(windows: Sequence[int]) -> list[tuple[str, Callable[[ContinualScores], float | None]]]:
    rows: list[tuple[str, Callable[[ContinualScores], float | None]]] = [
        ("A = ACC", lambda one: one.average),
        ("F", lambda one: one.forgetting),
        ("LA", lambda one: one.learning),
        ("FORG", lambda one: one.forgotten),
        ("min-ACC", lambda one: one.min_accuracy),
        ("WC-ACC", lambda one: one.worst_case),
    ]
    for window in windows:
        rows.append((f"WF^{window}", lambda one, window=window: one.windowed_forgetting[window]))  # type: ignore[misc]
        rows.append((f"WP^{window}", lambda one, window=window: one.windowed_plasticity[window]))  # type: ignore[misc]
    return rows


def tabulate_reads(report: ContinualReport) -> Table:
    """Lay out the reads during each commit, one row a commit and way; times are median / 95th percentile / maximum."""
    table = _table(f"Reads while learning, {report.dataset} in {report.order} order")
    for name in ("commit", "way", "reads", "full", "failed", "empty", "short", "dips", "ms a read", "s"):
        table.add_column(name, justify="left" if name == "way" else "right", no_wrap=True)
    for number, part in enumerate(report.parts):
        for way in report.ways:
            one = way.reads[number]
            times = [f"{ms:.0f}" for ms in (one.ms_median, one.ms_p95, one.ms_max) if ms is not None]
            table.add_row(
                str(number + 1),
                way.way,
                f"{one.reads:,}",
                NOTHING if one.share is None else f"{_floor(one.share):.1f} %",
                *(str(count) for count in (one.failed, one.empty, one.short, one.dips)),
                " / ".join(times) or NOTHING,
                f"{part.seconds:.1f}",
            )
    return table


def say_state(report: ContinualReport, k: int) -> list[str]:
    """Say whether the memory is the one that learns all at once, and how both recall, one line each."""
    if report.equal:
        lines = ["The final state equals one ingestion of everything (vectors reused by text)."]
    else:
        lines = ["The final state (first) differs from one ingestion of everything (second):"]
        lines += [f"  {line}" for line in report.differences]
    for way in report.ways:
        lines.append(
            f"recall@{k}, {way.way}: {format_estimate(way.pooled[k][-1])} after {len(report.parts)} commits, "
            f"{format_estimate(way.at_once[k])} at once; {way.ranked_differently} questions ranked differently."
        )
    several = [number + 1 for number, part in enumerate(report.parts) if part.versions > 1]
    if several:
        lines.append(f"Parts that took more than one transaction: {', '.join(map(str, several))}.")
    failed = sum(part.failed for part in report.parts)
    if failed:
        lines.append(f"{failed} documents could not be learned.")
    return lines


def _floor(share: float) -> float:
    """Return a percentage with one decimal that is 100 only where nothing is missing."""
    return math.floor(share * 1000) / 10


def _percent(share: float | None) -> str:
    return NOTHING if share is None or math.isnan(share) else f"{share * 100:.1f}"


def _table(title: str) -> Table:
    return Table(title=Text(title), box=box.SIMPLE_HEAD, padding=0, show_edge=False)
