"""``bench locomo`` and ``bench drift``: how well conversations are recalled, and what a larger memory costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.locomo import compare_locomo, evaluate_locomo, load_locomo
from evaluation.memory import RememberingEmbedder
from evaluation.pooling import (
    Drift,
    add_distractors,
    cut_distractors,
    measure_drift,
    pool_sets,
)
from evaluation.retrieval_eval import RetrievalReport, evaluate_retrieval, nest_scores
from evaluation.searches import Search, search_in
from evaluation.set_report import tabulate_categories, tabulate_conversations, tabulate_drift
from evaluation.ways import Way, combine_ways
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from retrieval.embedder import Embedder
from retrieval.search import Searcher
from retrieval.views import ViewCache
from service.commands.learned_set import learn_shown
from service.commands.output import AsJson, console, out, print_json
from service.commands.scratch import open_scratch
from service.settings import Settings, read_settings
from service.wiring import find_model, make_learner, open_embedder

# What is compared with comes first; the walk has a column of its own, so that it is seen what the chain ranker adds.
WAYS = [Way(mode="dense"), Way(mode="hybrid"), Way(rerank="none"), Way()]

ModesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mode",
        help="Which mode; may be repeated. The first is compared with.",
        show_default="all, and the walk without the chain ranker",
    ),
]
LimitOption = Annotated[
    int, typer.Option(help="Only so many questions of each set, chosen with a fixed seed; 0 for all.", min=0)
]


class Memories:
    """Sets in one database, each in a collection of its own, learned and searched with the same models."""

    def __init__(self, database: Database, embedder: Embedder, learner: Learner) -> None:
        self._database, self._embedder, self._learner = database, embedder, learner
        self._views = ViewCache(database)

    def learn(self, collection: str, dataset: Dataset) -> None:
        """Learn the documents of a set into a new collection, showing the progress.

        Errors: ``UnreadableDocument`` where one of them cannot be learned.
        """
        console.print(f"Learning {collection}: {len(dataset.documents):,} passages", style="dim", markup=False)
        learn_shown(self._database, self._learner, collection, dataset)

    def search(self, collection: str, way: Way) -> Search:
        """Return a function from (question, k) to the document of each of the k best passages."""
        searcher = Searcher(self._database, self._views, self._embedder, way.params())
        searcher.warm()
        return search_in(searcher, collection, way.request)


@contextmanager
def open_memories() -> Iterator[tuple[Settings, Memories]]:
    """Open memories that are thrown away."""
    with open_scratch(read_settings()) as (settings, database):
        embedder = RememberingEmbedder(open_embedder(settings))
        yield settings, Memories(database, embedder, make_learner(settings, database, embedder)())


def bench_locomo(
    folder: Annotated[Path, typer.Argument(help="Dated turns in corpus.jsonl, and questions.jsonl.")],
    modes: ModesOption = None,
    limit: LimitOption = 0,
    as_json: AsJson = False,
) -> None:
    """Recall of evidence turns in long conversations, each a memory of its own, by category."""
    ways = combine_ways(mode=modes) if modes else WAYS
    datasets = load_locomo(folder)
    if limit:
        datasets = [limit_questions(dataset, limit) for dataset in datasets]
    with open_memories() as (_, memories):
        for dataset in datasets:
            memories.learn(dataset.name, dataset)
        reports = [evaluate_locomo(datasets, _by_name(memories, way), way=way.name) for way in ways]
    if as_json:
        against = [
            {measure: compare_locomo(report, reports[0], measure) for measure in report.answerable}
            for report in reports[1:]
        ]
        document = {
            "reports": [report.to_json() for report in reports],
            "differences": [
                {"way": report.way, "against": reports[0].way, **nest_scores(scores)}
                for report, scores in zip(reports[1:], against, strict=True)
            ],
        }
        print_json(json.dumps(document, indent=2, ensure_ascii=False))
        return
    out.print(tabulate_categories(reports))
    out.print(tabulate_conversations(reports))


def bench_drift(
    folders: Annotated[list[Path], typer.Argument(metavar="SET…", help="Sets with corpus.jsonl.")],
    distractors: Annotated[
        Path | None, typer.Option(help="Books whose passages are added to a further memory.", show_default=False)
    ] = None,
    passages: Annotated[int, typer.Option(help="How many passages of the books are added.", min=1)] = 100_000,
    modes: ModesOption = None,
    limit: LimitOption = 0,
    as_json: AsJson = False,
) -> None:
    """What each mode loses when the passages of all sets, and of books, are in one memory."""
    if len(folders) < 2 and distractors is None:
        raise InvalidInput("SET…", "must be two sets or more, or one with --distractors: else nothing is added.")
    ways = combine_ways(mode=modes) if modes else WAYS
    sets = [load_dataset(folder) for folder in folders]
    pooled = pool_sets(sets)  # before anything is learned: it checks the sets
    if limit:
        sets, pooled = ([limit_questions(one, limit) for one in some] for some in (sets, pooled))
    drifts: list[Drift] = []
    with open_memories() as (settings, memories):
        alone = {one.name: _evaluate(memories, one.name, [one], ways)[one.name] for one in sets}

        def measure(memory: str, datasets: Sequence[Dataset]) -> None:
            drifts.extend(
                measure_drift(
                    alone,
                    _evaluate(memories, memory, datasets, ways),
                    memory=memory,
                    passages_alone={one.name: len(one.documents) for one in sets},
                    passages=len(datasets[0].documents),
                )
            )

        if len(sets) > 1:
            measure("all sets", pooled)
        if distractors is not None:
            tokenizer = find_model(settings, settings.embedder) / "tokenizer.json"
            with console.status("Reading books") as status:
                added, size = cut_distractors(distractors, passages, tokenizer, progress=status.update)
            measure(
                f"with {len(added):,} passages of books, each of at most {size} tokens", add_distractors(pooled, added)
            )
    if as_json:
        print_json(json.dumps({"drift": [drift.to_json() for drift in drifts]}, indent=2, ensure_ascii=False))
        return
    for memory in dict.fromkeys(drift.memory for drift in drifts):
        out.print(tabulate_drift([drift for drift in drifts if drift.memory == memory]))


def _by_name(memories: Memories, way: Way) -> Callable[[Dataset], Search]:
    return lambda dataset: memories.search(dataset.name, way)


def _evaluate(
    memories: Memories, collection: str, datasets: Sequence[Dataset], ways: Sequence[Way]
) -> dict[str, list[RetrievalReport]]:
    """Learn the documents that the sets share, and ask the questions of each in each way."""
    memories.learn(collection, datasets[0])
    return {
        dataset.name: [evaluate_retrieval(dataset, memories.search(collection, way), way=way.name) for way in ways]
        for dataset in datasets
    }
