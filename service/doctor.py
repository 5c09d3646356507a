"""The checks of an installation, and what to do where one fails: ``sharpwave doctor`` and the page of settings."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from ingest.alive import live_workers
from memory_graph.database import Database, check_schema, schema_state
from memory_graph.errors import InvalidInput, SharpwaveError
from memory_graph.store.jobs import list_workers
from memory_graph.store.purges import open_purges
from memory_graph.store.rows import now
from retrieval import models
from retrieval.generator import Generator
from service.opening import open_database
from service.settings import Settings
from service.wiring import LANGUAGE_MODEL, find_reranker, open_generator

MB = 2**20
# An ingestion of ordinary size needs some hundred megabytes; below this the next one may fail.
LOW_DISK_MB = 1024
LONG_WAIT = timedelta(hours=1)  # for a purge


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What is examined; ``database`` and ``generator`` are those of a running service, else they are opened for it."""

    settings: Settings
    database: Database | None = None
    generator: Generator | None = None

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Give the database. Errors: those of ``open_database``."""
        if self.database is not None:
            check_schema(self.database)
            yield self.database
            return
        database = open_database(self.settings)
        try:
            yield database
        finally:
            database.close()


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a check found; ``detail`` says how to mend what is not ``ok``."""

    check: str
    ok: bool
    detail: str


async def examine(of: Examined, names: Sequence[str] = ()) -> list[Result]:
    """Carry out the checks of these names, all if none is given. Errors: ``InvalidInput`` for a name that is none's."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        raise InvalidInput("check", f"must be one of {', '.join(CHECKS)}, not {unknown[0]!r}")
    return [await _carry_out(of, name) for name in names or CHECKS]


async def _carry_out(of: Examined, name: str) -> Result:
    try:
        # Models are hashed and folders written: not on the event loop.
        check = CHECKS[name]
        detail = await _check_generator(of) if check is None else await asyncio.to_thread(check, of)
    except SharpwaveError as error:
        return Result(check=name, ok=False, detail=error.message)
    return Result(check=name, ok=True, detail=detail)


def _check_python(_of: Examined) -> str:
    return f"Python {sys.version.split()[0]}, {os.cpu_count()} cores"


def _check_folder(of: Examined) -> str:
    folder = of.settings.data_dir.expanduser()
    probe = folder / f".doctor-{uuid4().hex}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"ok")
        probe.unlink()
    except OSError as error:
        raise SharpwaveError(
            f"cannot write to {folder} ({error.strerror}): give this user the right to, or set SHARPWAVE_DATA_DIR"
        ) from error
    return f"{folder} can be written"


def _check_disk(of: Examined) -> str:
    free = min(
        shutil.disk_usage(_existing(folder)).free // MB
        for folder in (of.settings.data_dir.expanduser(), models.models_dir())
    )
    if free < LOW_DISK_MB:
        raise SharpwaveError(f"only {free:,} MB are free: remove something, or set SHARPWAVE_DATA_DIR to a larger disk")
    return f"{free:,} MB free"


def _check_store(of: Examined) -> str:
    with of.opened() as database:
        kind = f"SQLite, {database.path}" if database.path else "PostgreSQL"
        return f"{kind}, schema {schema_state(database)}"


def models_in_use(settings: Settings) -> list[str]:
    """Return the names of the models that the settings call for."""
    names = [settings.embedder]
    if settings.extractor != LANGUAGE_MODEL:
        names.append(settings.extractor)
    if not settings.generator_url:
        names.append(settings.generator_model or models.default_for("generator").name)
    return names


def _check_models(of: Examined) -> str:
    root = models.models_dir()
    names = models_in_use(of.settings)
    # Only those who ask for it need the reranker: it is checked where it is, and not missed where it is not.
    reranker, note = find_reranker(of.settings), ""
    if models.is_present(reranker, root):
        names.append(reranker.name)
    else:
        note = f"; rerank cross would need: sharpwave models pull {reranker.name}"
    for name in names:
        models.verify(models.find(name), root)
    return f"{', '.join(names)}: every byte as in the registry ({root}){note}"


async def _check_generator(of: Examined) -> str:
    settings = of.settings
    if not settings.generator_url:
        name = settings.generator_model or models.default_for("generator").name
        if not models.is_present(models.find(name), models.models_dir()):
            raise SharpwaveError(f"the model {name} is not in the cache: run `sharpwave models pull {name}`")
    generator = of.generator or open_generator(settings)
    try:
        state = await generator.check()
    finally:
        if of.generator is None:
            await generator.aclose()
    if state.reachable:
        rest = f"; of its servers not all do: {state.reason}" if state.reason else ""
        return f"{state.name} answers" + (rest if settings.generator_url else " (embedded)")
    how = "check SHARPWAVE_GENERATOR_URL" if settings.generator_url else "run `sharpwave models pull`"
    raise SharpwaveError(f"{state.reason}: {how}. Until then answers are quoted from passages")


def _check_worker(of: Examined) -> str:
    with of.opened() as database, database.read() as connection:
        count = len(live_workers(list_workers(connection)))
    return f"{count} alive" if count else "none alive; `sharpwave up` runs one, and `sharpwave ingest` is its own"


def _check_purges(of: Examined) -> str:
    with of.opened() as database, database.read() as connection:
        waiting = open_purges(connection)
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


# In the order in which they are carried out; that of the generator awaits its answer.
CHECKS: Mapping[str, Callable[[Examined], str] | None] = {
    "python": _check_python,
    "data folder": _check_folder,
    "disk": _check_disk,
    "store": _check_store,
    "models": _check_models,
    "generator": None,
    "worker": _check_worker,
    "purges": _check_purges,
}
