"""Collections: list, create, look at, delete."""

from __future__ import annotations

from fastapi import APIRouter

from memory_graph.store.collections import (
    count_contents,
    create_collection,
    delete_collection,
    get_collection,
    list_collections,
)
from service.access import ADMINS, CREATES, FOLLOWS, Acting, Asking
from service.auditing import audited
from service.paging import Cursor, Limit, Pages
from service.schemas import CollectionIn, CollectionOut, CollectionsOut
from service.services import Parts

router = APIRouter(prefix="/v1/collections", tags=["collections"])

PAGES = Pages[tuple[str]]("collections", str)


@router.get("", dependencies=[FOLLOWS])
def list_all(parts: Parts, caller: Asking, cursor: Cursor = None, limit: Limit = 1_000) -> CollectionsOut:
    """List the collections by name, with what each holds."""
    (after,) = PAGES.read(cursor) or (None,)
    with parts.database.read() as connection:
        rows = list_collections(connection, among=caller.collections, after=after, limit=limit + 1)
        page, following = PAGES.cut(rows, limit, lambda one: (one.name,))
        found = [CollectionOut.of(one, count_contents(connection, one.id)) for one in page]
    return CollectionsOut(collections=found, next_cursor=following)


@router.post("", status_code=201, dependencies=[CREATES])
def create(body: CollectionIn, parts: Parts, actor: Acting) -> CollectionOut:
    """Create an empty collection, with a key that is bound to none."""
    with audited(parts.database, actor, "collection.create", collection=body.name) as change:
        collection = create_collection(change.connection, body.name, body.description)
        return CollectionOut.of(collection, count_contents(change.connection, collection.id))


@router.get("/{collection}", dependencies=[FOLLOWS])
def show(collection: str, parts: Parts) -> CollectionOut:
    """Return a collection with the counts of its documents, passages, phrases and facts, and its version."""
    with parts.database.read() as connection:
        found = get_collection(connection, collection)
        return CollectionOut.of(found, count_contents(connection, found.id))


@router.delete("/{collection}", status_code=204, dependencies=[ADMINS])
def delete(collection: str, parts: Parts, actor: Acting) -> None:
    """Delete a collection with all that it holds."""
    with audited(parts.database, actor, "collection.delete", collection=collection) as change:
        delete_collection(change.connection, collection)
    parts.views.drop(collection)
