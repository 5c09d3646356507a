"""Memories that ``eval`` and ``bench`` learn and throw away."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import Progress

from memory_graph.database import Database
from memory_graph.store.jobs import Job
from service.commands.output import console
from service.opening import open_database
from service.settings import Settings


@contextmanager
def open_scratch(settings: Settings) -> Iterator[tuple[Settings, Database]]:
    """Open a database that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="sharpwave-") as folder:
        scratch = settings.model_copy(update={"data_dir": Path(folder), "database_url": ""})
        database = open_database(scratch)
        try:
            yield scratch, database
        finally:
            database.close()


@contextmanager
def show_learning() -> Iterator[Callable[[Job], None]]:
    """Show how far learning has come."""
    with Progress(console=console, transient=True) as bars:
        task = bars.add_task("Learning", total=None)

        def show(job: Job) -> None:
            bars.update(task, total=job.size, completed=job.done, description=f"Learning, {job.passages} passages")

        yield show
