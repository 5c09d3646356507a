"""``eval duplicates``: what copies among the documents do to the questions, and what the policies about them save."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluation.copies import (
    Condition,
    Planted,
    find_distractors,
    list_conditions,
    measure_crowding,
    plant_copies,
)
from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.memory import RememberingEmbedder, learn_documents
from evaluation.searches import Search, search_in
from evaluation.study_report import lay_out, to_markdown
from ingest.pipeline import Learner
from memory_graph.database import Database
from memory_graph.store.collections import get_collection
from memory_graph.store.duplicates import copies_of
from memory_graph.types import Policy
from retrieval.search import Mode, Searcher, SearchRequest
from retrieval.views import ViewCache
from service.commands.learned_set import check_learned
from service.commands.output import AsJson, console, out, print_json
from service.commands.scratch import open_scratch, show_learning
from service.settings import read_settings
from service.wiring import make_learner, open_embedder

MODES: tuple[Mode, ...] = ("dense", "graph")
NONE = "none"


def duplicates(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A set.")],
    copies: Annotated[int, typer.Option(help="Copies of each document that is copied.", min=1)] = 3,
    distractors: Annotated[
        int, typer.Option(help="Documents copied for each question: the first that are not gold.", min=1)
    ] = 2,
    seed: Annotated[int, typer.Option(help="Chooses what is copied and changed.")] = 0,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Plant copies among the documents of a set, and say what they cost its questions under each policy."""
    dataset = load_dataset(folder)
    dataset = limit_questions(dataset, limit) if limit else dataset
    settings = read_settings()
    with open_scratch(settings) as (scratch, database):
        embedder = RememberingEmbedder(open_embedder(scratch))
        learner = make_learner(scratch, database, embedder)()
        searcher = Searcher(database, ViewCache(database), embedder)
        _learn(database, learner, NONE, dataset, "link")
        hard = find_distractors(dataset, _search(searcher, NONE, "dense", fold=False), distractors)
        planted = plant_copies(dataset, hard, copies, seed=seed)
        policies: tuple[Policy, ...] = ("link", "skip")
        for policy in policies:
            _learn(database, learner, policy, planted.dataset, policy)
        linked = _count_linked(database, planted)
        tables = {
            mode: measure_crowding(
                dataset,
                {
                    "no copies": _search(searcher, NONE, mode, fold=False),
                    "no copies, link": _search(searcher, NONE, mode, fold=True),
                    # Links change no ranking: without folding this is what keep brings.
                    "keep": _search(searcher, "link", mode, fold=False),
                    "link": _search(searcher, "link", mode, fold=True),
                    "skip": _search(searcher, "skip", mode, fold=True),
                },
                planted.original,
                progress=_tell,
            )
            for mode in MODES
        }
    if as_json:
        print_json(json.dumps(_to_json(tables, linked), indent=2, ensure_ascii=False))
        return
    for kind, (found, total) in linked.items():
        out.print(f"{found:,} of {total:,} {kind} copies were linked to what they copy.", markup=False)
    for mode, conditions in tables.items():
        cells = list_conditions(conditions)
        cells[0][0] = f"{mode}, {cells[0][0]}"
        if markdown:
            out.file.write(to_markdown(cells) + "\n")
        else:
            out.print(lay_out(cells))


def _tell(condition: str) -> None:
    console.print(f"Asking: {condition}", markup=False)


def _learn(database: Database, learner: Learner, collection: str, dataset: Dataset, policy: Policy) -> None:
    with show_learning() as show:
        job = learn_documents(
            database, learner, collection, dataset.documents, split=dataset.split, progress=show, duplicates=policy
        )
    check_learned(job)
    console.print(
        f"{collection}: {job.documents} documents, {job.passages} passages; {job.exact} exact and {job.near} near "
        f"copies, {job.skipped} skipped"
    )


def _search(searcher: Searcher, collection: str, mode: Mode, *, fold: bool) -> Search:
    return search_in(
        searcher, collection, lambda query, count: SearchRequest(query=query, top_k=count, mode=mode, fold=fold)
    )


def _count_linked(database: Database, planted: Planted) -> dict[str, tuple[int, int]]:
    """Count those copies, by kind, that are linked to their original or to another copy of it."""
    counts = {"exact": (0, 0), "near": (0, 0)}
    with database.read() as connection:
        collection_id = get_collection(connection, "link").id
        for copy, original in planted.original.items():
            kind = "exact" if copy in planted.exact else "near"
            others = {one.document_id for one in copies_of(connection, collection_id, copy)}
            found, total = counts[kind]
            same = any(planted.original.get(one, one) == original for one in others)
            counts[kind] = found + same, total + 1
    return counts


def _to_json(tables: dict[Mode, list[Condition]], linked: dict[str, tuple[int, int]]) -> dict[str, Any]:
    return {
        "linked": {kind: {"found": found, "planted": total} for kind, (found, total) in linked.items()},
        "modes": {mode: [asdict(one) for one in conditions] for mode, conditions in tables.items()},
    }
