"""``ingest``: files and folders into the memory, with progress."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn

from ingest.alive import live_workers
from ingest.files import find_files
from ingest.jobs import PRIORITIES, JobQueue, file_items, fingerprint_paths
from ingest.patterns import expand_path
from ingest.sources import Address, address_items, is_address, parse_address
from ingest.worker import Worker
from memory_graph.database import Database
from memory_graph.errors import Conflict, InvalidInput, UnreadableDocument
from memory_graph.store.collections import create_collection
from memory_graph.store.jobs import Failure, Job, get_job, list_workers
from memory_graph.types import Policy
from service.auditing import cli_actor, submitted_by
from service.commands.copies import describe_copies
from service.commands.estimate import report_estimate
from service.commands.output import AsJson, DataDir, console, print_json
from service.learning_schemas import JobOut, JobRef
from service.opening import open_database
from service.schemas import COLLECTION_NAME
from service.settings import Settings, read_settings
from service.wiring import make_worker, source_params

POLL_S = 0.2
RATE_WINDOW_S = 20.0
MAX_SHOWN_FAILURES = 20


def ingest(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH", help="Files, folders, patterns such as 'docs/**/*.pdf', addresses.", show_default=False
        ),
    ],
    collection: Annotated[
        str, typer.Option("--collection", "-c", help="Where to; made if it is not there.")
    ] = "default",
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Hand the job to a running worker and return.")] = False,
    split: Annotated[
        Literal["recursive", "none"], typer.Option(help="Split into passages, or keep one passage a document.")
    ] = "recursive",
    duplicates: Annotated[
        Policy | None,
        typer.Option(
            "--duplicates",
            help="Copies of what is there: learn and link them, skip them, or keep them unlooked at; "
            "SHARPWAVE_DUPLICATES.",
            show_default=False,
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens",
            min=1,
            help="What a run may spend on a language model; SHARPWAVE_EXTRACTION_TOKENS.",
            show_default=False,
        ),
    ] = None,
    priority: Annotated[
        Literal["high", "normal", "low"], typer.Option(help="Before or after other jobs that wait.")
    ] = "normal",
    estimate: Annotated[bool, typer.Option("--estimate", help="Only tell what it would take; learn nothing.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Learn files and folders: text, HTML, PDF, Office, EPUB, CSV, JSON, e-mail, archives. What is known is skipped.

    Web pages and objects in stores are given by their addresses (https://…, s3://…), where the settings allow them.
    """
    settings = read_settings(data_dir=data_dir)
    if COLLECTION_NAME.fullmatch(collection) is None:
        raise InvalidInput("--collection", "must be lower-case letters, digits, - and _, at most 63 characters")
    given, addresses = _sort_out(paths, settings)
    if addresses and estimate:
        raise InvalidInput("--estimate", "reads files only; leave the addresses out")
    found, failures = [], []
    for one in find_files(file for path in given for file in expand_path(path)):
        if isinstance(one, UnreadableDocument):
            failures.append(Failure(name=one.name, reason=one.reason, error=one.detail))
        else:
            found.append(one)
    if not found and not addresses:
        for failure in failures:
            console.print(f"[red]{escape(failure.name)}[/red]: {escape(failure.error)}")
        raise InvalidInput("PATH", "there is nothing to learn: no readable file of a known format was found")
    database = open_database(settings)
    if estimate:
        report_estimate(settings, database, collection, found, split, as_json=as_json)
        return
    _ensure_collection(database, collection)
    queue, policy = JobQueue(database), duplicates or settings.duplicates
    submitted = queue.submit(
        collection,
        [*file_items(found), *address_items(addresses.values())],
        split=split,
        failures=failures,
        fingerprint=fingerprint_paths(map(Path, given), split, addresses, policy),
        max_tokens=max_tokens,
        duplicates=policy,
        priority=PRIORITIES[priority],
        noted=submitted_by(cli_actor(), collection, len(found) + len(addresses)),
    )
    if submitted.resumed:
        console.print(f"Going on with the unfinished job {submitted.job_id}.")
    if no_wait:
        if as_json:
            print_json(JobRef(job_id=submitted.job_id))
        else:
            console.print(
                f"Queued as job {submitted.job_id}. `sharpwave jobs show {submitted.job_id}` tells how it goes."
            )
        return
    job = _follow(settings, database, submitted.job_id, quiet=as_json)
    if as_json:
        print_json(JobOut.of(job))
    else:
        _report(job)
    # DBOS's threads do not end by themselves: what is to be said is said, so the process ends here.
    raise SystemExit(0 if job.state == "succeeded" and not job.failed else 1)


def _sort_out(given: Iterable[str], settings: Settings) -> tuple[list[str], dict[str, Address]]:
    """Return the paths among what was given, and the addresses, each once. Errors: ``InvalidInput``."""
    params = source_params(settings)
    paths = []
    addresses: dict[str, Address] = {}
    for one in given:
        if is_address(one) and not os.path.lexists(one):
            address = parse_address(one, params, "PATH")
            addresses[str(address)] = address
        else:
            paths.append(one)
    return paths, addresses


def _follow(settings: Settings, database: Database, job_id: str, *, quiet: bool) -> Job:
    """Show progress until the job ends; where no worker is alive, be one."""
    worker: Worker | None = None
    with _interruptible() as interrupted, _bars(disable=quiet) as bars:
        task = bars.add_task("Learning", total=None, rate="", documents="")
        rate = _Rate()
        while True:
            with database.read() as connection:
                job = get_job(connection, job_id)
                alone = worker is None and not live_workers(list_workers(connection))
            _show(bars, task, job, rate)
            if job.finished_at is not None:
                break
            if interrupted.is_set():
                _leave(worker, job)
            if worker is not None and worker.fault is not None:
                bars.stop()
                console.print(f"error: {worker.fault}", markup=False, style="red")
                console.print("What was committed is kept; the same command goes on from there.")
                os._exit(1)
            if alone:
                worker = make_worker(settings, database)
                worker.start()
            time.sleep(POLL_S)
    if worker is not None:
        worker.stop()
    return job


def _leave(worker: Worker | None, job: Job) -> None:
    if worker is not None:
        worker.stop()
        console.print(
            f"Stopped. {job.documents + job.known} documents are learned and kept; the same command goes on from there."
        )
    else:
        console.print(f"The worker goes on with job {job.id}; `sharpwave jobs cancel {job.id}` ends it.")
    os._exit(130)


class _Rate:
    """Passages a second over the last stretch of time."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def measure(self, passages: int) -> float:
        now = time.monotonic()
        self._seen.append((now, passages))
        self._seen = [seen for seen in self._seen if now - seen[0] <= RATE_WINDOW_S]
        (start, before), (end, after) = self._seen[0], self._seen[-1]
        return (after - before) / (end - start) if end > start else 0.0


def _show(bars: Progress, task: TaskID, job: Job, rate: _Rate) -> None:
    per_second = rate.measure(job.passages)
    bars.update(
        task,
        total=job.size or None,
        completed=job.size if job.finished_at else min(job.done, job.size),
        rate=f"{per_second:5.1f} passages/s",
        documents=f"{job.documents + job.known} documents, {job.passages} passages{_spent(job)}",
    )


def _spent(job: Job) -> str:
    spent = job.tokens.prompt + job.tokens.completion
    return f", {spent:,} tokens" if spent else ""


def _bars(*, disable: bool) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[documents]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        disable=disable,
    )


def _report(job: Job) -> None:
    took = (job.finished_at - job.started_at).total_seconds() if job.finished_at and job.started_at else 0.0
    rate = f" ({job.passages / took:.1f} passages/s)" if job.passages and took else ""
    console.print(
        f"Learned {job.documents} documents, {job.passages} passages in {took:.1f} s{rate}; "
        f"{job.known} were known already, {job.failed} failed."
    )
    if job.kept or job.removed:
        console.print(
            f"Of documents that changed, {job.kept} passages stayed and {job.removed} went; "
            f"{job.passages - job.kept} passages are new."
        )
    for line in describe_copies(JobOut.of(job)):
        console.print(line, markup=False)
    tokens = job.tokens
    if tokens.calls or tokens.reused:
        console.print(
            f"{tokens.prompt:,} tokens of prompts and {tokens.completion:,} of replies in {tokens.calls:,} calls; "
            f"{tokens.reused:,} replies were there already."
        )
    for failure in job.failures[:MAX_SHOWN_FAILURES]:
        console.print(f"  [red]{escape(failure.name)}[/red]: {escape(failure.error)}")
    if job.failed > MAX_SHOWN_FAILURES:
        console.print(f"  … `sharpwave jobs show {job.id}` lists all {job.failed}.")
    if job.error:
        console.print(f"[red]The job failed[/red]: {escape(job.error)}")


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn Ctrl-C and SIGTERM into an event."""
    interrupted = threading.Event()

    def note(_signal: int, _frame: FrameType | None) -> None:
        interrupted.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ensure_collection(database: Database, name: str) -> None:
    try:
        with database.write() as connection:
            create_collection(connection, name)
    except Conflict:
        return
    if name != "default":
        console.print(f"Made the collection {name}.")
