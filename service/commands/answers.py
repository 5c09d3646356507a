"""``eval answers``: strategies, orders and numbers of passages compared by the answers they give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeVar, get_args

import typer

from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.qa_eval import QaReport, evaluate_answers
from evaluation.reading import ReadBy, Reading, ask_memory, combine_readings
from evaluation.reading_report import list_readings
from evaluation.study_report import lay_out, to_markdown
from evaluation.timed_generator import TimedGenerator
from evaluation.ways import Way
from memory_graph.errors import GeneratorUnavailable, InvalidInput
from retrieval.reorder import Order
from service.commands.learned_set import COLLECTION, LearnedSet, learn_set
from service.commands.output import AsJson, console, out, print_json
from service.settings import read_settings
from service.wiring import answer_params, open_generator

T = TypeVar("T", bound=str)
READ_BY: tuple[ReadBy, ...] = ("closed", "direct", "notes", "warm", "extract", "reflect", "thoughts", "auto")
ORDERS: tuple[Order, ...] = get_args(Order)


def answers(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A set with answers.")],
    strategies: Annotated[
        list[str] | None,
        typer.Option(
            "--strategy",
            help=f"{', '.join(READ_BY)}; closed is the model alone, warm notes that were kept. All if not given.",
        ),
    ] = None,
    orders: Annotated[
        list[str] | None,
        typer.Option("--order", help=f"{', '.join(ORDERS)}; may be repeated.", show_default="edges"),
    ] = None,
    numbers: Annotated[
        list[int] | None,
        typer.Option("-k", "--top-k", help="Passages to read; may be repeated.", min=1, show_default="5"),
    ] = None,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the table as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Answer the questions of a set by each strategy, and by the model alone; say how right and how dear that is."""
    chosen = combine_readings(
        _choose("--strategy", strategies, READ_BY), _choose("--order", orders or ["edges"], ORDERS), numbers or [5]
    )
    settings = read_settings()
    dataset = load_dataset(folder)
    if limit:
        dataset = limit_questions(dataset, limit)
    with learn_set(settings, dataset) as learned:
        reports = asyncio.run(_read_all(learned, dataset, chosen))
    if as_json:
        told = [{"name": one.name, **report.to_json()} for one, report in zip(chosen, reports, strict=True)]
        print_json(json.dumps(told, indent=2, ensure_ascii=False))
        return
    cells = list_readings([one.name for one in chosen], reports)
    if markdown:
        out.file.write(to_markdown(cells))
        return
    out.print(lay_out(cells))


def _choose(option: str, given: Sequence[str] | None, known: Sequence[T]) -> list[T]:
    """Return the known names that were given, all if none was; raises ``InvalidInput`` for another name."""
    for name in given or ():
        if name not in known:
            raise InvalidInput(option, f"must be one of {', '.join(known)}, not {name!r}.")
    return [name for name in known if given is None or name in given]


async def _read_all(learned: LearnedSet, dataset: Dataset, readings: Sequence[Reading]) -> list[QaReport]:
    generator = TimedGenerator(open_generator(learned.settings))
    params, way = answer_params(learned.settings), Way()
    searcher = learned.searcher(way)
    reports = []
    try:
        state = await generator.check()  # the first question shall not pay for loading the model
        if not state.reachable:
            raise GeneratorUnavailable(state.reason or "no model can be reached")
        for reading in readings:
            ask = ask_memory(searcher, COLLECTION, generator, params, way, reading, learned.keep_note)
            reports.append(await evaluate_answers(dataset, ask))
            report = reports[-1]
            console.print(
                f"{reading.name}: {report.n_questions} questions, {report.seconds_median:.1f} s each", markup=False
            )
    finally:
        await generator.aclose()
    return reports
