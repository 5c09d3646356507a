"""Tables of the benchmarks over conversations and over growing memories, in per cent."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from evaluation.locomo import CATEGORIES, MEASURES, LocomoReport, compare_locomo
from evaluation.pooling import Drift
from evaluation.report import format_difference, format_estimate
from evaluation.retrieval_eval import Scores

DRIFT_MEASURE = "recall@5"


def tabulate_categories(reports: Sequence[LocomoReport]) -> Table:
    """Lay out the recall of evidence turns by category, all that can be answered, and the gain over the first way."""
    first = reports[0]
    table = _make_table(f"Evidence turns, {len(first.conversations)} conversations", "category", reports)
    for name in CATEGORIES.values():
        scores = [report.by_category.get(name, {}) for report in reports]
        _add_scores(table, name, len(first.rows(category=name)), scores)
    table.add_section()
    _add_scores(table, "all but adversarial", len(first.rows()), [report.answerable for report in reports])
    cells = [
        format_difference(compare_locomo(report, first, measure)) if report is not first else ""
        for report in reports
        for measure in MEASURES
    ]
    if len(reports) > 1 and first.rows():
        table.add_row(Text(f"difference to {first.way}"), "", *(Text(cell) for cell in cells))
    return table


def tabulate_conversations(reports: Sequence[LocomoReport]) -> Table:
    """Lay out the recall of evidence turns by conversation, over the questions that can be answered."""
    table = _make_table("Evidence turns by conversation, all but adversarial", "conversation", reports)
    for name in reports[0].conversations:
        scores = [report.by_conversation.get(name, {}) for report in reports]
        _add_scores(table, name, next((estimate.n for estimate in scores[0].values()), 0), scores)
    return table


def tabulate_drift(drifts: Sequence[Drift]) -> Table:
    """Lay out what one larger memory changes at recall@5, a row a set and way."""
    table = Table(
        title=Text(
            f"{DRIFT_MEASURE}, alone and in a larger memory: {drifts[0].memory}, {drifts[0].passages:,} passages"
        )
    )
    for name in ("set", "way"):
        table.add_column(Text(name))
    for name in ("passages alone", "alone", "in the larger memory", "change"):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for drift in drifts:
        table.add_row(
            Text(drift.set),
            Text(drift.alone.way),
            f"{drift.passages_alone:,}",
            Text(format_estimate(drift.alone.scores.get(DRIFT_MEASURE))),
            Text(format_estimate(drift.pooled.scores.get(DRIFT_MEASURE))),
            Text(format_difference(drift.change[DRIFT_MEASURE])),
        )
    return table


def _make_table(title: str, first: str, reports: Sequence[LocomoReport]) -> Table:
    table = Table(title=Text(f"{title}, % [95 % interval]"))
    table.add_column(Text(first))
    table.add_column(Text("questions"), justify="right")
    for report in reports:
        for measure in MEASURES:
            table.add_column(Text(f"{report.way} {measure}"), justify="right", no_wrap=True)
    return table


def _add_scores(table: Table, name: str, count: int, scores: Sequence[Scores]) -> None:
    cells = [format_estimate(one.get(measure)) for one in scores for measure in MEASURES]
    table.add_row(Text(name), str(count), *(Text(cell) for cell in cells))
