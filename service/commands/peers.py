"""``bench peers``: Sharpwave beside other ways of searching, on the same set."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from evaluation.datasets import Dataset, limit_questions, load_dataset
from evaluation.memory import Learning, time_learning
from evaluation.openie import OpenieExtractor, Reading, count_tokens, openie_extractions, read_openie
from evaluation.peers import PeerRow, measure_bm25, measure_dense, measure_peer, measure_triples, read_corpus
from evaluation.report import format_estimate
from evaluation.searches import search_in
from evaluation.ways import Way
from ingest.extraction import Extractor
from memory_graph.errors import InvalidInput
from retrieval.search import Searcher
from retrieval.views import ViewCache
from service.commands.learned_set import learn_shown
from service.commands.output import AsJson, console, out, print_json
from service.commands.scratch import open_scratch
from service.settings import Settings, read_settings
from service.wiring import make_learner, open_embedder

_NEEDED = {"bm25s": "bm25s", "Stemmer": "PyStemmer", "igraph": "igraph"}
_MB = 1e6
# Dense and hybrid search do not look at names: they are the same in both memories, and measured in one.
WAYS = (Way(mode="dense"), Way(mode="hybrid"), Way(rerank="none"), Way(rerank="chain"))


def bench_peers(
    folder: Annotated[Path, typer.Argument(help="A set of passages: corpus.jsonl and questions.jsonl.")],
    openie: Annotated[
        Path | None, typer.Option(help="Entities and triples (openie.jsonl), for what is built on triples.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Only so many questions, chosen with a fixed seed; 0 for all.", min=0)] = 0,
    as_json: AsJson = False,
) -> None:
    """Dense, BM25, HippoRAG 2's ranking and Sharpwave's modes, in one run on the same vectors and triples."""
    missing = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if missing:
        raise InvalidInput("bench peers", f"needs {', '.join(missing)}: pip install 'sharpwave[bench]'")
    dataset = load_dataset(folder)
    if dataset.split != "none":
        raise InvalidInput("FOLDER", "must hold passages (corpus.jsonl): peers do not split documents")
    readings = None if openie is None else read_openie(openie, dataset)
    if limit:
        dataset = limit_questions(dataset, limit)
    rows = _measure(read_settings(), dataset, readings)
    if as_json:
        document = {"set": dataset.name, "passages": len(dataset.documents), "rows": [row.to_json() for row in rows]}
        print_json(json.dumps(document, indent=2, ensure_ascii=False))
        return
    out.print(_tabulate(dataset, rows))


def _measure(settings: Settings, dataset: Dataset, readings: Mapping[str, Reading] | None) -> list[PeerRow]:
    with open_scratch(settings) as (scratch, database):
        embedder = open_embedder(scratch)
        embedder.encode(["warm up"])  # loading the model is nobody's index time
        views = ViewCache(database)

        def learn(collection: str, extractor: Callable[[], Extractor] | None) -> Learning:
            learner = make_learner(scratch, database, embedder, extractor=extractor)()
            return time_learning(lambda: learn_shown(database, learner, collection, dataset), views, collection)

        learned = {"names": learn("names", None)}
        tokens: dict[str, int | None] = {"names": 0}
        if readings is not None:
            learned["triples"] = learn("triples", partial(OpenieExtractor, openie_extractions(dataset, readings)))
            tokens["triples"] = count_tokens(readings)
        corpus = read_corpus(database, views.current("names")[1], dataset, embedder, learned["names"].seconds["embed"])
        with console.status("Searching"):
            rows = [measure_dense(dataset, corpus), measure_bm25(dataset, corpus)]
            if readings is not None:
                rows += measure_triples(dataset, corpus, readings)
            searcher = Searcher(database, views, embedder)
            for collection, learning in learned.items():
                view = views.current(collection)[1]
                # "extract" is the child's own time, most of which passes while this process embeds: what was waited
                # for counts.
                index_s = {stage: spent for stage, spent in learning.seconds.items() if stage != "extract"}
                for way in WAYS if collection == "names" else [way for way in WAYS if way.mode == "graph"]:
                    rows.append(
                        measure_peer(
                            dataset,
                            f"sharpwave {way.name}, {collection}",
                            search_in(searcher, collection, way.request),
                            index_s=index_s,
                            memory_mb=sum(view.nbytes.values()) / _MB,
                            llm_tokens=tokens[collection],
                        )
                    )
    return rows


def _tabulate(dataset: Dataset, rows: Sequence[PeerRow]) -> Table:
    title = f"{dataset.name}: {len(dataset.documents):,} passages, {rows[0].retrieval.n_questions:,} questions"
    table = Table("Search", title=title)
    for heading in ("recall@2", "recall@5", "recall@10", "ms", "index, s", "LLM tokens", "MB"):
        table.add_column(heading, justify="right")
    for row in rows:
        recall = row.retrieval.recall
        size = "–" if row.memory_mb is None else f"{row.memory_mb:,.1f}"
        table.add_row(
            row.name,
            *(format_estimate(recall[k]).replace("[", r"\[") for k in (2, 5, 10)),
            f"{row.retrieval.ms_median:.1f}",
            f"{sum(row.index_s.values()):,.1f}",
            "not counted" if row.llm_tokens is None else f"{row.llm_tokens:,}",
            size + (" resident" if row.memory_kind == "resident" else ""),
        )
    return table
