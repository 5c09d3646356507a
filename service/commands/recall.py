"""``search`` and ``ask``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from textwrap import fill, indent
from typing import Annotated, Any, Literal, TypeVar

import typer
from pydantic import ValidationError
from rich.markup import escape

from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from retrieval.ask import ask as ask_memory
from retrieval.facts import FactFilter
from retrieval.loops import LoopThread
from retrieval.search import Mode, Rerank
from retrieval.strategies.task import Strategy
from service.commands.output import AsJson, CollectionOption, DataDir, console, out, print_json
from service.local import find_service
from service.opening import DEFAULT_COLLECTION, ensure_default_collection, open_database
from service.query_log import QueryLog
from service.recall_schemas import QueryIn, QueryOut, SearchIn, SearchOut
from service.settings import Settings, read_settings
from service.wiring import answer_params, make_fact_filter, open_generator, open_searcher

ModeOption = Annotated[Mode, typer.Option("--mode", help="How passages are found.")]
RerankOption = Annotated[
    Rerank | None,
    typer.Option("--rerank", help="How they are ranked again.", show_default="chain in mode graph, else none"),
]
FilterOption = Annotated[
    str, typer.Option("--filter", help='Limits what is returned, as JSON: {"year": {"gte": 1900}}.')
]
Got = TypeVar("Got", SearchOut, QueryOut)
Shape = TypeVar("Shape", SearchIn, QueryIn)
TraceOption = Annotated[bool, typer.Option("--trace", help="Tell what each stage saw and did (with --json).")]


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many passages, 1 to 1000.")] = 10,
    mode: ModeOption = "graph",
    rerank: RerankOption = None,
    filter_: FilterOption = "{}",
    trace: TraceOption = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Find the passages that bear on a question."""
    settings = read_settings(data_dir=data_dir)
    body = _checked(SearchIn, query=query, top_k=top_k, mode=mode, rerank=rerank, filter=_filter(filter_), trace=trace)

    def here(database: Database) -> SearchOut:
        with _own_filter(settings) as fact_filter:
            searcher = open_searcher(settings, database, fact_filter=fact_filter)
            return SearchOut.of(searcher.search(collection, body.to_request()), trace=trace)

    found = _there_or_here(settings, f"/v1/collections/{collection}/search", body, SearchOut, here)
    if as_json:
        print_json(found)
        return
    if not found.hits:
        out.print("Nothing found.")
    for hit in found.hits:
        page = f" · p. {hit.page}" if hit.page else ""
        out.print(
            f"[bold]{hit.rank}. {escape(hit.title)}[/bold] [dim]{escape(hit.document_id)}{page} · {hit.score:.4f}[/dim]"
        )
        out.print(escape(indent(fill(_shorten(hit.text), width=min(out.width, 100) - 3), "   ")) + "\n")
    _footer(found.version, found.timings_ms, found.fallback_reason)


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    top_k: Annotated[int, typer.Option("--top-k", "-k", help="How many passages are read.")] = 5,
    mode: ModeOption = "graph",
    rerank: RerankOption = None,
    filter_: FilterOption = "{}",
    order: Annotated[
        Literal["edges", "best_first", "document"],
        typer.Option("--order", help="In which order the passages are read."),
    ] = "edges",
    strategy: Annotated[Strategy, typer.Option("--strategy", help="How the passages are read.")] = "direct",
    warm_start: Annotated[
        bool,
        typer.Option(
            "--warm-start", help="With --strategy notes: begin with what was noted for a question much like this one."
        ),
    ] = False,
    trace: TraceOption = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Answer a question from the memory, with citations."""
    settings = read_settings(data_dir=data_dir)
    body = _checked(
        QueryIn,
        question=question,
        top_k=top_k,
        mode=mode,
        rerank=rerank,
        filter=_filter(filter_),
        order=order,
        strategy=strategy,
        warm_start=warm_start,
        trace=trace,
    )

    def here(database: Database) -> QueryOut:
        return asyncio.run(_answer(settings, database, collection, body))

    with console.status("Thinking…"):
        found = _there_or_here(settings, f"/v1/collections/{collection}/query", body, QueryOut, here)
    if as_json:
        print_json(found)
        return
    out.print(f"[bold]{escape(found.answer)}[/bold]")
    if found.extractive:
        out.print("[yellow]Quoted from the passages, because no answer could be generated.[/yellow]")
    pages = {hit.passage_id: f", p. {hit.page}" for hit in found.hits if hit.page}
    for citation in found.citations:
        where = escape(citation.title) + pages.get(citation.passage_id, "")
        mark = "" if citation.supported else " [yellow](does not carry the answer by itself)[/yellow]"
        out.print(f"  [cyan]\\[{citation.n}][/cyan] {where}: “{escape(citation.quote)}”{mark}")
    for note in found.notes:
        title, mark = escape(fill(note.text, width=90).replace("\n", "\n     ")), "" if note.kept else " (not kept)"
        out.print(f"  [dim]—  {title}{mark}[/dim]")
    _footer(found.version, found.timings_ms, found.fallback_reason)


async def _answer(settings: Settings, database: Database, collection: str, body: QueryIn) -> QueryOut:
    generator = open_generator(settings)
    fact_filter = make_fact_filter(settings, generator, asyncio.get_running_loop())
    searcher = open_searcher(settings, database, fact_filter=fact_filter)
    log = QueryLog(database)
    try:
        params = answer_params(settings, body.order)
        request, strategy, warm = body.to_request(), body.strategy, body.warm_start
        asked = await ask_memory(searcher, generator, collection, request, params, strategy, warm_start=warm)
        query_id = log.add(body.question, asked)
        log.flush()
        return QueryOut.of(asked, query_id, trace=body.trace)
    finally:
        await generator.aclose()


@contextmanager
def _own_filter(settings: Settings) -> Iterator[FactFilter | None]:
    """Yield the filter of facts with a generator of its own, for a search that has no other use for one."""
    if not settings.filter_facts:
        yield None
        return
    generator, thread = open_generator(settings), LoopThread("generator")
    try:
        yield make_fact_filter(settings, generator, thread.loop)
    finally:
        thread.submit(generator.aclose()).result()
        thread.stop()


def _there_or_here(
    settings: Settings, path: str, body: SearchIn | QueryIn, shape: type[Got], here: Callable[[Database], Got]
) -> Got:
    """Ask the service that runs on this data folder, else load the models into this process."""
    service = find_service(settings)
    if service is not None:
        return shape.model_validate_json(service.post(path, body.model_dump(mode="json")))
    database = open_database(settings)
    try:
        ensure_default_collection(database)
        return here(database)
    finally:
        database.close()


def _checked(shape: type[Shape], **values: Any) -> Shape:
    try:
        return shape(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(".".join(str(part) for part in first["loc"]), first["msg"]) from error


def _filter(text: str) -> dict[str, Any]:
    try:
        conditions = json.loads(text)
    except ValueError as error:
        raise InvalidInput("--filter", f"is not JSON ({error})") from error
    if not isinstance(conditions, dict):
        raise InvalidInput("--filter", 'must be a JSON object such as {"source": "letters"}')
    return conditions


def _shorten(text: str, limit: int = 400) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[:limit].rsplit(" ", 1)[0] + " …"


def _footer(version: int, timings_ms: dict[str, float], fallback_reason: str | None) -> None:
    stages = ", ".join(f"{name} {ms:.0f}" for name, ms in timings_ms.items() if name != "total")
    out.print(f"[dim]version {version} · {timings_ms.get('total', 0):.0f} ms ({stages})[/dim]")
    if fallback_reason:
        out.print(f"[yellow]{escape(fallback_reason)}[/yellow]")
