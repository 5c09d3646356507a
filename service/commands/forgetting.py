"""``forget`` and ``purges``: what is forgotten, and the removal of its bytes."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ingest.alive import live_workers
from memory_graph.database import Database
from memory_graph.errors import InvalidInput, SharpwaveError
from memory_graph.store.audit import document_target
from memory_graph.store.collections import get_collection
from memory_graph.store.forgetting import Erased, Selection, choose
from memory_graph.store.forgetting import forget as forget_selection
from memory_graph.store.jobs import list_workers
from memory_graph.store.purges import Purge, get_purge, list_purges, open_purges
from service.auditing import audited, cli_actor, describe_erased, describe_selection
from service.commands.output import AsJson, CollectionOption, DataDir, console, is_alone, out, print_json
from service.forgetting_schemas import ForgottenOut, ForgottenProvedOut, ProofOut, PurgeOut, PurgesOut
from service.opening import DEFAULT_COLLECTION, open_database
from service.settings import Settings, read_settings

POLL_S = 0.5
# Where nobody waits for the proof, the purge is left to the next worker after so long.
PATIENCE_S = 30.0

purges_app = typer.Typer(help="Show and carry out purges of what was forgotten.", invoke_without_command=True)


def forget(
    document_id: Annotated[str | None, typer.Argument(help="The document's id (for a file, its path).")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    source: Annotated[str | None, typer.Option("--source", help="All documents of this source.")] = None,
    filter_: Annotated[str, typer.Option("--filter", help="All documents that meet this, as JSON.")] = "{}",
    everything: Annotated[bool, typer.Option("--all", help="All documents of the collection.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Wait until every byte is gone, and prove it.")] = False,
    wait: Annotated[float, typer.Option("--wait", min=0, help="How long --verify waits, in seconds.")] = 600.0,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Forget documents and all that rested on them alone."""
    selection = Selection(key=document_id, source=source, filter=read_filter(filter_), everything=everything)
    if dry_run and verify:
        raise InvalidInput("--verify", "proves what was forgotten; leave out --dry-run")
    settings = read_settings(data_dir=data_dir)
    database = open_database(settings)
    with database.read() as connection:
        found = get_collection(connection, collection)
        keys = choose(connection, found.id, selection)
    if not dry_run and not yes:
        _ask(database, found.id, selection)
    remembered = None
    if verify:
        from service.proving import prove, remember  # late: a proof searches, with all that this takes

        remembered = remember(database, found.id, keys)
    target = describe_selection(selection) if document_id is None else document_target(collection, document_id)
    with audited(
        database, cli_actor(), "documents.forget", collection=collection, target=target, dry_run=dry_run
    ) as change:
        erased = forget_selection(change.connection, found.id, selection, dry_run=dry_run)
        change.detail = describe_erased(erased)
    report = ForgottenOut.of(erased, dry_run=dry_run, document_id=document_id)
    if not as_json:
        _tell(report, document_id)
    purge = _follow(settings, database, erased, wait if verify else PATIENCE_S, verify)
    if remembered is None:
        if as_json:
            print_json(report)
        return
    proof = prove(settings, database, collection, remembered, purge)
    if as_json:
        print_json(ForgottenProvedOut(**report.model_dump(), proof=proof))
    else:
        _tell_proof(proof)
    if not proof.ok:
        raise SystemExit(1)


@purges_app.callback()
def purges(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    if is_alone(context, as_json=as_json, data_dir=data_dir):
        list_newest(as_json, data_dir)


@purges_app.command("list")
def list_newest(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List the newest purges."""
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        found = [PurgeOut.of(purge) for purge in list_purges(connection, limit=50)]
    if as_json:
        print_json(PurgesOut(purges=found))
        return
    if not found:
        out.print("Nothing was purged yet.")
        return
    table = Table("Purge", "Collection", "Version", "State", "Steps done", "Waits for", "Requested (UTC)")
    for one in found:
        table.add_row(
            str(one.id),
            one.collection or "(deleted)",
            str(one.version),
            one.state,
            ", ".join(one.steps),
            escape(one.waits_for or ""),
            f"{one.requested_at:%Y-%m-%d %H:%M:%S}",
        )
    out.print(table)


@purges_app.command("run")
def run(data_dir: DataDir = None) -> None:
    """Carry out what waits, now and in this process."""
    settings = read_settings(data_dir=data_dir)
    database = open_database(settings)
    if _run_purges(settings, database):
        console.print("Nothing waits to be purged.")
        return
    with database.read() as connection:
        waiting = open_purges(connection)
    reasons = sorted({purge.waits_for or "another process carries it out" for purge in waiting})
    raise SharpwaveError(f"{len(waiting)} purges are not done: {'; '.join(reasons)}")


def _follow(settings: Settings, database: Database, erased: Erased, patience_s: float, insist: bool) -> Purge | None:
    """Return the purge once it is done or patience ends; where no worker is alive, carry it out here."""
    if erased.purge_id is None:
        return None
    deadline = time.monotonic() + patience_s
    while True:
        with database.read() as connection:
            purge = get_purge(connection, erased.purge_id)
            alone = not live_workers(list_workers(connection))
        if purge.state == "done":
            return purge
        if not alone and not insist:
            console.print(f"A worker removes the bytes; `sharpwave purges` tells how far purge {purge.id} is.")
            return purge
        if time.monotonic() > deadline:
            console.print(f"Purge {purge.id} is not done: it waits for {escape(purge.waits_for or 'a worker')}.")
            return purge
        if not alone or not _run_purges(settings, database):
            time.sleep(POLL_S)


def _run_purges(settings: Settings, database: Database) -> bool:
    from service.wiring import make_purger  # late: it imports all that learns and searches

    return make_purger(settings, database).run()


def _ask(database: Database, collection_id: int, selection: Selection) -> None:
    """Have a person at a terminal confirm; a program says --yes, unless it names one document."""
    if not sys.stdin.isatty():
        if selection.key is None:
            raise InvalidInput("--yes", "is needed to forget many documents where nobody can be asked")
        return
    with database.write() as connection:
        erased = forget_selection(connection, collection_id, selection, dry_run=True)
    what = f"{erased.documents} documents with {erased.passages} passages"
    typer.confirm(f"Forget {what if selection.key is None else selection.key}?", abort=True)


def read_filter(text: str) -> dict[str, object]:
    try:
        read = json.loads(text)
    except ValueError as error:
        raise InvalidInput("--filter", f"is not JSON ({error})") from error
    if not isinstance(read, dict):
        raise InvalidInput("--filter", "must be a JSON object")
    return read


def _tell(report: ForgottenOut, document_id: str | None) -> None:
    verb = "Would forget" if report.dry_run else "Forgot"
    what = escape(document_id) if document_id is not None else f"{report.documents:,} documents"
    out.print(f"{verb} {what}: {report.passages} passages, {report.phrases} phrases, {report.facts} facts.")
    others = {
        "notes": report.notes,
        "replies of a language model": report.replies,
        "logged questions that lose their words": report.queries,
        "items of jobs that lose theirs": report.job_items,
    }
    if any(others.values()):
        out.print("Also " + ", ".join(f"{count:,} {name}" for name, count in others.items() if count) + ".")


def _tell_proof(proof: ProofOut) -> None:
    out.print(
        f"{proof.probes:,} strings that only this had were looked for; {proof.shared:,} more stay with other documents."
    )
    for check in proof.checks:
        mark = "[green]ok  [/green]" if check.ok else "[red]FOUND[/red]"
        count = "" if check.ok else f"{check.found:,} found; "
        out.print(f"{mark} {check.name}: {check.looked_at:,} looked at; {count}{escape(check.detail)}")
    out.print("Out of reach: " + "; ".join(proof.out_of_reach) + ".")
    out.print("Nothing was found." if proof.ok else "[red]Not all is gone.[/red]")
