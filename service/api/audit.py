"""Who changed what, and when."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.audit import document_target, list_entries
from service.access import ADMINS, Asking
from service.audit_schemas import AuditOut, EntryOut
from service.paging import Cursor, Limit, Pages
from service.services import Parts

router = APIRouter(prefix="/v1/audit", tags=["audit"])

PAGES = Pages[tuple[int]]("audit", int)


@router.get("", dependencies=[ADMINS])
def list_newest(
    parts: Parts,
    caller: Asking,
    cursor: Cursor = None,
    limit: Limit = 100,
    collection: Annotated[str | None, Query(description="Changes of this collection alone")] = None,
    action: Annotated[str | None, Query(description="Such changes alone, as `documents.forget`")] = None,
    document_id: Annotated[str | None, Query(description="What became of this document of `collection`")] = None,
) -> AuditOut:
    """List changes, the newest first; a key that is bound to collections sees theirs alone."""
    (before,) = PAGES.read(cursor) or (None,)
    if document_id is not None and collection is None:
        raise InvalidInput("collection", "is needed with document_id: the log names a document by both")
    if collection is not None and not caller.sees(collection):
        raise NotFound("collection", collection)
    target = document_target(collection, document_id) if collection is not None and document_id is not None else None
    with parts.database.read() as connection:
        found = list_entries(
            connection,
            limit=limit + 1,
            before=before,
            collections=caller.collections if collection is None else frozenset({collection}),
            action=action,
            target=target,
        )
    page, following = PAGES.cut(found, limit, lambda entry: (entry.id,))
    return AuditOut(entries=[EntryOut.of(entry) for entry in page], next_cursor=following)
