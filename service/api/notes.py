"""Notes that were taken while questions were answered: look at them, and forget one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import RowMapping

from memory_graph.store.collections import get_collection
from memory_graph.store.notes import KeptNote, forget_note, list_notes
from memory_graph.store.passage_names import name_passages
from memory_graph.store.traced import NoteUse, read_note_uses
from service.access import READS, WRITES, Acting
from service.auditing import audited
from service.paging import MAX_ID, Cursor, Limit, Pages
from service.recall_schemas import KeptNoteOut, KeptNotesOut
from service.services import Parts

router = APIRouter(prefix="/v1/collections", tags=["notes"])

PAGES = Pages[tuple[int]]("notes", int)


@router.get("/{collection}/notes", dependencies=[READS])
def list_kept(
    collection: str,
    parts: Parts,
    limit: Limit = 50,
    cursor: Cursor = None,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only notes with an id below this one")] = None,
    changed: Annotated[
        bool | None, Query(description="Only notes of whose documents one changed since, or none did")
    ] = None,
) -> KeptNotesOut:
    """List the newest notes, with the passages that they rest on and how often they were used."""
    if cursor is not None:
        (before,) = PAGES.read(cursor) or (None,)
    parts.query_log.flush()
    with parts.database.read() as connection:
        own = get_collection(connection, collection).id
        found = list_notes(connection, own, limit=limit + 1, before=before, changed=changed)
        page, following = PAGES.cut(found, limit, lambda note: (note.id,))
        names = name_passages(connection, own, [one for note in page for one in note.passage_ids])
        uses = read_note_uses(connection, own, [note.id for note in page])
    return KeptNotesOut(notes=[_describe(note, names, uses[note.id]) for note in page], next_cursor=following)


@router.delete("/{collection}/notes/{note_id}", status_code=204, dependencies=[WRITES])
def forget(collection: str, note_id: Annotated[int, Path(ge=1, le=MAX_ID)], parts: Parts, actor: Acting) -> None:
    """Forget a note; the passages that it rests on stay."""
    with audited(parts.database, actor, "note.forget", collection=collection, target=f"note:{note_id}") as change:
        forget_note(change.connection, get_collection(change.connection, collection).id, note_id)


def _describe(note: KeptNote, names: Mapping[int, RowMapping], use: NoteUse) -> KeptNoteOut:
    rests = [names[one] for one in note.passage_ids if one in names]
    passages = [{**one, "changed": one["document_version"] > note.version} for one in rests]
    used = {"used": use.times, "last_used_at": use.last_at}
    return KeptNoteOut.model_validate({**asdict(note), "passages": passages, **used})
