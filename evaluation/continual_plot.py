"""The continual evaluation as a picture: what is kept, commit after commit, and whether reads were answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.continual_report import ContinualReport, WayReport

_LINES = (("average", "A", "C0", "-"), ("min_accuracy", "min-ACC", "C3", "--"), ("worst_case", "WC-ACC", "C1", ":"))


def plot_continual(report: ContinualReport, k: int, path: Path) -> None:
    """Draw the recall of every part, the metrics and the reads, one column a way of searching, as an SVG file.

    The groups of the file are named: ``WAY-part-N``, ``WAY-average``, ``WAY-availability`` and so on. Equal reports
    make equal files. Errors: ``ImportError`` without matplotlib, ``OSError`` where the file cannot be written.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sharpwave", "font.family": "sans-serif"}):
        figure = Figure(figsize=(5.5 * len(report.ways), 6.5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots(2, len(report.ways), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1))
        for column, way in enumerate(report.ways):
            _draw_scores(axes[0, column], report, way, k)
            _draw_reads(axes[1, column], way)
        axes[0, 0].set_ylabel(f"recall@{k}, %")
        axes[1, 0].set_ylabel("reads answered, %")
        title = f"{report.dataset}: {len(report.parts)} commits in {report.order} order"
        figure.suptitle(title)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})


def _draw_scores(axes: Any, report: ContinualReport, way: WayReport, k: int) -> None:
    commits = np.arange(1, len(report.parts) + 1)
    label: str | None = "a part's questions"
    for number, row in enumerate(way.scores[k]):
        if not np.isnan(row).all():
            style = {"color": "0.7", "linewidth": 0.8, "marker": ".", "label": label}
            _line(axes, commits, row.tolist(), f"{way.way}-part-{number + 1}", **style)
            label = None
    for name, short, color, dashes in _LINES:
        values = [getattr(one, name) for one in way.metrics[k]]
        _line(axes, commits, values, f"{way.way}-{name}", color=color, linestyle=dashes, linewidth=2, label=short)
    axes.set_title(way.way)
    axes.set_xlim(0.5, len(commits) + 0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize="small", loc="best")


def _draw_reads(axes: Any, way: WayReport) -> None:
    commits = np.arange(1, len(way.reads) + 1)
    _line(axes, commits, [one.share for one in way.reads], f"{way.way}-availability", color="C2", marker="o")
    axes.set_xlabel(f"commit ({sum(one.reads for one in way.reads):,} reads in all)")
    axes.set_ylim(-5, 105)
    axes.grid(axis="y", alpha=0.3)


def _line(axes: Any, commits: Any, shares: Sequence[float | None], name: str, **style: Any) -> None:
    values = [np.nan if share is None else share * 100 for share in shares]
    (line,) = axes.plot(commits, values, **style)
    line.set_gid(name)
