"""Reports as tables for people; the numbers are those of ``to_json``, as percentages."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from evaluation.metrics import Estimate
from evaluation.qa_eval import QaReport, QaRow
from evaluation.retrieval_eval import RetrievalReport

_NOTHING = "–"


def format_estimate(estimate: Estimate | None) -> str:
    """Write a score of 0..1 as a percentage with its interval, like ``61.5 [52.0, 70.7]``."""
    if estimate is None:
        return _NOTHING
    return f"{estimate.mean * 100:.1f} [{estimate.low * 100:.1f}, {estimate.high * 100:.1f}]"


def tabulate_retrieval(reports: Sequence[RetrievalReport]) -> Table:
    """Lay out the retrieval reports of one set, one column a mode; a k that a report lacks is left blank."""
    sets = ", ".join(dict.fromkeys(f"{report.dataset} ({report.n_questions} questions)" for report in reports))
    table = Table(title=Text(f"Retrieval, {sets}"))
    _add_columns(table, ["% [95 % interval]"], [report.mode for report in reports])
    for k in sorted({k for report in reports for k in report.recall}):
        _add_row(table, f"recall@{k}", *(format_estimate(report.recall.get(k)) for report in reports))
    _add_row(table, "MRR", *(format_estimate(report.mrr) for report in reports))
    _add_row(table, "ms a search, median", *(f"{report.ms_median:.1f}" for report in reports))
    _add_row(table, "ms a search, p95", *(f"{report.ms_p95:.1f}" for report in reports))
    return table


def tabulate_answers(report: QaReport) -> Table:
    """Lay out an answer report, one row a score, with the number of questions it is a mean of."""
    table = Table(title=Text(f"Answers, {report.dataset}"))
    _add_columns(table, ["score"], ["% [95 % interval]", "questions"])
    scores: dict[str, Estimate | None] = {
        "exact match": report.exact_match,
        "F1": report.f1,
        "answer occurs in the reply": report.contains_answer,
        "citations hold": report.citations_hold,
        "cites a gold document": report.cites_gold,
        "declined, rightly": report.declined_correctly,
        "declined, wrongly": report.declined_wrongly,
    }
    for name, estimate in scores.items():
        _add_row(table, name, format_estimate(estimate), str(estimate.n if estimate else 0))
    return table


def tabulate_types(report: QaReport) -> Table:
    """Lay out the scores of the answerable questions, one row a type."""
    table = Table(title=Text(f"Answers by type, {report.dataset}, % [95 % interval]"))
    _add_columns(table, ["type"], ["exact match", "F1", "answer occurs", "questions"])
    for name, scores in report.by_type.items():
        estimates = (scores.exact_match, scores.f1, scores.contains_answer)
        _add_row(table, name, *(format_estimate(estimate) for estimate in estimates), str(scores.f1.n))
    return table


def tabulate_costs(report: QaReport) -> Table:
    """Lay out what the answers took: seconds a question, and fallbacks by reason."""
    table = Table(title=Text(f"Time and fallbacks, {report.dataset}"))
    _add_columns(table, ["measure"], ["value"])
    _add_row(table, "seconds a question, median", f"{report.seconds_median:.2f}")
    _add_row(table, "seconds a question, p95", f"{report.seconds_p95:.2f}")
    _add_row(table, "fallbacks", f"{sum(report.fallbacks.values())} of {report.n_questions}")
    for reason, count in report.fallbacks.items():
        _add_row(table, f"  {reason}", str(count))
    return table


def tabulate_failures(report: QaReport, limit: int = 20) -> Table:
    """Lay out the first ``limit`` questions that were answered wrongly, or declined or answered against the facts."""
    failed = [row for row in report.rows if not _is_right(row)]
    table = Table(title=Text(f"Not right: {len(failed)} of {report.n_questions}, {report.dataset}"))
    _add_columns(table, ["id", "question", "expected", "answer"], ["F1"])
    for row in failed[:limit]:
        expected = " | ".join(row.expected) or "(declined)"
        f1 = _NOTHING if row.f1 is None else f"{row.f1 * 100:.1f}"
        _add_row(table, row.id, row.question, expected, row.answer if row.found else "(declined)", f1)
    return table


def _is_right(row: QaRow) -> bool:
    return bool(row.contains_answer) if row.expected else not row.found


def _add_columns(table: Table, texts: Sequence[str], numbers: Sequence[str]) -> None:
    for name in texts:
        table.add_column(Text(name))
    for name in numbers:
        table.add_column(Text(name), justify="right", no_wrap=True)


def _add_row(table: Table, *cells: str) -> None:
    # Text, because rich would read "[…]" in a question as its markup.
    table.add_row(*(Text(cell) for cell in cells))
