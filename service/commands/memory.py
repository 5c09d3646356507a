"""``collections`` and ``jobs``: what the memory holds and what is being done to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ingest.jobs import JobQueue
from memory_graph.errors import InvalidInput
from memory_graph.store import jobs as job_store
from memory_graph.store.collections import (
    count_contents,
    create_collection,
    delete_collection,
    get_collection,
    list_collections,
)
from service.auditing import audited, cli_actor, job_change
from service.commands.copies import describe_copies
from service.commands.output import AsJson, DataDir, console, out, print_json
from service.learning_schemas import JobOut, JobsOut
from service.opening import open_database
from service.schemas import COLLECTION_NAME, CollectionOut, CollectionsOut
from service.settings import read_settings

collections_app = typer.Typer(help="List, create and delete collections.", invoke_without_command=True)
jobs_app = typer.Typer(help="List, show, cancel, resume, retry and remove ingestion jobs.", invoke_without_command=True)

JobId = Annotated[str, typer.Argument(help="The job's id.")]


@collections_app.callback()
def collections(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    if context.invoked_subcommand is None:
        list_all(as_json, data_dir)


@collections_app.command("list")
def list_all(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the collections."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        found = [CollectionOut.of(one, count_contents(connection, one.id)) for one in list_collections(connection)]
    if as_json:
        print_json(CollectionsOut(collections=found))
        return
    if not found:
        out.print("No collections yet: `sharpwave ingest PATH` makes one.")
        return
    table = Table("Collection", "Documents", "Passages", "Phrases", "Facts", "Version", "Description")
    for column in table.columns[1:6]:
        column.justify = "right"
    for one in found:
        counts = (one.documents, one.passages, one.phrases, one.facts, one.version)
        table.add_row(one.name, *(f"{count:,}" for count in counts), escape(one.description))
    out.print(table)


@collections_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, - and _.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    data_dir: DataDir = None,
) -> None:
    """Create an empty collection."""
    if COLLECTION_NAME.fullmatch(name) is None:
        raise InvalidInput("NAME", "must be lower-case letters, digits, - and _, at most 63 characters")
    database = open_database(read_settings(data_dir=data_dir))
    with audited(database, cli_actor(), "collection.create", collection=name) as change:
        create_collection(change.connection, name, description)
    console.print(f"Made the collection {name}.")


@collections_app.command("delete")
def delete(
    name: Annotated[str, typer.Argument(help="The collection.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Delete a collection with all that it holds."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        counts = count_contents(connection, get_collection(connection, name).id)
    if not yes:
        typer.confirm(f"Delete {name} with its {counts.documents} documents?", abort=True)
    with audited(database, cli_actor(), "collection.delete", collection=name) as change:
        delete_collection(change.connection, name)
    console.print(f"Deleted the collection {name}.")


@jobs_app.callback()
def jobs(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    if context.invoked_subcommand is None:
        list_jobs(as_json, data_dir)


@jobs_app.command("list")
def list_jobs(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the newest jobs."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        found = [JobOut.of(job) for job in job_store.list_jobs(connection)]
    if as_json:
        print_json(JobsOut(jobs=found))
        return
    if not found:
        out.print("No jobs yet.")
        return
    # An id is there to be copied: it is never cut, so there is room for little else at 80 columns.
    table = Table(
        "Job", "Into", "State", "Documents", "Created (UTC)", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    table.columns[0].no_wrap = True
    table.columns[4].min_width = len("2026-01-31")
    for job in found:
        progress = job.progress
        failed = f", {progress.failed:,} failed" if progress.failed else ""
        state = f"{job.state} {pace(job)}".strip()
        table.add_row(
            job.id, job.collection, state, f"{progress.documents:,}{failed}", f"{job.created_at:%Y-%m-%d %H:%M:%S}"
        )
    out.print(table)


@jobs_app.command("show")
def show(job_id: JobId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show a job with its progress and the items that failed."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        job = JobOut.of(job_store.get_job(connection, job_id))
    if as_json:
        print_json(job)
        return
    out.print(f"Job {job.id} into {job.collection}: [bold]{job.state}[/bold]")
    progress = job.progress
    out.print(
        f"{progress.documents} documents learned, {progress.passages} passages; {progress.known} known already, "
        f"{progress.failed} failed, of {progress.total}"
    )
    changes = job.changes
    if changes.kept or changes.removed:
        out.print(f"Passages: {changes.added} added, {changes.removed} removed, {changes.kept} kept")
    for line in describe_copies(job):
        out.print(line, markup=False)
    if job.state in ("queued", "running"):
        out.print(f"Priority {job.priority}; at work: {', '.join(job.workers) or 'nobody'}")
        out.print(pace(job), highlight=False)
    if job.seconds:
        out.print("Seconds by stage: " + ", ".join(f"{stage} {spent:.1f}" for stage, spent in job.seconds.items()))
    tokens = job.tokens
    if tokens.calls or tokens.reused:
        out.print(
            f"Tokens: {tokens.prompt:,} of prompts, {tokens.completion:,} of replies, in {tokens.calls:,} calls; "
            f"{tokens.reused:,} calls were saved by earlier replies"
        )
    for failure in job.failures:
        out.print(f"  [red]{escape(failure.name)}[/red] ({failure.reason}): {escape(failure.error)}")
    if job.error:
        out.print(f"[red]{escape(job.error)}[/red]")
    if job.finished_at and progress.retryable:
        out.print(f"{progress.retryable} items can be tried again: `sharpwave jobs retry {job.id}`")


@jobs_app.command("cancel")
def cancel(job_id: JobId, data_dir: DataDir = None) -> None:
    """End a job, or give up a failed one; what it has committed stays."""
    database = open_database(read_settings(data_dir=data_dir))
    with job_change(database, cli_actor(), "job.cancel", job_id) as note:
        JobQueue(database).cancel(job_id, noted=note)
    console.print(f"Cancelled job {job_id}; what it had learned stays.")


@jobs_app.command("resume")
def resume(job_id: JobId, data_dir: DataDir = None) -> None:
    """Queue a failed job again for what it has left."""
    database = open_database(read_settings(data_dir=data_dir))
    with job_change(database, cli_actor(), "job.resume", job_id) as note:
        JobQueue(database).resume(job_id, noted=note)
    console.print(f"Job {job_id} waits for a worker.")


@jobs_app.command("retry")
def retry(job_id: JobId, data_dir: DataDir = None) -> None:
    """Queue a job that has ended again for its failed items."""
    database = open_database(read_settings(data_dir=data_dir))
    with job_change(database, cli_actor(), "job.retry", job_id) as note:
        items = JobQueue(database).retry(job_id, noted=note)
    console.print(f"Job {job_id} waits for a worker; {items} failed items are tried again.")


@jobs_app.command("remove")
def remove(job_id: JobId, data_dir: DataDir = None) -> None:
    """Remove a job that has ended from the list; what it learned stays."""
    database = open_database(read_settings(data_dir=data_dir))
    with job_change(database, cli_actor(), "job.remove", job_id) as note:
        JobQueue(database).remove(job_id, noted=note)
    console.print(f"Removed job {job_id}; what it had learned stays.")


def pace(job: JobOut) -> str:
    """Return how fast a running job goes and how long it may still take."""
    if job.passages_per_s is None:
        return ""
    done = job.progress.bytes / job.progress.total_bytes if job.progress.total_bytes else 0.0
    left = "" if job.seconds_left is None else f", about {timedelta(seconds=round(job.seconds_left))} left"
    return f"{done:.0%}, {job.passages_per_s:.1f} passages/s{left}"
