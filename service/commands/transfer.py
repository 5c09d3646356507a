"""``export`` and ``import``: a collection as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from memory_graph.errors import InvalidInput
from memory_graph.store.collections import count_contents
from service.auditing import audited, cli_actor, imported_by, refusals
from service.commands.output import AsJson, DataDir, console, print_json
from service.opening import open_database
from service.schemas import CollectionOut
from service.settings import read_settings
from service.transfer import export_file, import_file


def export(
    collection: Annotated[str, typer.Argument(help="The collection.")],
    to: Annotated[Path, typer.Option("--out", help="The file to write; gzipped if it ends in .gz.")],
    data_dir: DataDir = None,
) -> None:
    """Write all that a collection holds to a file of JSON lines."""
    if to.is_dir():
        raise InvalidInput("--out", f"{to} is a folder; name a file")
    database, actor = open_database(read_settings(data_dir=data_dir)), cli_actor()
    counts = export_file(database, collection, to)
    documents, passages = counts.get("document", 0), counts.get("passage", 0)
    with audited(database, actor, "collection.export", collection=collection) as change:
        change.detail = {"documents": documents, "passages": passages}
    console.print(f"Wrote {documents:,} documents, {passages:,} passages to {to}.", markup=False)


def import_(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What `sharpwave export` wrote; gzipped if .gz.")],
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Under which name; its own if not given.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a collection of a file that `sharpwave export` wrote: all of it, or nothing."""
    settings = read_settings(data_dir=data_dir)
    database, actor = open_database(settings), cli_actor()
    columns = SpinnerColumn(), TextColumn("{task.description}")
    # Elsewhere than in a terminal it would leave an empty line.
    with (
        refusals(database, actor, "collection.import"),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown,
    ):
        task = shown.add_task("importing")

        def tell(lines: int) -> None:
            shown.update(task, description=f"importing, {lines:,} lines")

        noted = imported_by(actor)
        made, counts = import_file(database, path, settings.embedder, name=collection, progress=tell, noted=noted)
    if as_json:
        with database.read() as connection:
            print_json(CollectionOut.of(made, count_contents(connection, made.id)))
        return
    documents, passages = counts.get("document", 0), counts.get("passage", 0)
    console.print(f"Made {made.name} of {documents:,} documents, {passages:,} passages.", markup=False)
