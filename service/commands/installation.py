"""``models``, ``db`` and ``doctor``: the installation itself."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
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

from ingest.alive import live_workers
from ingest.queue_tables import prepare_queue
from memory_graph.database import Database, schema_state, upgrade_schema
from memory_graph.errors import SharpwaveError
from memory_graph.store.jobs import list_workers
from memory_graph.store.purges import open_purges
from memory_graph.store.rows import now
from retrieval import models
from retrieval.download import Downloader
from service.commands.output import AsJson, DataDir, console, out, print_json
from service.opening import open_database
from service.settings import Settings, read_settings

MB = 2**20
# An ingestion of ordinary size needs some hundred megabytes; below this the next one may fail.
LOW_DISK_MB = 1024
LONG_WAIT = timedelta(hours=1)  # for a purge

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
    upgrade_schema(database)
    prepare_queue(database)
    console.print(
        "The schema is up to date." if before == "current" else f"The schema was {before}; now it is current."
    )


def doctor(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Check the installation and say how to mend what is wrong."""
    settings = read_settings(data_dir=data_dir)
    checks: list[tuple[str, Callable[[Settings], str]]] = [
        ("python", _check_python),
        ("data folder", _check_folder),
        ("disk", _check_disk),
        ("store", _check_store),
        ("models", _check_models),
        ("generator", _check_generator),
        ("worker", _check_worker),
        ("purges", _check_purges),
    ]
    results = []
    for name, check in checks:
        try:
            results.append((name, True, check(settings)))
        except SharpwaveError as error:
            results.append((name, False, error.message))
    healthy = all(ok for _, ok, _ in results)
    if as_json:
        rows = [{"check": name, "ok": ok, "detail": detail} for name, ok, detail in results]
        print_json(json.dumps({"ok": healthy, "checks": rows}, indent=2))
    else:
        for name, ok, detail in results:
            mark = "[green]ok  [/green]" if ok else "[red]MEND[/red]"
            out.print(f"{mark} {name}: {escape(detail)}")
    if not healthy:
        raise SystemExit(1)


def _check_python(_settings: Settings) -> str:
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores"


def _check_folder(settings: Settings) -> str:
    folder = settings.data_dir.expanduser()
    probe = folder / f".doctor-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"ok")
        probe.unlink()
    except OSError as error:
        raise SharpwaveError(
            f"cannot write to {folder} ({error.strerror}): give this user the right to, or set SHARPWAVE_DATA_DIR"
        ) from error
    return f"{folder} can be written"


def _check_disk(settings: Settings) -> str:
    free = min(
        shutil.disk_usage(_existing(folder)).free // MB
        for folder in (settings.data_dir.expanduser(), models.models_dir())
    )
    if free < LOW_DISK_MB:
        raise SharpwaveError(f"only {free:,} MB are free: remove something, or set SHARPWAVE_DATA_DIR to a larger disk")
    return f"{free:,} MB free"


def _check_store(settings: Settings) -> str:
    database = open_database(settings)
    try:
        kind = f"SQLite, {database.path}" if database.path else "PostgreSQL"
        return f"{kind}, schema {schema_state(database)}"
    finally:
        database.close()


def _check_models(settings: Settings) -> str:
    from service.wiring import LANGUAGE_MODEL, find_reranker  # late: it imports all that learns and searches

    root = models.models_dir()
    names = [settings.embedder]
    if settings.extractor != LANGUAGE_MODEL:
        names.append(settings.extractor)
    if not settings.generator_url:
        names.append(settings.generator_model or models.default_for("generator").name)
    # Only those who ask for it need the reranker: it is checked where it is, and not missed where it is not.
    reranker, note = find_reranker(settings), ""
    if models.is_present(reranker, root):
        names.append(reranker.name)
    else:
        note = f"; rerank cross would need: sharpwave models pull {reranker.name}"
    for name in names:
        models.verify(models.find(name), root)
    return f"{', '.join(names)}: every byte as in the registry ({root}){note}"


def _check_generator(settings: Settings) -> str:
    from service.wiring import open_generator

    if not settings.generator_url:
        name = settings.generator_model or models.default_for("generator").name
        if not models.is_present(models.find(name), models.models_dir()):
            raise SharpwaveError(f"the model {name} is not in the cache: run `sharpwave models pull {name}`")

    async def check() -> str:
        generator = open_generator(settings)
        try:
            state = await generator.check()
        finally:
            await generator.aclose()
        if state.reachable:
            rest = f"; of its servers not all do: {state.reason}" if state.reason else ""
            return f"{state.name} answers" + (rest if settings.generator_url else " (embedded)")
        how = "check SHARPWAVE_GENERATOR_URL" if settings.generator_url else "run `sharpwave models pull`"
        raise SharpwaveError(f"{state.reason}: {how}. Until then answers are quoted from passages")

    return asyncio.run(check())


def _check_worker(settings: Settings) -> str:
    database = open_database(settings)
    try:
        with database.read() as connection:
            count = len(live_workers(list_workers(connection)))
    finally:
        database.close()
    return f"{count} alive" if count else "none alive; `sharpwave up` runs one, and `sharpwave ingest` is its own"


def _check_purges(settings: Settings) -> str:
    database = open_database(settings)
    try:
        with database.read() as connection:
            waiting = open_purges(connection)
    finally:
        database.close()
    if not waiting:
        return "nothing that was forgotten waits to be purged"
    oldest = min(waiting, key=lambda purge: purge.requested_at)
    reason = f" ({oldest.waits_for})" if oldest.waits_for else ""
    told = f"{len(waiting)} wait, the oldest since {oldest.requested_at:%Y-%m-%d %H:%M} UTC{reason}"
    if now() - oldest.requested_at > LONG_WAIT:
        raise SharpwaveError(f"{told}: run `sharpwave purges run`")
    return told


def _existing(folder: Path) -> Path:
    while not folder.exists():
        folder = folder.parent
    return folder
