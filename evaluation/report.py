"""Reports as tables for people; the numbers are those of ``to_json``, as percentages."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from evaluation.memory import BESIDE, Learning
from evaluation.metrics import Estimate
from evaluation.qa_eval import QaReport, QaRow
from evaluation.retrieval_eval import OTHER, RetrievalReport, Times, compare_reports, merge_orders

SHOWN = ("recall@2", "recall@5", "recall@10", "all_gold@5", "ndcg@10", "mrr")
BY_TYPE = "recall@5"

_NOTHING = "–"
_LEARNING = {
    "read": "reading and splitting (a thread, beside the others)",
    "extract": "extracting (a process, beside the others)",
    "embed": "embedding passages",
    "wait": "waiting for the extractor",
    "embed_names": "embedding names and facts",
    "commit": "committing",
    "view": "building the view",
}
_LABELS = {"all_gold": "all-gold", "ndcg": "nDCG", "mrr": "MRR"}


def format_estimate(estimate: Estimate | None) -> str:
    """Write a score of 0..1 as a percentage with its interval, like ``61.5 [52.0, 70.7]``."""
    if estimate is None:
        return _NOTHING
    return f"{estimate.mean * 100:.1f} [{estimate.low * 100:.1f}, {estimate.high * 100:.1f}]"


def format_difference(estimate: Estimate) -> str:
    """Write a difference of shares in points with its interval, like ``+9.3 [+4.1, +14.2]``."""
    return f"{_sign(estimate.mean)} [{_sign(estimate.low)}, {_sign(estimate.high)}]"


def label_measure(measure: str) -> str:
    """Write the name of a measure as people know it: ``all_gold@5`` is ``all-gold@5``."""
    name, at, k = measure.partition("@")
    return f"{_LABELS.get(name, name)}{at}{k}"


def make_markdown_table(rows: Sequence[Sequence[str]], *, texts: int) -> str:
    """Write the names of columns, of which the first ``texts`` hold no numbers, and rows of cells as Markdown."""
    header, *others = rows
    line = ["---" if column < texts else "---:" for column in range(len(header))]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in (header, line, *others)
    )


def tabulate_retrieval(reports: Sequence[RetrievalReport]) -> Table:
    """Lay out the retrieval reports of one set, one column a way; a measure that a report lacks is left blank."""
    sets = ", ".join(dict.fromkeys(f"{report.dataset} ({report.n_questions} questions)" for report in reports))
    table = Table(title=Text(f"Retrieval, {sets}"))
    _add_columns(table, ["% [95 % interval]"], [report.way for report in reports])
    for measure in list_shown(reports):
        _add_row(table, label_measure(measure), *(format_estimate(report.scores.get(measure)) for report in reports))
    _add_row(table, "ms a search, median", *(f"{report.ms_median:.1f}" for report in reports))
    _add_row(table, "ms a search, p95", *(f"{report.ms_p95:.1f}" for report in reports))
    return table


def list_shown(reports: Sequence[RetrievalReport]) -> list[str]:
    """Name the measures that tables show, of those that the reports have."""
    known = dict.fromkeys(measure for report in reports for measure in report.scores)
    return [measure for measure in known if measure.startswith("recall@") or measure in SHOWN]


def tabulate_retrieval_types(reports: Sequence[RetrievalReport]) -> Table | None:
    """Lay out recall@5 by the questions' type, one column a way; None where all are of one type or k = 5 is missing."""
    types = {type: len([row for row in reports[0].rows if row.type == type]) for type in reports[0].by_type}
    if len(types) < 2 or BY_TYPE not in reports[0].scores:
        return None
    table = Table(title=Text(f"{label_measure(BY_TYPE)} by type, {reports[0].dataset}, % [95 % interval]"))
    _add_columns(table, ["type"], ["questions", *(report.way for report in reports)])
    for type, count in types.items():
        estimates = (report.by_type[type].get(BY_TYPE) for report in reports)
        _add_row(table, type, str(count), *(format_estimate(estimate) for estimate in estimates))
    return table


def tabulate_differences(reports: Sequence[RetrievalReport]) -> Table | None:
    """Lay out the paired differences of all reports but the first against it; None where there is only one."""
    if len(reports) < 2:
        return None
    first, *others = reports
    table = Table(title=Text(f"Difference to {first.way}, same questions, {first.dataset}"))
    _add_columns(table, ["points [95 % interval]"], [report.way for report in others])
    compared = [compare_reports(report, first) for report in others]
    for measure in list_shown(reports):
        cells = (scores.get(measure) for scores in compared)
        _add_row(table, label_measure(measure), *(format_difference(cell) if cell else _NOTHING for cell in cells))
    return table


def tabulate_stages(reports: Sequence[RetrievalReport]) -> Table | None:
    """Lay out the times of the stages, one column a way; None where no search tells them."""
    names = merge_orders([[name for name in report.stages if name != OTHER] for report in reports])
    if not names:
        return None
    table = Table(title=Text(f"Time of a search by stage, ms, {reports[0].dataset}"))
    _add_columns(table, ["median / p95"], [report.way for report in reports])
    stages = [report.stages for report in reports]
    for name in (*names, OTHER):
        _add_row(table, name, *(_format_times(times.get(name)) for times in stages))
    table.add_section()
    whole = (Times(median=report.ms_median, p95=report.ms_p95) for report in reports)
    _add_row(table, "the whole search", *map(_format_times, whole))
    return table


def tabulate_learning(learning: Learning) -> Table:
    """Lay out the seconds that learning took: what passes beside other stages, then what adds up to the whole."""
    table = Table(title=Text(f"Learning {learning.passages:,} passages, s by stage"))
    _add_columns(table, ["stage, wall clock"], ["s"])
    for stage in BESIDE:
        _add_row(table, _LEARNING[stage], f"{learning.seconds.get(stage, 0.0):.1f}")
    table.add_section()
    for stage, spent in learning.in_turn.items():
        _add_row(table, _LEARNING[stage], f"{spent:.1f}")
    _add_row(table, OTHER, f"{learning.other_s:.1f}")
    table.add_section()
    _add_row(table, "in all", f"{learning.total_s:.1f}")
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
    _add_row(table, "milliseconds of it without the model, median", f"{report.own_ms_median:.0f}")
    _add_row(table, "calls of the model, mean", f"{report.calls_mean:.1f}")
    _add_row(table, "tokens of prompts, mean", f"{report.prompt_tokens_mean:.0f}")
    _add_row(table, "tokens of replies, mean", f"{report.completion_tokens_mean:.0f}")
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


def _format_times(times: Times | None) -> str:
    return f"{times.median:.2f} / {times.p95:.2f}" if times else _NOTHING


def _sign(share: float) -> str:
    points = round(share * 100, 1)
    return f"{points or 0.0:+.1f}"  # "or" makes -0.0 a 0.0


def _add_columns(table: Table, texts: Sequence[str], numbers: Sequence[str]) -> None:
    for name in texts:
        table.add_column(Text(name))
    for name in numbers:
        table.add_column(Text(name), justify="right", no_wrap=True)


def _add_row(table: Table, *cells: str) -> None:
    # Text, because rich would read "[…]" in a question as its markup.
    table.add_row(*(Text(cell) for cell in cells))
