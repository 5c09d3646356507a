"""Notes that were kept while questions were answered, and what they rest on."""

from __future__ import annotations

from markupsafe import Markup

from service.api import notes
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import link, moment, number, pager, table, url
from service.recall_schemas import KeptNotesOut

PAGE = 50


@page("/c/{collection}/notes", "Notes")
async def kept_notes(desk: Desk, collection: str, cursor: str | None = None) -> None:
    """Show the kept notes, newest first."""
    heading("Notes", "Kept by the strategy notes. A note goes with the passages that it rests on.")
    found: KeptNotesOut = await desk.call(notes.list_kept, collection=collection, limit=PAGE, cursor=cursor)
    rows = [
        (
            note.text,
            link(note.question, url("questions", note.query_id)),
            Markup(", ").join(link(one, url("c", collection, "passages", one)) for one in note.passage_ids),
            number(note.version),
            moment(note.created_at),
        )
        for note in found.notes
    ]
    columns = ("Note", "Taken for", "Rests on passages", "Version#", "When")
    show(table("Notes", columns, rows, empty="No notes yet. Ask a question with the strategy notes."))
    here = url("c", collection, "notes")
    older = url("c", collection, "notes", cursor=found.next_cursor) if found.next_cursor else None
    show(pager(older, here if cursor else None))
