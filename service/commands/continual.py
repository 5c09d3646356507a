"""``eval continual``: what the memory keeps while it learns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TimeElapsedColumn

from evaluation import continual_eval
from evaluation.continual_eval import ContinualParams, Subject, evaluate_continual
from evaluation.continual_plot import plot_continual
from evaluation.continual_report import ContinualReport
from evaluation.continual_tables import say_state, tabulate_reads, tabulate_scores
from evaluation.datasets import limit_questions, load_dataset
from evaluation.memory import RememberingEmbedder
from evaluation.ways import WalkMode, Way
from ingest.pipeline import PipelineParams
from memory_graph.errors import InvalidInput, SharpwaveError
from service.commands.evaluate import ModeName
from service.commands.output import AsJson, console, out, print_json
from service.commands.scratch import open_scratch
from service.settings import read_settings
from service.wiring import make_learner, open_embedder, open_views

_ALWAYS = (2, 5, 10)  # recall at these is always reported
_MAX_K = 100


class OrderName(StrEnum):
    file = "file"
    shuffled = "shuffled"


def continual(
    folder: Annotated[Path, typer.Argument(help="A set: questions.jsonl with corpus.jsonl or documents/.")],
    commits: Annotated[int, typer.Option(help="In how many parts the documents are learned.")] = 10,
    order: Annotated[OrderName, typer.Option(help="In which order the documents are learned.")] = OrderName.file,
    seed: Annotated[int, typer.Option(help="Of the shuffling, and of the order in which reads ask.")] = 0,
    modes: Annotated[list[ModeName] | None, typer.Option("--mode", help="Which mode; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    k: Annotated[int, typer.Option("--k", help="The metrics are of recall at this k.")] = 5,
    windows: Annotated[
        list[int] | None, typer.Option("--window", help="Evaluations in a window of WF and WP; may be repeated.")
    ] = None,
    walk: Annotated[WalkMode, typer.Option("--walk", help="How to walk; exact compares all vectors too.")] = "push",
    plot: Annotated[Path | None, typer.Option(help="Draw the report into this .svg file.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Learn a question set in several commits; ask after each what was learned before, and search during each."""
    if not 1 <= k <= _MAX_K:
        raise InvalidInput("--k", f"must be from 1 to {_MAX_K}.")
    chosen_windows = tuple(dict.fromkeys(windows or (2, 10)))
    if min(chosen_windows) < 2:
        raise InvalidInput("--window", "must be at least 2: a change takes two evaluations.")
    if plot is not None:
        _check_plot(plot)
    settings = read_settings()
    dataset = load_dataset(folder, seed=seed if order == OrderName.shuffled else None)
    if not 2 <= commits <= len(dataset.documents):
        raise InvalidInput("--commits", f"must be from 2 to {len(dataset.documents)}, the number of documents.")
    if limit:
        dataset = limit_questions(dataset, limit)
    ways = [Way(mode=mode.value, walk=walk) for mode in dict.fromkeys(modes or ModeName)]
    params = ContinualParams(commits=commits, ks=tuple(sorted({*_ALWAYS, k})), windows=chosen_windows, seed=seed)
    with open_scratch(settings) as (scratch, database):
        embedder = open_embedder(scratch)
        remembering = RememberingEmbedder(embedder)
        views = open_views(scratch, database)
        try:
            subject = Subject(
                database=database,
                views=views,
                embedder=embedder,
                remembering=remembering,
                # As many passages as a part has: it is one commit.
                learner=make_learner(scratch, database, remembering, PipelineParams(batch_passages=2**31))(),
            )
            with _show_steps() as show:
                report = evaluate_continual(dataset, subject, ways, params, order=order.value, progress=show)
        finally:
            views.close()
    if plot is not None:
        _draw(report, k, plot)
    if as_json:
        print_json(json.dumps(report.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
        return
    for way in report.ways:
        out.print(tabulate_scores(report, way, k))
    out.print(tabulate_reads(report))
    for line in say_state(report, k):
        out.print(line, markup=False)


@contextmanager
def _show_steps() -> Iterator[continual_eval.Progress]:
    """Show what is being done and how much of all is behind."""
    with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console, transient=True) as bars:
        task = bars.add_task("Starting", total=None)

        def show(what: str, done: int, total: int, /) -> None:
            bars.update(task, total=total, completed=done, description=what)

        yield show


def _check_plot(path: Path) -> None:
    """Check before an evaluation of minutes that its picture can be drawn. Errors: ``InvalidInput``."""
    if path.suffix.lower() != ".svg":
        raise InvalidInput("--plot", "must be a file whose name ends in .svg.")
    if not path.parent.is_dir():
        raise InvalidInput("--plot", f"there is no folder {path.parent}.")
    if path.is_dir():
        raise InvalidInput("--plot", f"{path} is a folder.")
    if find_spec("matplotlib") is None:
        raise InvalidInput("--plot", "needs matplotlib, which is not installed: pip install 'sharpwave[bench]'")


def _draw(report: ContinualReport, k: int, path: Path) -> None:
    try:
        plot_continual(report, k, path)
    except OSError as error:
        raise SharpwaveError(f"cannot write {path}: {error.strerror}") from error
    console.print(f"Wrote {path}.", markup=False)
