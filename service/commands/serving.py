"""``bench serving``: a service of its own over a copy of a memory, and clients that search it."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from evaluation.bench_memories import copy_database
from evaluation.serving_bench import Phase, Target, bench_serving, ratios, to_json
from ingest.files import find_files
from ingest.jobs import JobQueue, file_items
from memory_graph.database import Database
from memory_graph.errors import Conflict, InvalidInput
from memory_graph.store.collections import create_collection, get_collection
from memory_graph.store.reading import document_passages, list_documents
from service.commands.output import AsJson, CollectionOption, DataDir, console, out, print_json
from service.opening import open_database
from service.settings import read_settings
from service.supervisor import WORKER_GRACE_S, WORKER_NICENESS

_STARTS_WITHIN_S = 180.0
_DOCUMENTS = 1000  # that are asked about
_WORDS = 12  # of a question
_LEARNED = "bench-learning"


def bench_served(
    collection: CollectionOption = "default",
    clients: Annotated[int, typer.Option(help="Clients that ask at once, each again when answered.", min=1)] = 50,
    seconds: Annotated[float, typer.Option(help="How long they do; the other loads take a part of it.", min=1)] = 60.0,
    learn: Annotated[
        list[Path] | None, typer.Option("--learn", help="Files and folders to learn meanwhile, in the last load.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Concurrent searches over HTTP: alone, crowded, at ten times what the service can take, and while it learns."""
    database = open_database(read_settings(data_dir=data_dir))
    try:
        if database.path is None:
            raise InvalidInput("SHARPWAVE_DATABASE_URL", "must be an SQLite database, which can be copied")
        with database.read() as connection:
            documents = list_documents(connection, get_collection(connection, collection).id, after=0, limit=_DOCUMENTS)
            texts = [passage["text"] for one in documents for passage in document_passages(connection, one["id"])]
        questions = make_questions(texts)
        if len(questions) < 10:
            raise InvalidInput("--collection", f"{collection!r} has too few passages to ask about: {len(questions)}")
        files = [path for path in find_files(learn or []) if isinstance(path, Path)]
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sharpwave-")))
            status = stack.enter_context(console.status("Copying"))
            copy_database(database.path, folder / "sharpwave.db")
            status.update("Starting a service")
            port, process = stack.enter_context(_serve(folder))
            target = Target(
                url=f"http://127.0.0.1:{port}/v1/collections/{collection}/search",
                pid=process.pid,
                learn=(lambda: _learn(folder, files)) if files else None,
            )
            phases = bench_serving(target, questions, clients=clients, seconds=seconds, progress=status.update)
    finally:
        database.close()
    if as_json:
        print_json(json.dumps(to_json(phases), indent=2))
        return
    _print(phases)


def make_questions(texts: list[str]) -> list[str]:
    """Return a different question for each text that has words enough: a piece of one of its sentences."""
    chance = random.Random(1)
    questions = set()
    for text in texts:
        words = re.findall(r"[\w'’-]+", text)
        if len(words) >= _WORDS:
            start = chance.randrange(len(words) - _WORDS + 1)
            questions.add(" ".join(words[start : start + _WORDS]) + "?")
    ordered = sorted(questions)
    chance.shuffle(ordered)
    return ordered


@contextmanager
def _serve(folder: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = _start(folder, "serve", "--host", "127.0.0.1", "--port", str(port))
    try:
        by = time.monotonic() + _STARTS_WITHIN_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > by:
                raise Conflict("the service that was to be measured did not start; its log says why")
            time.sleep(0.2)
        yield port, process
    finally:
        _end(process)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _learn(folder: Path, files: list[Path]) -> Callable[[], None]:
    """Start a worker that learns files into a collection of their own; return what ends it."""
    database = Database(f"sqlite:///{folder / 'sharpwave.db'}")
    with database.write() as connection:
        create_collection(connection, _LEARNED, "")
    queue = JobQueue(database)
    queue.submit(_LEARNED, file_items(files))
    queue.close()
    process = _start(folder, "worker")
    os.setpriority(os.PRIO_PROCESS, process.pid, WORKER_NICENESS)

    def end() -> None:
        _end(process)
        database.close()

    try:
        by = time.monotonic() + _STARTS_WITHIN_S
        while _version(database) == 0:  # until the first batch has been learned
            if process.poll() is not None or time.monotonic() > by:
                raise Conflict("the worker that was to learn meanwhile learned nothing; its log says why")
            time.sleep(0.2)
    except BaseException:
        end()
        raise
    return end


def _version(database: Database) -> int:
    with database.read() as connection:
        return get_collection(connection, _LEARNED).version


def _start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    known = {name: value for name, value in os.environ.items() if name != "SHARPWAVE_ADMIN_KEY"}
    settings = {
        "SHARPWAVE_DATA_DIR": str(folder),
        "SHARPWAVE_DATABASE_URL": "",
        "SHARPWAVE_LOG_LEVEL": "warning",
        "SHARPWAVE_GENERATOR_URL": "http://127.0.0.1:9/v1",  # nobody answers: no model is loaded that is not asked
    }
    return subprocess.Popen([sys.executable, "-m", "service.cli", *arguments], env=known | settings, stdout=sys.stderr)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(WORKER_GRACE_S + 5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _print(phases: list[Phase]) -> None:
    # 80 columns hold it.
    table = Table("Load", "per s", "p50", "p95", "p99", "beyond", "answers", "429", "errors", "MB", box=SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    table.columns[0].min_width = len("overloaded")
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for phase in phases:
        spent = (phase.p50_ms, phase.p95_ms, phase.p99_ms, phase.over_work_ms)
        told = ["–" if ms is None else f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}" for ms in spent]
        counts = [f"{count:,}" for count in (phase.answered, phase.refused, phase.errors)]
        table.add_row(phase.name, f"{phase.answered_per_s:,.1f}", *told, *counts, f"{phase.resident_mb:,.0f}")
    out.print(table)
    out.print(
        "per s: answers a second · p50 … p99: ms until the answer · beyond: ms of that outside the search, the median"
    )
    for name, ratio in ratios(phases).items():
        if ratio is not None:
            out.print(f"{name}: {ratio:.2f}", highlight=False)
