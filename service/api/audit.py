"""Who changed what, and when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.audit import document_target, list_entries
from service.access import ADMINS, Asking
from service.audit_schemas import AuditOut, EntryOut
from service.services import Parts

router = APIRouter(prefix="/v1/audit", tags=["audit"])

ID_DIGITS = 18  # the database takes no number of more


@router.get("", dependencies=[ADMINS])
def list_newest(
    parts: Parts,
    caller: Asking,
    cursor: Annotated[str | None, Query(description="`next_cursor` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    collection: Annotated[str | None, Query(description="Changes of this collection alone")] = None,
    action: Annotated[str | None, Query(description="Such changes alone, as `documents.forget`")] = None,
    document_id: Annotated[str | None, Query(description="What became of this document of `collection`")] = None,
) -> AuditOut:
    """List changes, the newest first; a key that is bound to collections sees theirs alone."""
    if cursor is not None and not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= ID_DIGITS):
        raise InvalidInput("cursor", "must be the next_cursor of an earlier page")
    if document_id is not None and collection is None:
        raise InvalidInput("collection", "is needed with document_id: the log names a document by both")
    if collection is not None and not caller.sees(collection):
        raise NotFound("collection", collection)
    target = document_target(collection, document_id) if collection is not None and document_id is not None else None
    with parts.database.read() as connection:
        found = list_entries(
            connection,
            limit=limit + 1,
            before=int(cursor) if cursor is not None else None,
            collections=caller.collections if collection is None else frozenset({collection}),
            action=action,
            target=target,
        )
    following = str(found[limit - 1].id) if len(found) > limit else None
    return AuditOut(entries=[EntryOut.of(entry) for entry in found[:limit]], next_cursor=following)
