"""``graph``: the memory's names and passages as a graph to look at. It needs no model and no running service."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree
from sqlalchemy import Connection

from memory_graph.errors import Conflict, InvalidInput, SharpwaveError
from memory_graph.store.collections import get_collection
from service.commands.output import AsJson, CollectionOption, DataDir, console, out, print_json
from service.opening import DEFAULT_COLLECTION, open_database
from service.settings import read_settings

# networkx takes a while to import: only these verbs pay for it, when they run.
if TYPE_CHECKING:
    from memory_graph.evidence import Evidence, PathStep

SHOWN_COMMUNITIES = 20

graph_app = typer.Typer(help="Look at names, how they are connected, and export the graph.", no_args_is_help=True)

HopsOption = Annotated[int, typer.Option("--hops", help="How many edges away, 1 to 6.")]
LimitOption = Annotated[int, typer.Option("--limit", help="At most so many names and passages, 1 to 2000.")]


@graph_app.command("ego")
def ego(
    name: Annotated[str, typer.Argument(help="A name that the memory knows.")],
    hops: HopsOption = 1,
    limit: LimitOption = 100,
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show the names and passages around a name."""
    from memory_graph.graph_files import node_link
    from memory_graph.inspect import ego_graph

    with _open_collection(collection, data_dir) as (connection, collection_id):
        found = ego_graph(connection, collection_id, name, hops=hops, limit=limit)
    found.graph["collection"] = collection
    if as_json:
        print_json(json.dumps(node_link(found), ensure_ascii=False, indent=2))
        return
    out.print(_draw_tree(found), soft_wrap=False)
    if found.graph["cut"]:
        out.print(f"[yellow]More is connected than these {len(found)} names and passages; see --limit.[/yellow]")


@graph_app.command("path")
def path(
    source: Annotated[str, typer.Argument(metavar="FROM", help="A name that the memory knows.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="Another.")],
    steps: Annotated[int, typer.Option("--steps", help="At most so many steps from name to name, 1 to 6.")] = 4,
    paths: Annotated[int, typer.Option("--paths", help="At most so many paths, 1 to 20.")] = 3,
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Show why two names are connected: the shortest paths between them, with passages and facts."""
    from memory_graph.evidence import evidence_paths

    with _open_collection(collection, data_dir) as (connection, collection_id):
        found = evidence_paths(connection, collection_id, source, target, steps=steps, paths=paths)
    if as_json:
        print_json(json.dumps(asdict(found), ensure_ascii=False, indent=2))
        return
    for chain in found.paths:
        names = [chain[0].source, *(step.target for step in chain)]
        tree = Tree(" → ".join(f"[bold]{_plain(one)}[/bold]" for one in names), guide_style="dim")
        for step in chain:
            _draw_step(tree, step)
        out.print(tree, soft_wrap=False)
    if found.reason:
        ends = f"{_plain(found.source)} and {_plain(found.target)}"
        out.print(f"[yellow]No path between {ends}: {escape(found.reason)}.[/yellow]")
    elif found.cut:
        out.print("[yellow]There may be other paths: not every one was followed or is shown.[/yellow]")


@graph_app.command("communities")
def communities(
    limit: Annotated[int, typer.Option("--limit", help="Look at so many best-connected names, 1 to 5000.")] = 500,
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Group the names by the passages that they share."""
    from memory_graph.inspect import communities as find_communities

    with _open_collection(collection, data_dir) as (connection, collection_id):
        found = find_communities(connection, collection_id, limit=limit)
    if as_json:
        print_json(json.dumps(asdict(found), ensure_ascii=False, indent=2))
        return
    if not found.communities:
        out.print("No two names share a passage yet." if found.considered else "No names yet.")
        return
    table = Table("Names", "Best connected")
    table.columns[0].justify = "right"
    for one in found.communities[:SHOWN_COMMUNITIES]:
        table.add_row(f"{one.size:,}", " · ".join(map(_plain, one.label)))
    out.print(table)
    count = len(found.communities)
    groups = "1 community" if count == 1 else f"{count:,} communities"
    rest = count - SHOWN_COMMUNITIES
    more = f"; {rest:,} smaller ones are not shown" if rest > 0 else ""
    alone = f"; {found.alone:,} stand alone" if found.alone else ""
    out.print(f"[dim]{found.considered:,} names in {groups}{more}{alone}[/dim]")
    if found.cut:
        out.print("[yellow]The memory holds more than was looked at; see --limit.[/yellow]")


@graph_app.command("export")
def export(
    format_: Annotated[Literal["graphml", "node-link"], typer.Option("--format", help="The form.")] = "graphml",
    center: Annotated[str | None, typer.Option("--center", help="Only what is around this name.")] = None,
    hops: Annotated[int | None, typer.Option("--hops", help="With --center: how many edges away; 1.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", help="With --center: at most so many nodes; 100.")] = None,
    texts: Annotated[bool, typer.Option("--texts", help="With the texts of the passages.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; else standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    data_dir: DataDir = None,
) -> None:
    """Write the graph of a collection, or what is around a name, as GraphML or node-link JSON."""
    from memory_graph.graph_files import draw_collection, write_graphml, write_node_link

    for option, value in (("--hops", hops), ("--limit", limit)):
        if value is not None and center is None:
            raise InvalidInput(option, "goes with --center; without one the whole collection is written")
    if output is not None and output.exists():
        if not output.is_file():
            raise InvalidInput("--output", f"{output} is not a file")
        if not force:
            raise Conflict(f"{output} exists already; --force replaces it")
    write = write_graphml if format_ == "graphml" else write_node_link
    with _open_collection(collection, data_dir) as (connection, collection_id):
        found: Any
        if center is None:
            found = draw_collection(connection, collection_id, collection, texts=texts)
        else:
            from memory_graph.inspect import ego_graph

            bounds = {name: value for name, value in (("hops", hops), ("limit", limit)) if value is not None}
            found = ego_graph(connection, collection_id, center, texts=texts, **bounds)
            found.graph["collection"] = collection
        if output is None:
            write(found, sys.stdout)
            return
        with _write_aside(output) as file:
            write(found, file)
    console.print(f"Wrote {escape(str(output))}, {output.stat().st_size / 1000:,.0f} kB.")


@contextmanager
def _open_collection(name: str, data_dir: Path | None) -> Iterator[tuple[Connection, int]]:
    """Open a collection for reading. Errors: ``NotFound``."""
    with closing(open_database(read_settings(data_dir=data_dir))) as database, database.read() as connection:
        yield connection, get_collection(connection, name).id


@contextmanager
def _write_aside(path: Path) -> Iterator[IO[str]]:
    """Open a file that takes its name only when all is written. Errors: ``SharpwaveError`` where it cannot be."""
    aside = path.with_name(f".sharpwave-{os.getpid()}.part")
    try:
        try:
            with aside.open("w", encoding="utf-8", newline="\n") as file:
                yield file
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise SharpwaveError(f"cannot write {path}: {error.strerror}") from error


def _draw_tree(graph: Any) -> Tree:
    """Hang every node under the first one that is nearer to the center; the nodes stand nearest first."""
    branches: dict[str, Tree] = {}
    for node, about in graph.nodes(data=True):
        if not branches:
            branches[node] = root = Tree(f"[bold]{_plain(about['name'])}[/bold]", guide_style="dim")
            continue
        parent = next(one for one in branches if graph.has_edge(one, node) or graph.has_edge(node, one))
        branches[node] = branches[parent].add(_label(graph, parent, node))
    return root


def _label(graph: Any, parent: str, node: str) -> str:
    about = graph.nodes[node]
    said = [f"—{_plain(edge['predicate'])}→" for edge in _relations(graph, parent, node)]
    said += [f"←{_plain(edge['predicate'])}—" for edge in _relations(graph, node, parent)]
    if about["kind"] == "phrase":
        return " ".join([*(f"[cyan]{one}[/cyan]" for one in said), f"[bold]{_plain(about['name'])}[/bold]"])
    count = graph.edges[node, parent, "context"]["count"]
    return f"{_plain(about['title'])} [dim]{_place(about['document_id'], about['ordinal'])} ×{count}[/dim]"


def _relations(graph: Any, start: str, end: str) -> list[Any]:
    return [edge for edge in (graph.get_edge_data(start, end) or {}).values() if edge["kind"] == "relation"]


def _draw_step(tree: Tree, step: PathStep) -> None:
    shared = f"{step.shared:,} shared passage{'' if step.shared == 1 else 's'}"
    branch = tree.add(f"{_plain(step.source)} and {_plain(step.target)} [dim]{shared}[/dim]")
    told: set[int] = set()
    for fact in step.facts:
        stated = branch.add(f"{_plain(fact.subject)} [cyan]—{_plain(fact.predicate)}→[/cyan] {_plain(fact.object)}")
        for one in fact.passages:
            if one.passage_id not in told:
                stated.add(_quote(one))
                told.add(one.passage_id)
    for one in step.passages:
        if one.passage_id not in told:
            branch.add(_quote(one))


def _quote(evidence: Evidence) -> str:
    where = f"{_plain(evidence.title)} [dim]{_place(evidence.document_id, evidence.ordinal)}[/dim]"
    return f"{where}\n“{_plain(evidence.snippet)}”"


def _place(document_id: str, ordinal: int) -> str:
    return f"{_plain(document_id)} · passage {ordinal + 1}"


def _plain(text: str) -> str:
    """Return a text that a terminal takes for nothing but text."""
    return escape("".join(one if one.isprintable() else " " for one in text))
