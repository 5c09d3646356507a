"""The collections: create, find, count, delete."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Row, Table, delete, func, insert, select, update

from memory_graph.errors import Conflict, InvalidInput, NotFound
from memory_graph.store.purges import request_purge
from memory_graph.store.rows import now
from memory_graph.tables import (
    collections,
    commits,
    corrections,
    document_changes,
    documents,
    embeddings,
    fact_embeddings,
    fact_sources,
    facts,
    job_items,
    job_samples,
    job_shares,
    jobs,
    key_collections,
    mentions,
    near_copies,
    note_passages,
    notes,
    originals,
    passages,
    phrase_embeddings,
    phrases,
    queries,
    replies,
    retention_rules,
    signature_bands,
    signatures,
    tombstones,
)


@dataclass(frozen=True, kw_only=True)
class Collection:
    """One memory and how far it has come."""

    id: int
    name: str
    description: str
    version: int
    compacted_version: int
    embedder: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How much a collection holds now."""

    documents: int
    passages: int
    phrases: int
    facts: int


def create_collection(connection: Connection, name: str, description: str = "") -> Collection:
    """Create a collection. Errors: ``Conflict`` if the name is taken."""
    if connection.scalar(select(collections.c.id).where(collections.c.name == name)) is not None:
        raise Conflict(f"the collection {name!r} exists already")
    connection.execute(
        insert(collections).values(
            name=name, description=description, version=0, compacted_version=0, embedder="", created_at=now()
        )
    )
    return get_collection(connection, name)


def get_collection(connection: Connection, name: str) -> Collection:
    """Find a collection by name. Errors: ``NotFound``."""
    row = connection.execute(select(collections).where(collections.c.name == name)).one_or_none()
    if row is None:
        raise NotFound("collection", name)
    return _collection(row)


def list_collections(
    connection: Connection,
    *,
    among: Iterable[str] | None = None,
    after: str | None = None,
    limit: int | None = None,
) -> list[Collection]:
    """List the collections by name: those named ``among``, behind the name ``after``."""
    statement = select(collections).order_by(collections.c.name).limit(limit)
    if among is not None:
        statement = statement.where(collections.c.name.in_(among))
    if after is not None:
        statement = statement.where(collections.c.name > after)
    return [_collection(row) for row in connection.execute(statement)]


def current_commit(connection: Connection, collection_id: int) -> tuple[int, str] | None:
    """Return the version and the token of a collection's last commit, or None where the collection was deleted."""
    row = connection.execute(
        select(collections.c.version, commits.c.token)
        .outerjoin(
            commits, (commits.c.collection_id == collections.c.id) & (commits.c.version == collections.c.version)
        )
        .where(collections.c.id == collection_id)
    ).one_or_none()
    return None if row is None else (row.version, row.token or "")


def commit_token(connection: Connection, collection_id: int, version: int) -> str | None:
    """Return the token of a commit; "" for version 0, which is before the first, None where there is no such commit."""
    if version == 0:
        return ""
    return connection.scalar(
        select(commits.c.token).where(commits.c.collection_id == collection_id, commits.c.version == version)
    )


def compacted_version(connection: Connection, collection_id: int) -> int:
    """Return the version that a view must have reached to go on from where it is."""
    return connection.scalar(select(collections.c.compacted_version).where(collections.c.id == collection_id)) or 0


def bind_embedder(connection: Connection, collection_id: int, embedder: str) -> None:
    """Remember which embedder a collection's vectors come from.

    Errors: ``InvalidInput`` when the collection was learned with another one, whose vectors cannot be compared.
    """
    row = connection.execute(
        select(collections.c.name, collections.c.embedder).where(collections.c.id == collection_id)
    ).one()
    if row.embedder and row.embedder != embedder:
        raise InvalidInput(
            "SHARPWAVE_EMBEDDER",
            f"the collection {row.name!r} was learned with {row.embedder}, not {embedder}; "
            "use that embedder or learn into a new collection",
        )
    if not row.embedder:
        connection.execute(update(collections).where(collections.c.id == collection_id).values(embedder=embedder))


def count_contents(connection: Connection, collection_id: int) -> Counts:
    """Count a collection's live rows."""

    def count(table: Table) -> int:
        return connection.scalar(select(func.count()).where(table.c.collection_id == collection_id)) or 0

    return Counts(documents=count(documents), passages=count(passages), phrases=count(phrases), facts=count(facts))


def delete_collection(connection: Connection, name: str) -> None:
    """Delete a collection with all that it holds, and request that its bytes go too. Errors: ``NotFound``."""
    collection = get_collection(connection, name)
    job_ids = select(jobs.c.id).where(jobs.c.collection_id == collection.id)
    for of_jobs in (job_items, job_shares, job_samples):
        connection.execute(delete(of_jobs).where(of_jobs.c.job_id.in_(job_ids)))
    for table in (
        note_passages,
        notes,
        originals,
        corrections,
        fact_embeddings,
        fact_sources,
        phrase_embeddings,
        mentions,
        facts,
        phrases,
        passages,
        embeddings,
        replies,
        document_changes,
        documents,
        near_copies,
        signature_bands,
        signatures,
        tombstones,
        commits,
        jobs,
        queries,
        retention_rules,
        key_collections,
    ):
        connection.execute(delete(table).where(table.c.collection_id == collection.id))
    connection.execute(delete(collections).where(collections.c.id == collection.id))
    request_purge(connection, collection.id, collection.version)


def _collection(row: Row[tuple[object, ...]]) -> Collection:
    return Collection(**row._mapping)
