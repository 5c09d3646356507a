"""Corrections: put right what was read wrong, see who put what right, and take it back."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query

from ingest.embedding import embed_with
from memory_graph.store.collections import get_collection
from memory_graph.store.correcting import NewCorrection, correct, list_corrections, undo
from memory_graph.store.previewing import preview
from service.access import READS, WRITES, Acting, Asking
from service.auditing import audited, describe_correction
from service.inspection_schemas import CorrectionIn, CorrectionOut, CorrectionsOut, EffectOut
from service.paging import MAX_ID, Cursor, Limit, Pages
from service.services import Parts

router = APIRouter(prefix="/v1/collections/{collection}/corrections", tags=["corrections"])

PAGES = Pages[tuple[int]]("corrections", int)
DOCUMENTS = 50  # of a preview


@router.post("", status_code=201, dependencies=[WRITES])
def make(collection: str, body: CorrectionIn, parts: Parts, caller: Asking, actor: Acting) -> CorrectionOut:
    """Make a correction; it holds for what is there, and for what will be learned."""
    new = NewCorrection(kind=body.kind, what=body.what(), reason=body.reason, made_by=caller.name)
    with audited(parts.database, actor, "correction.make", collection=collection) as change:
        found = get_collection(change.connection, collection)
        embed = embed_with(change.connection, found.id, parts.searcher.embedder)
        made = correct(change.connection, found.id, new, embed)
        describe_correction(change, made)
    return CorrectionOut.model_validate(made)


@router.post("/preview", dependencies=[WRITES])
def preview_one(collection: str, body: CorrectionIn, parts: Parts, caller: Asking) -> EffectOut:
    """Tell what a correction would change, and make none."""
    new = NewCorrection(kind=body.kind, what=body.what(), reason=body.reason, made_by=caller.name)
    with parts.database.write() as connection:
        effect = preview(connection, get_collection(connection, collection).id, new, DOCUMENTS)
    return EffectOut.model_validate(effect)


@router.get("", dependencies=[READS])
def list_page(
    collection: str,
    parts: Parts,
    state: Annotated[Literal["active", "undone", "forgotten"] | None, Query()] = None,
    kind: Annotated[Literal["merge", "split", "retract"] | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> CorrectionsOut:
    """List corrections, the newest first; those that were undone stay on record."""
    (before,) = PAGES.read(cursor) or (None,)
    with parts.database.read() as connection:
        cid = get_collection(connection, collection).id
        rows = list_corrections(connection, cid, state=state, kind=kind, before=before, limit=limit + 1)
    page, following = PAGES.cut(rows, limit, lambda one: (one.id,))
    return CorrectionsOut(corrections=[CorrectionOut.model_validate(one) for one in page], next_cursor=following)


@router.delete("/{correction_id}", dependencies=[WRITES])
def take_back(
    collection: str,
    correction_id: Annotated[int, Path(ge=1, le=MAX_ID)],
    parts: Parts,
    caller: Asking,
    actor: Acting,
) -> CorrectionOut:
    """Undo a correction: what it changed is again as it was read."""
    target = f"correction:{correction_id}"
    with audited(parts.database, actor, "correction.undo", collection=collection, target=target) as change:
        found = get_collection(change.connection, collection)
        embed = embed_with(change.connection, found.id, parts.searcher.embedder)
        undone = undo(change.connection, found.id, correction_id, caller.name, embed)
        describe_correction(change, undone)
    return CorrectionOut.model_validate(undone)
