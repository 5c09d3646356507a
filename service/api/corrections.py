"""Corrections: put right what was read wrong, see who put what right, and take it back."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from ingest.embedding import embed_with
from memory_graph.store.collections import get_collection
from memory_graph.store.correcting import NewCorrection, correct, list_corrections, undo
from service.access import READS, WRITES, Asking
from service.cursors import MAX_ID, cut_page, read_cursor, write_cursor
from service.inspection_schemas import CorrectionIn, CorrectionOut, CorrectionsOut
from service.services import Parts

router = APIRouter(prefix="/v1/collections/{collection}/corrections", tags=["corrections"])


@router.post("", status_code=201, dependencies=[WRITES])
def make(collection: str, body: CorrectionIn, parts: Parts, caller: Asking) -> CorrectionOut:
    """Make a correction; it holds for what is there, and for what will be learned."""
    new = NewCorrection(kind=body.kind, what=body.what(), reason=body.reason, made_by=caller.name)
    with parts.database.write() as connection:
        found = get_collection(connection, collection)
        embed = embed_with(connection, found.id, parts.searcher.embedder)
        return CorrectionOut.model_validate(correct(connection, found.id, new, embed))


@router.get("", dependencies=[READS])
def list_page(
    collection: str,
    parts: Parts,
    state: Annotated[Literal["active", "undone", "forgotten"] | None, Query()] = None,
    kind: Annotated[Literal["merge", "split", "retract"] | None, Query()] = None,
    cursor: Annotated[str | None, Query(max_length=8_000, description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
) -> CorrectionsOut:
    """List corrections, the newest first; those that were undone stay on record."""
    place = read_cursor(cursor, int)
    before = int(place[0]) if place else None
    with parts.database.read() as connection:
        cid = get_collection(connection, collection).id
        rows = list_corrections(connection, cid, state=state, kind=kind, before=before, limit=limit + 1)
    page, more = cut_page(rows, limit)
    found = [CorrectionOut.model_validate(one) for one in page]
    return CorrectionsOut(corrections=found, next_cursor=write_cursor(page[-1].id) if more else None)


@router.delete("/{correction_id}", dependencies=[WRITES])
def take_back(
    collection: str, correction_id: Annotated[int, Path(ge=1, le=MAX_ID)], parts: Parts, caller: Asking
) -> CorrectionOut:
    """Undo a correction: what it changed is again as it was read."""
    with parts.database.write() as connection:
        found = get_collection(connection, collection)
        embed = embed_with(connection, found.id, parts.searcher.embedder)
        return CorrectionOut.model_validate(undo(connection, found.id, correction_id, caller.name, embed))
