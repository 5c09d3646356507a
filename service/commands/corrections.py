"""``corrections``: put names and facts right, see who did, and take it back."""

from __future__ import annotations

import getpass
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from memory_graph.corrections import Kind
from memory_graph.store.collections import get_collection
from memory_graph.store.correcting import Correction, NewCorrection, correct, list_corrections
from memory_graph.store.correcting import undo as undo_correction
from memory_graph.store.findings import Embed
from service.auditing import audited, cli_actor, describe_correction
from service.commands.output import AsJson, CollectionOption, DataDir, console, is_alone, out, print_json
from service.inspection_schemas import CorrectionOut, CorrectionsOut
from service.opening import DEFAULT_COLLECTION, open_database
from service.settings import Settings, read_settings

SHOWN = 100

corrections_app = typer.Typer(help="Put names and facts right, and take it back.", invoke_without_command=True)

Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the correction.")]
Documents = Annotated[
    list[str] | None, typer.Option("--document", help="Only in this document; may be repeated.", show_default=False)
]


@corrections_app.callback()
def corrections(context: typer.Context, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    if is_alone(context, as_json=as_json, data_dir=data_dir):
        list_all(DEFAULT_COLLECTION, False, as_json, data_dir)


@corrections_app.command("list")
def list_all(
    collection: CollectionOption = DEFAULT_COLLECTION,
    standing: Annotated[bool, typer.Option("--standing", help="Only those that stand.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the newest corrections, those that were undone too."""
    state = "active" if standing else None
    with closing(open_database(read_settings(data_dir=data_dir))) as database, database.read() as connection:
        cid = get_collection(connection, collection).id
        found = list_corrections(connection, cid, state=state, limit=SHOWN)
    if as_json:
        shown = [CorrectionOut.model_validate(one) for one in found]
        print_json(CorrectionsOut(corrections=shown, next_cursor=None))
        return
    if not found:
        out.print("No corrections.")
        return
    table = Table("Id", "State", "What", "Passages", "By", "When (UTC)")
    table.columns[0].no_wrap = True
    for one in found:
        table.add_row(
            str(one.id),
            one.state,
            escape(describe(one)),
            f"{one.passages:,}",
            escape(one.made_by),
            f"{one.created_at:%Y-%m-%d %H:%M}",
        )
    out.print(table)


@corrections_app.command("merge")
def merge(
    names: Annotated[list[str], typer.Argument(help="Names that mean what --into means.")],
    into: Annotated[str, typer.Option("--into", help="The name that stays, or a new one.")],
    reason: Reason = "",
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make several names one."""
    _make("merge", {"names": names, "into": into}, reason, collection, as_json, data_dir)


@corrections_app.command("split")
def split(
    name: Annotated[str, typer.Argument(help="A name that means two things.")],
    into: Annotated[str, typer.Option("--into", help="What it is called where it means the other.")],
    surface: Annotated[
        str | None, typer.Option("--surface", help="Where it is written just so.", show_default=False)
    ] = None,
    document: Documents = None,
    reason: Reason = "",
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Make a name another one where it is written in a certain way, or in certain documents."""
    what = {"name": name, "into": into, "surface": surface, "documents": document}
    _make("split", what, reason, collection, as_json, data_dir)


@corrections_app.command("retract")
def retract(
    subject: Annotated[str, typer.Argument(help="The fact's subject.")],
    predicate: Annotated[str, typer.Argument(help="Its predicate, as it is stored.")],
    object_: Annotated[str, typer.Argument(metavar="OBJECT", help="Its object.")],
    document: Documents = None,
    reason: Reason = "",
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take a fact out, everywhere or in certain documents."""
    what = {"subject": subject, "predicate": predicate, "object": object_, "documents": document}
    _make("retract", what, reason, collection, as_json, data_dir)


@corrections_app.command("undo")
def undo(
    correction_id: Annotated[int, typer.Argument(metavar="ID", help="The correction's id.", min=1)],
    collection: CollectionOption = DEFAULT_COLLECTION,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Take a correction back: what it changed is again as it was read."""
    settings = read_settings(data_dir=data_dir)
    action, target = "correction.undo", f"correction:{correction_id}"
    with (
        closing(open_database(settings)) as database,
        audited(database, cli_actor(), action, collection=collection, target=target) as change,
    ):
        cid = get_collection(change.connection, collection).id
        embed = _embed(settings, change.connection, cid)
        found = undo_correction(change.connection, cid, correction_id, _who(), embed)
        describe_correction(change, found)
    _tell(found, as_json, "Undone")


def _make(kind: Kind, what: dict[str, Any], reason: str, collection: str, as_json: bool, data_dir: Path | None) -> None:
    settings = read_settings(data_dir=data_dir)
    with (
        closing(open_database(settings)) as database,
        audited(database, cli_actor(), "correction.make", collection=collection) as change,
    ):
        cid = get_collection(change.connection, collection).id
        embed = _embed(settings, change.connection, cid)
        new = NewCorrection(kind=kind, what=what, reason=reason, made_by=_who())
        found = correct(change.connection, cid, new, embed)
        describe_correction(change, found)
    _tell(found, as_json, "Made")


def _tell(found: Correction, as_json: bool, done: str) -> None:
    if as_json:
        print_json(CorrectionOut.model_validate(found))
        return
    console.print(f"{done}: correction {found.id}, {escape(describe(found))}; it changed {found.passages:,} passages.")


def describe(one: Correction) -> str:
    """Return what a correction says in a line."""
    what = one.what
    if not what:
        return f"{one.kind} (forgotten)"
    where = f" in {', '.join(what['documents'])}" if what.get("documents") else ""
    if one.kind == "merge":
        return f"merge {', '.join(what['names'])} into {what['into']}"
    if one.kind == "split":
        written = f" written {what['surface']}" if what.get("surface") else ""
        return f"split {what['name']}{written}{where} into {what['into']}"
    return f"retract {what['subject']} {what['predicate']} {what['object']}{where}"


def _who() -> str:
    try:
        return f"{getpass.getuser()} (command line)"
    except (KeyError, OSError):  # a user without an entry, as in a container
        return "command line"


def _embed(settings: Settings, connection: Connection, collection_id: int) -> Embed:
    from ingest.embedding import embed_with  # late: they import all that learns and searches
    from service.wiring import open_embedder

    return embed_with(connection, collection_id, open_embedder(settings))
