"""``eval``: how good."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.memory import learn_documents
from evaluation.openie import OpenieExtractor, openie_extractions, read_openie
from evaluation.peers import read_corpus, search_by_parity
from evaluation.qa_eval import Answered, QaReport, evaluate_answers
from evaluation.report import tabulate_answers, tabulate_costs, tabulate_failures, tabulate_retrieval, tabulate_types
from evaluation.retrieval_eval import evaluate_retrieval
from memory_graph.errors import InvalidInput
from retrieval.ask import ask
from retrieval.graph_search import GraphParams
from retrieval.search import Mode, Searcher, SearchRequest
from retrieval.views import ViewCache
from service.commands.output import AsJson, out, print_json
from service.commands.scratch import open_scratch, show_learning
from service.settings import Settings, read_settings
from service.wiring import answer_params, make_learner, open_embedder, open_generator

COLLECTION = "evaluation"
MAX_PASSAGES = 1000


class ModeName(StrEnum):
    dense = "dense"
    graph = "graph"


def evaluate(
    folder: Annotated[Path, typer.Argument(help="A set: questions.jsonl with corpus.jsonl or documents/.")],
    modes: Annotated[list[ModeName] | None, typer.Option("--mode", help="Which mode; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    answers: Annotated[
        bool, typer.Option("--answers", help="Answer the questions too, and grade the answers.")
    ] = False,
    walk: Annotated[
        Literal["push", "exact"],
        typer.Option("--walk", help="How to walk; exact compares all vectors too."),
    ] = "push",
    openie: Annotated[
        Path | None, typer.Option(help="Learn these entities and triples (openie.jsonl) instead of spaCy's.")
    ] = None,
    parity: Annotated[
        bool, typer.Option("--parity", help="HippoRAG 2's ranking of the same triples beside the modes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a question set into a memory of its own, and say how well its questions are served."""
    settings = read_settings()
    dataset = load_dataset(folder)
    if limit:
        dataset = limit_questions(dataset, limit)
    chosen: list[Mode] = [mode.value for mode in modes or ModeName]
    if parity and openie is None:
        raise InvalidInput("--parity", "ranks by triples: give them with --openie FILE")
    readings = None if openie is None else read_openie(openie, dataset)
    extractor = None if readings is None else partial(OpenieExtractor, openie_extractions(dataset, readings))
    with open_scratch(settings) as (scratch, database):
        embedder = open_embedder(scratch)
        with show_learning() as show:
            learn_documents(
                database,
                make_learner(scratch, database, embedder, extractor)(),
                COLLECTION,
                dataset.documents,
                split=dataset.split,
                progress=show,
            )
        params = GraphParams()
        params = replace(params, walk=replace(params.walk, mode=walk))
        views = ViewCache(database)
        searcher = Searcher(database, views, embedder, params)
        reports = [evaluate_retrieval(dataset, _searches(searcher, mode), mode=mode) for mode in chosen]
        if parity and readings is not None:
            corpus = read_corpus(database, views.current(COLLECTION)[1], dataset, embedder)
            reports.append(evaluate_retrieval(dataset, search_by_parity(corpus, readings), mode="parity"))
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
