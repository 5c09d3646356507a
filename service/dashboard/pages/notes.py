"""Notes that were kept while questions were answered, what they rest on, and whether that changed around it."""

from __future__ import annotations

from markupsafe import Markup

from service.api import notes
from service.dashboard.desk import Desk
from service.dashboard.frame import heading, page, show
from service.dashboard.markup import badge, link, moment, number, pager, table, url
from service.dashboard.why_names import call
from service.recall_schemas import KeptNoteOut, KeptNotesOut, RestsOnOut

PAGE = 50
SHOWN = {"": ("All notes", None), "yes": ("Whose documents changed since", True), "no": ("As they were", False)}


@page("/c/{collection}/notes", "Notes")
async def kept_notes(desk: Desk, collection: str, changed: str = "", cursor: str = "") -> None:
    """Show the kept notes, newest first."""
    heading(
        "Notes",
        "Kept by the strategy notes. When a passage that a note rests on is changed or forgotten, the note goes in the "
        "same commit: what is here rests on passages that stand as they were read. A note is used where "
        "a question much like its own begins with it (a warm start); the newest 1,000 questions are counted.",
    )
    chosen = changed if changed in SHOWN else ""
    show(_draw_choice(collection, chosen))
    found: KeptNotesOut = await desk.call(
        notes.list_kept, collection=collection, limit=PAGE, cursor=cursor or None, changed=SHOWN[chosen][1]
    )
    rows = [
        (
            Markup('<div class="noted">{}</div><div class="faint">{}</div>').format(note.text, moment(note.created_at)),
            Markup('<div class="asked">{}</div>').format(link(note.question, url("questions", note.query_id))),
            _draw_state(note),
            Markup("<br>").join(_draw_passage(collection, one) for one in note.passages),
            _draw_use(note),
            number(note.version),
        )
        for note in found.notes
    ]
    empty = "No note is like that." if chosen else "No notes yet. Ask a question with the strategy notes."
    columns = ("Note", "Taken for", "Its documents", "Rests on passages", "Used", "Version#")
    show(table("Notes", columns, rows, empty=empty))
    following = url("c", collection, "notes", changed=chosen, cursor=found.next_cursor) if found.next_cursor else None
    show(pager(following, url("c", collection, "notes", changed=chosen) if cursor else None))


def _draw_choice(collection: str, chosen: str) -> Markup:
    links = (
        Markup('<a href="{}"{}>{}</a>').format(
            url("c", collection, "notes", changed=value),
            Markup(' aria-current="true"') if value == chosen else "",
            text,
        )
        for value, (text, _) in SHOWN.items()
    )
    return Markup('<nav class="choices" aria-label="Which notes">{}</nav>').format(Markup("").join(links))


def _draw_state(note: KeptNoteOut) -> Markup:
    if any(one.changed for one in note.passages):
        return badge("changed since", "busy")
    return badge("as they were", "good")


def _draw_use(note: KeptNoteOut) -> Markup:
    if not note.used:
        return Markup('<span class="faint whole">not yet</span>')
    times = number(note.used, "time" if note.used == 1 else "times")
    return Markup('{}<div class="faint">last {}</div>').format(times, moment(note.last_used_at))


def _draw_passage(collection: str, passage: RestsOnOut) -> Markup:
    named = link(call(passage), url("c", collection, "passages", passage.id))
    if not passage.changed:
        return named
    return named + Markup(' <span class="faint">{}</span>').format("other parts of its document changed since")
