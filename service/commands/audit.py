"""``audit``: who changed what, and when."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from memory_graph.errors import InvalidInput
from memory_graph.store.audit import document_target, list_entries
from service.audit_schemas import AuditOut, EntryOut
from service.commands.output import AsJson, DataDir, out, print_json
from service.opening import open_database
from service.settings import read_settings


def audit(
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Changes of this collection alone.", show_default=False)
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Such changes alone, as documents.forget.", show_default=False)
    ] = None,
    document_id: Annotated[
        str | None, typer.Option("--document", help="What became of this document.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, the newest first.")] = 50,
    before: Annotated[
        int | None, typer.Option("--before", min=1, help="Those before this entry.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List who changed what, the newest first."""
    if document_id is not None and collection is None:
        raise InvalidInput("--collection", "is needed with --document: the log names a document by both")
    target = document_target(collection, document_id) if collection is not None and document_id is not None else None
    database = open_database(read_settings(data_dir=data_dir))
    with database.read() as connection:
        found = list_entries(
            connection,
            limit=limit + 1,
            before=before,
            collections=None if collection is None else frozenset({collection}),
            action=action,
            target=target,
        )
    entries = [EntryOut.of(entry) for entry in found[:limit]]
    if as_json:
        print_json(AuditOut(entries=entries, next_cursor=str(entries[-1].id) if len(found) > limit else None))
        return
    if not entries:
        out.print("Nothing was changed.")
        return
    table = Table("Entry", "When (UTC)", "Who", Column("Action", no_wrap=True), "Collection", "Of", "Outcome")
    for one in entries:
        who = f"{one.actor_name} ({one.actor_id})"
        table.add_row(
            str(one.id),
            f"{one.at:%Y-%m-%d %H:%M:%S}",
            escape(who),
            one.action,
            one.collection or "",
            escape(one.target),
            one.outcome,
        )
    out.print(table)
