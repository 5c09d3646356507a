"""Notes that were taken while questions were answered: look at them, and forget one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from memory_graph.store.collections import get_collection
from memory_graph.store.notes import forget_note, list_notes
from service.access import READS, WRITES
from service.auditing import Acting, audited
from service.recall_schemas import KeptNoteOut, KeptNotesOut
from service.services import Parts

router = APIRouter(prefix="/v1/collections", tags=["notes"])


@router.get("/{collection}/notes", dependencies=[READS])
def list_kept(
    collection: str,
    parts: Parts,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> KeptNotesOut:
    """List the newest notes; the next page is that before the last one's id."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        found = list_notes(connection, get_collection(connection, collection).id, limit=limit, before=before)
    return KeptNotesOut(notes=[KeptNoteOut.model_validate(note) for note in found])


@router.delete("/{collection}/notes/{note_id}", status_code=204, dependencies=[WRITES])
def forget(collection: str, note_id: int, parts: Parts, actor: Acting) -> None:
    """Forget a note; the passages that it rests on stay."""
    with audited(parts.database, actor, "note.forget", collection=collection, target=f"note:{note_id}") as change:
        forget_note(change.connection, get_collection(change.connection, collection).id, note_id)
