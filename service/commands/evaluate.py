"""``eval``: how good."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluation.books import load_books
from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.memory import Learning
from evaluation.openie import read_openie
from evaluation.qa_eval import QaReport, evaluate_answers
from evaluation.reading import Reading, ask_memory
from evaluation.report import (
    tabulate_answers,
    tabulate_costs,
    tabulate_differences,
    tabulate_failures,
    tabulate_learning,
    tabulate_retrieval,
    tabulate_retrieval_types,
    tabulate_stages,
    tabulate_types,
)
from evaluation.retrieval_eval import RetrievalReport, compare_reports, evaluate_retrieval, nest_scores
from evaluation.runs import make_folder, write_runs
from evaluation.timed_generator import TimedGenerator
from evaluation.ways import PARITY, WalkMode, Way, combine_ways
from ingest.splitter import Splitter
from memory_graph.errors import InvalidInput
from service.commands.check import check
from service.commands.learned_set import COLLECTION, LearnedSet, learn_set
from service.commands.output import AsJson, console, out, print_json
from service.settings import read_settings
from service.wiring import answer_params, find_model, open_generator


class ModeName(StrEnum):
    dense = "dense"
    hybrid = "hybrid"
    graph = "graph"


class RerankName(StrEnum):
    chain = "chain"
    cross = "cross"
    none = "none"


def evaluate(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER",
            help="A set: questions.jsonl with corpus.jsonl or documents/. With --check: names of conditions.",
            show_default=False,
        ),
    ] = None,
    modes: Annotated[
        list[ModeName] | None, typer.Option("--mode", help="Which mode; may be repeated. All if not given.")
    ] = None,
    reranks: Annotated[
        list[RerankName] | None,
        typer.Option("--rerank", help="How it is ranked again; may be repeated. As searches do if not given."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    answers: Annotated[
        bool, typer.Option("--answers", help="Answer the questions too, and grade the answers.")
    ] = False,
    walk: Annotated[
        WalkMode,
        typer.Option("--walk", help="How to walk; exact compares all vectors too."),
    ] = "push",
    openie: Annotated[
        Path | None, typer.Option(help="Learn these entities and triples (openie.jsonl) instead of spaCy's.")
    ] = None,
    books: Annotated[
        Path | None, typer.Option("--books", help="FOLDER holds books: their questions, with quotes of gold passages.")
    ] = None,
    parity: Annotated[
        bool, typer.Option("--parity", help="HippoRAG 2's ranking of the same triples beside the modes.")
    ] = False,
    runs: Annotated[
        Path | None, typer.Option("--runs", help="Write run files and judgements in TREC format into this folder.")
    ] = None,
    checking: Annotated[
        bool, typer.Option("--check", help="Check the conditions, all or those named, against what is expected.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="With --check: the folder of the sets.", show_default="../shared/data"),
    ] = None,
    conditions: Annotated[
        Path | None, typer.Option("--conditions", help="With --check: another file of conditions.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="With --check: print what is expected as a table, and run nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a question set into a memory of its own, and say how well its questions are served."""
    ways: dict[str, Any] = {
        "--mode": modes,
        "--rerank": reranks,
        "--limit": limit,
        "--answers": answers,
        "--openie": openie,
        "--books": books,
        "--parity": parity,
        "--runs": runs,
    }
    if checking:
        _refuse(ways | {"--walk": walk != "push"}, "goes without --check: a condition says how it searches")
        check(words or [], data, conditions, markdown=markdown, as_json=as_json)
        return
    _refuse({"--data": data, "--conditions": conditions, "--markdown": markdown}, "goes with --check only")
    if not words or len(words) != 1:
        raise InvalidInput("FOLDER", f"must be one folder, not {len(words or [])}. Or give --check.")
    chosen = combine_ways(
        mode=[mode.value for mode in modes or ModeName],
        rerank=[rerank.value for rerank in reranks] if reranks else [None],
        walk=[walk],
    )
    if parity:
        if openie is None:
            raise InvalidInput("--parity", "ranks by triples: give their file with --openie.")
        chosen.append(PARITY)
    evaluate_set(
        Path(words[0]), chosen, limit=limit, openie=openie, books=books, answers=answers, runs=runs, as_json=as_json
    )


def evaluate_set(
    folder: Path,
    ways: Sequence[Way],
    *,
    limit: int,
    openie: Path | None,
    books: Path | None,
    answers: bool,
    runs: Path | None,
    as_json: bool,
) -> None:
    """Learn a set, search its questions in each way, have them answered in the last mode if asked to, and report."""
    settings = read_settings()
    if books is None:
        dataset = load_dataset(folder)
    else:
        dataset = load_books(folder, books, Splitter(find_model(settings, settings.embedder) / "tokenizer.json"))
    readings = None if openie is None else read_openie(openie, dataset)
    if limit:
        dataset = limit_questions(dataset, limit)
    if runs is not None:
        make_folder(runs)
    with learn_set(settings, dataset, readings) as learned:
        reports = [evaluate_retrieval(dataset, learned.search(way), way=way.name) for way in ways]
        if runs is not None:
            for path in write_runs(runs, reports):
                console.print(f"wrote {path}", markup=False)
        searches = [way for way in ways if not way.parity]
        graded = asyncio.run(_grade(learned, dataset, searches[-1])) if answers else None
    if as_json:
        print_json(json.dumps(_to_json(ways, reports, learned.learning, graded), indent=2, ensure_ascii=False))
        return
    tables = [
        tabulate_retrieval(reports),
        tabulate_retrieval_types(reports),
        tabulate_differences(reports),
        tabulate_stages(reports),
        tabulate_learning(learned.learning),
    ]
    if graded is not None:
        tables += [
            tabulate_answers(graded),
            tabulate_types(graded),
            tabulate_costs(graded),
            tabulate_failures(graded),
        ]
    for table in tables:
        if table is not None:
            out.print(table)


def _refuse(options: dict[str, Any], reason: str) -> None:
    for name, value in options.items():
        if value:
            raise InvalidInput(name, f"{reason}.")


def _to_json(
    ways: Sequence[Way], reports: Sequence[RetrievalReport], learning: Learning, graded: QaReport | None
) -> dict[str, Any]:
    first, *others = reports
    return {
        "retrieval": [report.to_json() | way.options for way, report in zip(ways, reports, strict=True)],
        "differences": [
            {"way": report.way, "against": first.way} | nest_scores(compare_reports(report, first)) for report in others
        ],
        "learning": learning.to_json(),
        "answers": graded and graded.to_json(),
    }


async def _grade(learned: LearnedSet, dataset: Dataset, way: Way) -> QaReport:
    generator = TimedGenerator(open_generator(learned.settings))
    params, searcher = answer_params(learned.settings), learned.searcher(way)
    ask = ask_memory(searcher, COLLECTION, generator, params, way, Reading(), learned.keep_note)
    try:
        await generator.check()  # the first question shall not pay for loading the model
        return await evaluate_answers(dataset, ask)
    finally:
        await generator.aclose()
