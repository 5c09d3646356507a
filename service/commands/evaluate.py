"""``eval`` and ``bench``: how good, and how fast."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from rich.table import Table

from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.ingest_bench import bench_ingest
from evaluation.memory import learn_documents
from evaluation.qa_eval import Answered, QaReport, evaluate_answers
from evaluation.report import tabulate_answers, tabulate_costs, tabulate_failures, tabulate_retrieval, tabulate_types
from evaluation.retrieval_eval import evaluate_retrieval
from ingest.extraction import ExtractionParams, SpacyExtractor
from ingest.files import find_files
from ingest.splitter import Splitter
from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from memory_graph.store.jobs import Job
from retrieval.ask import ask
from retrieval.search import Mode, Searcher, SearchRequest
from retrieval.views import ViewCache
from service.commands.output import AsJson, console, out, print_json
from service.settings import Settings, read_settings
from service.wiring import answer_params, find_model, make_learner, open_database, open_embedder, open_generator

COLLECTION = "evaluation"
MAX_PASSAGES = 1000


class ModeName(StrEnum):
    dense = "dense"
    graph = "graph"


bench_app = typer.Typer(help="Measure speed, side by side in one run.", no_args_is_help=True)


def evaluate(
    folder: Annotated[Path, typer.Argument(help="A set: questions.jsonl with corpus.jsonl or documents/.")],
    modes: Annotated[list[ModeName] | None, typer.Option("--mode", help="Which mode; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    answers: Annotated[
        bool, typer.Option("--answers", help="Answer the questions too, and grade the answers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a question set into a memory of its own, and say how well its questions are served."""
    settings = read_settings()
    dataset = load_dataset(folder)
    if limit:
        dataset = limit_questions(dataset, limit)
    chosen: list[Mode] = [mode.value for mode in modes or ModeName]
    with _scratch(settings) as (scratch, database):
        embedder = open_embedder(scratch)
        with _progress() as show:
            learn_documents(
                database,
                make_learner(scratch, database, embedder)(),
                COLLECTION,
                dataset.documents,
                split=dataset.split,
                progress=show,
            )
        searcher = Searcher(database, ViewCache(database), embedder)
        reports = [evaluate_retrieval(dataset, _searches(searcher, mode), mode=mode) for mode in chosen]
        graded = asyncio.run(_grade(scratch, searcher, dataset, chosen[-1])) if answers else None
    if as_json:
        document = {"retrieval": [report.to_json() for report in reports], "answers": graded and graded.to_json()}
        print_json(json.dumps(document, indent=2, ensure_ascii=False))
        return
    out.print(tabulate_retrieval(reports))
    if graded is not None:
        for table in (
            tabulate_answers(graded),
            tabulate_types(graded),
            tabulate_costs(graded),
            tabulate_failures(graded),
        ):
            out.print(table)


@bench_app.command("ingest")
def bench_ingestion(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    sample: Annotated[int, typer.Option(help="Passages on which the stages are measured alone.", min=1)] = 512,
    as_json: AsJson = False,
) -> None:
    """Passages a second of the whole pipeline, beside the embedder alone and the extractor alone."""
    settings = read_settings()
    files = [path for path in find_files(paths) if isinstance(path, Path)]
    if not files:
        raise InvalidInput("PATHS", "no readable file of a known format was found")
    with _scratch(settings) as (scratch, database):
        embedder = open_embedder(scratch)
        extractor = SpacyExtractor(
            find_model(scratch, scratch.extractor), ExtractionParams(facts=scratch.extract_facts)
        )
        splitter = Splitter(find_model(scratch, scratch.embedder) / "tokenizer.json")
        with _progress() as show:
            report = bench_ingest(
                database,
                make_learner(scratch, database, embedder)(),
                embedder,
                extractor,
                splitter,
                files,
                sample=sample,
                progress=show,
            )
    if as_json:
        print_json(json.dumps(report.to_json(), indent=2))
        return
    table = Table(
        "What", "Passages/s", title=f"{report.files} files, {report.passages} passages, {report.total_s:.0f} s"
    )
    table.columns[1].justify = "right"
    for name, rate in (
        ("whole pipeline", report.pipeline_per_s),
        (f"embedder alone ({report.sample} passages)", report.embed_alone_per_s),
        (f"extractor alone ({report.sample} passages)", report.extract_alone_per_s),
        ("splitter alone", report.split_alone_per_s),
    ):
        table.add_row(name, f"{rate:,.1f}")
    out.print(table)
    out.print("Seconds by stage: " + ", ".join(f"{stage} {spent:.1f}" for stage, spent in report.seconds.items()))
    out.print("Passages/s by tenth of the run: " + ", ".join(f"{rate:.0f}" for rate in report.deciles_per_s))


def _searches(searcher: Searcher, mode: Mode) -> Callable[[str, int], list[str]]:
    """Return a function from (question, k) to the document of each of the k best passages."""

    def search(query: str, k: int) -> list[str]:
        request = SearchRequest(query=query, top_k=min(k, MAX_PASSAGES), mode=mode)
        return [hit.document_id for hit in searcher.search(COLLECTION, request).hits]

    return search


async def _grade(settings: Settings, searcher: Searcher, dataset: Dataset, mode: Mode) -> QaReport:
    generator = open_generator(settings)
    params = answer_params(settings)

    async def answer(question: str) -> Answered:
        start = time.perf_counter()
        asked = await ask(searcher, generator, COLLECTION, SearchRequest(query=question, top_k=5, mode=mode), params)
        text_of = {hit.passage_id: hit.text for hit in asked.found.hits}
        return Answered(
            answer=asked.answer.text,
            found=asked.answer.found,
            cited=[(citation.document_id, citation.supported) for citation in asked.answer.citations],
            quotes_hold=all(citation.quote in text_of[citation.passage_id] for citation in asked.answer.citations),
            fallback_reason=asked.answer.fallback_reason,
            seconds=time.perf_counter() - start,
        )

    try:
        await generator.check()  # the first question shall not pay for loading the model
        return await evaluate_answers(dataset, answer)
    finally:
        await generator.aclose()


@contextmanager
def _scratch(settings: Settings) -> Iterator[tuple[Settings, Database]]:
    """Open a database that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="sharpwave-") as folder:
        scratch = settings.model_copy(update={"data_dir": Path(folder), "database_url": ""})
        database = open_database(scratch)
        try:
            yield scratch, database
        finally:
            database.close()


@contextmanager
def _progress() -> Iterator[Callable[[Job], None]]:
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("Learning", total=None)

        def show(job: Job) -> None:
            bars.update(task, total=job.size, completed=job.done, description=f"Learning, {job.passages} passages")

        yield show
