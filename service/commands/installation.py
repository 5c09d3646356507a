"""``models``, ``db`` and ``doctor``: the installation itself."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from memory_graph.database import Database, schema_state
from retrieval import models
from retrieval.download import Downloader
from service.commands.output import AsJson, DataDir, console, out, print_json
from service.opening import make_schema
from service.settings import read_settings

MB = 2**20

models_app = typer.Typer(help="List and fetch the models.", invoke_without_command=True)
db_app = typer.Typer(help="Care for the database.", no_args_is_help=True)


@models_app.callback()
def models_(context: typer.Context, as_json: AsJson = False) -> None:
    if context.invoked_subcommand is None:
        list_models(as_json)


@models_app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the models of the registry and say which are in the cache."""
    root = models.models_dir()
    rows = [
        {
            "name": model.name,
            "role": model.role,
            "default": model.default,
            "bytes": model.size,
            "licence": model.licence,
            "present": models.is_present(model, root),
            "description": model.description,
        }
        for model in models.registry()
    ]
    if as_json:
        print_json(json.dumps({"folder": str(root), "models": rows}, indent=2))
        return
    table = Table("Model", "Role", "Size", "Licence", "In the cache", "What it is")
    for row in rows:
        name = f"[bold]{row['name']}[/bold] (default)" if row["default"] else str(row["name"])
        size = f"{int(str(row['bytes'])) / MB:,.0f} MB"
        table.add_row(
            name,
            str(row["role"]),
            size,
            str(row["licence"]),
            "yes" if row["present"] else "no",
            str(row["description"]),
        )
    out.print(table)
    out.print(f"Folder: {root}")


@models_app.command("pull")
def pull(
    names: Annotated[list[str] | None, typer.Argument(help="Which; the defaults if none is named.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every model of the registry.")] = False,
) -> None:
    """Fetch models into the cache; what is there already is verified, byte by byte."""
    chosen = [models.find(name) for name in names or ()]
    if not chosen:
        chosen = [model for model in models.registry() if everything or model.default]
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as bars, Downloader() as downloader:
        for model in chosen:
            task = bars.add_task(model.name, total=model.size)

            def show(_name: str, done: int, total: int, task: TaskID = task) -> None:
                bars.update(task, completed=done, total=total)

            models.pull(model, models.models_dir(), progress=show, downloader=downloader)


@db_app.command("upgrade")
def upgrade(data_dir: DataDir = None) -> None:
    """Create the database's schema, or bring it up to this program's."""
    settings = read_settings(data_dir=data_dir)
    database = Database(settings.resolved_database_url)
    before = schema_state(database) if database.path is None or database.path.exists() else "empty"
    make_schema(database)
    console.print(
        "The schema is up to date." if before == "current" else f"The schema was {before}; now it is current."
    )


def doctor(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Check the installation and say how to mend what is wrong."""
    from service.doctor import Examined, examine  # late: it imports all that learns and searches

    results = asyncio.run(examine(Examined(settings=read_settings(data_dir=data_dir))))
    healthy = all(one.ok for one in results)
    if as_json:
        rows = [asdict(one) for one in results]
        print_json(json.dumps({"ok": healthy, "checks": rows}, indent=2))
    else:
        for one in results:
            mark = "[green]ok  [/green]" if one.ok else "[red]MEND[/red]"
            out.print(f"{mark} {one.check}: {escape(one.detail)}")
    if not healthy:
        raise SystemExit(1)
