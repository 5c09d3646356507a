"""Ways of reading side by side, as rows of cells."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.qa_eval import QaReport
from evaluation.report import format_estimate
from evaluation.study_report import Cells


def list_readings(names: Sequence[str], reports: Sequence[QaReport]) -> Cells:
    """Return a row a way of reading: scores in per cent with their intervals, then what a question took."""
    header = [
        f"{reports[0].dataset} ({reports[0].n_questions})",
        "exact match",
        "F1",
        "answer occurs",
        "declined",
        "calls",
        "prompt tokens",
        "reply tokens",
        "s, median",
        "own ms, median",
        "not as asked",
    ]
    rows = [
        [
            name,
            *map(format_estimate, (report.exact_match, report.f1, report.contains_answer)),
            str(sum(not row.found for row in report.rows)),
            f"{report.calls_mean:.1f}",
            f"{report.prompt_tokens_mean:.0f}",
            f"{report.completion_tokens_mean:.0f}",
            f"{report.seconds_median:.1f}",
            f"{report.own_ms_median:.0f}",
            str(sum(report.fallbacks.values())),
        ]
        for name, report in zip(names, reports, strict=True)
    ]
    return [header, *rows]
