"""``bench``: how fast, side by side in one run."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from evaluation.adding_bench import AddingRow, bench_adding
from evaluation.bench_memories import Subject, copy_memory, make_memory
from evaluation.ingest_bench import bench_ingest
from evaluation.search_bench import SearchRow, bench_search
from evaluation.walk_bench import WalkRow, bench_walk, synthetic_graph
from ingest.files import find_files
from ingest.splitter import Splitter
from memory_graph.errors import InvalidInput
from memory_graph.graph import Graph
from retrieval.view import compacted
from service.commands import peers, serving, sets
from service.commands.output import AsJson, DataDir, console, out, print_json
from service.commands.scratch import open_scratch, show_learning
from service.opening import open_database
from service.settings import read_settings
from service.wiring import find_model, make_learner, open_embedder, open_views, spacy_extractor

bench_app = typer.Typer(help="Measure speed, side by side in one run.", no_args_is_help=True)
bench_app.command("peers")(peers.bench_peers)
bench_app.command("locomo")(sets.bench_locomo)
bench_app.command("drift")(sets.bench_drift)
bench_app.command("serving")(serving.bench_served)


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
    with open_scratch(settings) as (scratch, database):
        embedder = open_embedder(scratch)
        extractor = spacy_extractor(scratch)()
        splitter = Splitter(find_model(scratch, scratch.embedder) / "tokenizer.json")
        with show_learning() as show:
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
    out.print(f"Over the slowest stage alone: {report.overhead:+.0%}")
    told = ["?" if mb is None else f"{mb:,.0f}" for mb in report.memory_mb]
    out.print(f"MB of this process by tenth of the run: {', '.join(told)}", highlight=False)
    out.print("Passages/s by tenth of the run: " + ", ".join(f"{rate:.0f}" for rate in report.deciles_per_s))


SizesOption = Annotated[str, typer.Option("--sizes", help="Passages of the made-up memories, with commas between.")]


@bench_app.command("walk")
def bench_walks(
    sizes: SizesOption = "10000,100000",
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="Walk the graph of this collection instead.")
    ] = "",
    queries: Annotated[int, typer.Option(help="Walks by push that are timed.", min=1)] = 100,
    igraph: Annotated[bool, typer.Option(help="Time igraph beside it; minutes at a million passages.")] = True,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """The walk by push, beside the exact power iteration and igraph on the same graph."""
    if igraph and find_spec("igraph") is None:
        raise InvalidInput("--igraph", "is not installed: pip install 'sharpwave[bench]', or give --no-igraph")
    rows = []
    with console.status("Starting") as status:
        if collection:
            settings = read_settings(data_dir=data_dir)
            database = open_database(settings)
            try:
                status.update(f"Reading {collection}")
                graph = compacted(open_views(settings, database).current(collection)[1]).graph
            finally:
                database.close()
            if not graph.total_count:
                raise InvalidInput("--collection", f"{collection!r} has no edges to walk")
            rows.append(_walk_row(collection, graph, 0.0, queries, igraph))
        else:
            for size in _sizes(sizes):
                status.update(f"Making up {size:,} passages")
                graph, build_s = synthetic_graph(size)
                status.update(f"Walking among {size:,} passages")
                rows.append(_walk_row("synthetic", graph, build_s, queries, igraph))
    if as_json:
        print_json(json.dumps({"rows": [row.to_json() for row in rows]}, indent=2))
        return
    out.print(_table("The walk; times are medians a query", rows, _WALK_LINES))


@bench_app.command("search")
def bench_searches(
    sizes: SizesOption = "10000,100000",
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="Search a copy of this collection's memory instead.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Where the memories are made, and removed again; default: the temporary folder.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Whole searches, how soon a commit is seen, loading and merging, and memory."""
    rows: list[SearchRow] = []
    with console.status("Starting") as status:

        def measure(make: Callable[..., Subject], *given: Any) -> None:
            with tempfile.TemporaryDirectory(prefix="sharpwave-", dir=folder) as place:
                rows.append(bench_search(make, *given, Path(place), progress=lambda doing: status.update(doing)))

        if collection:
            database = open_database(read_settings(data_dir=data_dir))
            path = database.path
            database.close()
            if path is None:
                raise InvalidInput("--collection", "must be in an SQLite database, which can be copied")
            measure(copy_memory, path, collection)
        else:
            for size in _sizes(sizes):
                measure(make_memory, size)
    if as_json:
        print_json(json.dumps({"rows": [row.to_json() for row in rows]}, indent=2))
        return
    out.print(_table("Whole searches; the question is embedded already", rows, _SEARCH_LINES))


@bench_app.command("adding")
def bench_additions(
    sizes: Annotated[
        str,
        typer.Option(
            "--sizes",
            help="Passages of the memories, with commas between; the first is what the others are compared with.",
        ),
    ] = "0,10000,100000",
    documents: Annotated[int, typer.Option(help="Documents that are added to each.", min=1)] = 20,
    folder: Annotated[
        Path | None, typer.Option(help="Where the memories are made, and removed again; default: the temporary folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What adding one document costs in memories of several sizes."""
    with console.status("Starting") as status, tempfile.TemporaryDirectory(prefix="sharpwave-", dir=folder) as place:
        rows = bench_adding(
            _sizes(sizes, empty=True), Path(place), documents=documents, progress=lambda doing: status.update(doing)
        )
    if as_json:
        print_json(json.dumps({"rows": [row.to_json() for row in rows]}, indent=2))
        return
    out.print(_table("Adding one document of 20 passages; embedding and extraction left out", rows, _ADDING_LINES))


_ADDING_LINES = (
    ("learning it, ms", "learn_ms", ",.1f"),
    ("of that the commit, ms", "commit_ms", ",.1f"),
    ("until a reader's view holds it, ms", "searchable_ms", ",.1f"),
    ("learning / in the first", "learn_ratio", ".2f"),
    ("the commit / in the first", "commit_ratio", ".2f"),
    ("the view / in the first", "searchable_ratio", ".2f"),
)
_WALK_LINES = (
    ("phrases", "phrases", ",d"),
    ("edges", "edges", ",d"),
    ("graph, MB", "graph_mb", ",.0f"),
    ("building, s", "build_s", ",.1f"),
    ("push, ms", "push_ms", ",.2f"),
    ("push, ms, 95 of 100 below", "push_p95_ms", ",.2f"),
    ("push from 8 threads, ms a query", "push_8_threads_ms", ",.2f"),
    ("power iteration, ms", "exact_ms", ",.0f"),
    ("igraph prpack, ms", "igraph_ms", ",.0f"),
    ("power iteration / push", "exact_over_push", ",.0f"),
    ("igraph / push", "igraph_over_push", ",.0f"),
    ("edges touched by push", "edges_touched", ",d"),
    ("nodes reached by push", "nodes_reached", ",d"),
    ("recall@10 of push against exact", "recall_at_10", ".3f"),
    ("L1 error of push", "l1_error", ".4f"),
    ("L1 gap of igraph to exact", "igraph_gap", ".1e"),
)
_SEARCH_LINES = (
    ("phrases", "phrases", ",d"),
    ("edges", "edges", ",d"),
    ("search, ms", "search_ms", ",.2f"),
    ("search, ms, 95 of 100 below", "search_p95_ms", ",.2f"),
    ("search when 8 run at once, ms", "threads_8_ms", ",.1f"),
    ("searches a second from 8 threads", "threads_8_per_s", ",.0f"),
    ("recall@100 of the segments", "ann_recall_at_100", ".4f"),
    ("commit of one document, ms", "commit_ms", ",.1f"),
    ("commit to the answer that asked for it, ms", "fresh_ms", ",.1f"),
    ("the slowest of these, ms", "fresh_worst_ms", ",.1f"),
    ("commit to the answer that did not ask, ms", "unasked_ms", ",.1f"),
    ("compacting and saving, s", "merge_s", ",.1f"),
    ("search meanwhile, ms", "merging_ms", ",.2f"),
    ("search meanwhile / quiet", "merging_over_quiet", ".2f"),
    ("loading the saved view, s", "load_s", ",.2f"),
    ("loading it from a cold disk, s", "load_cold_s", ",.2f"),
    ("saved view, MB", "saved_mb", ",.0f"),
    ("resident, MB", "resident_mb", ",.0f"),
    ("of that private, MB", "private_mb", ",.0f"),
)


def _walk_row(name: str, graph: Graph, build_s: float, queries: int, igraph: bool) -> WalkRow:
    return bench_walk(name, graph, build_s, queries=queries, igraph_queries=2 if igraph else 0)


def _sizes(text: str, *, empty: bool = False) -> list[int]:
    """Read the sizes; ``empty`` allows 0 too. Errors: ``InvalidInput``."""
    try:
        sizes = [int(size) for size in text.split(",")]
    except ValueError as error:
        raise InvalidInput(
            "--sizes", f"must be numbers with commas between, such as 10000,100000 (it is {text!r})"
        ) from error
    if any(size < 100 and not (empty and size == 0) for size in sizes):
        raise InvalidInput("--sizes", "must be 100 passages or more")
    return sizes


def _table(title: str, rows: Sequence[WalkRow | SearchRow | AddingRow], lines: Iterable[tuple[str, str, str]]) -> Table:
    """Return a table with a column a row and a line a figure."""
    table = Table("Passages", *(f"{row.passages:,}" for row in rows), title=title)
    for column in table.columns[1:]:
        column.justify = "right"
    for label, name, form in lines:
        values = [getattr(row, name) for row in rows]
        table.add_row(label, *("–" if value is None else format(value, form) for value in values))
    return table
