"""Forgetting: which documents, what goes with them, and the purge that is asked for in the same commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, LargeBinary, Select, cast, func, or_, select

from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.learning import Commit
from memory_graph.store.purges import request_purge
from memory_graph.store.reading import filter_documents
from memory_graph.store.rows import chunks
from memory_graph.store.scrubbing import Names, drop_replies, scrub_all_queries, scrub_items, scrub_queries
from memory_graph.store.withdrawing import said_in, scrub_corrections
from memory_graph.tables import documents, fact_sources, facts, mentions, passages, phrases


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What to forget: a document or several by their ids, those of a ``source``, those that meet a ``filter``, or all.

    Of several ``keys`` those that are not there are passed over.
    """

    key: str | None = None
    keys: Sequence[str] = ()
    source: str | None = None
    filter: Mapping[str, Any] = field(default_factory=dict)
    everything: bool = False

    def __post_init__(self) -> None:
        given = [self.key is not None, bool(self.keys), self.source is not None, bool(self.filter), self.everything]
        if sum(given) != 1:
            raise InvalidInput("forget", "say which: documents, a source, a filter, or all; and only one of these")


@dataclass(frozen=True, kw_only=True)
class Erased:
    """What a forgetting removes, by kind; ``queries`` and ``job_items`` stay without their words.

    ``bytes`` are those of the passages' text. ``version`` is that of the commit, ``purge_id`` the purge that it asks
    for; with a dry run they are None.
    """

    documents: int
    passages: int
    phrases: int
    facts: int
    notes: int
    replies: int
    queries: int
    job_items: int
    bytes: int
    version: int | None
    purge_id: int | None

    @property
    def anything(self) -> bool:
        """Whether there was anything to forget."""
        return bool(self.documents or self.replies or self.job_items or self.queries)


def choose(connection: Connection, collection_id: int, selection: Selection) -> list[str]:
    """Return the ids of the documents that a selection means, as they are given or in the order they were learned.

    Errors: ``InvalidInput`` for a filter that makes no sense.
    """
    if selection.key is not None:
        return [selection.key]
    if selection.keys:
        return list(dict.fromkeys(selection.keys))
    statement = select(documents.c.key).where(documents.c.collection_id == collection_id).order_by(documents.c.id)
    if selection.source is not None:
        statement = statement.where(documents.c.source == selection.source)
    if not selection.filter:
        return list(connection.scalars(statement))
    found: list[str] = []
    for some in chunks(filter_documents(connection, collection_id, selection.filter).tolist()):
        found += connection.scalars(statement.where(documents.c.id.in_(some)))
    return found


def forget(connection: Connection, collection_id: int, selection: Selection, *, dry_run: bool = False) -> Erased:
    """Forget in one commit, and ask for its purge; with ``dry_run`` only tell what that would remove.

    A selection that meets nothing changes nothing. Errors: ``NotFound`` for a single document; ``InvalidInput``.
    """
    keys = choose(connection, collection_id, selection)
    erased = _try(connection, collection_id, keys, everything=selection.everything, dry_run=dry_run)
    if selection.key is not None and not erased.anything:
        raise NotFound("document", selection.key)
    return erased


def forget_keys(connection: Connection, collection_id: int, keys: Sequence[str], *, dry_run: bool = False) -> Erased:
    """Forget the documents of these ids, as ``forget`` does."""
    return _try(connection, collection_id, keys, everything=False, dry_run=dry_run)


def _try(connection: Connection, collection_id: int, keys: Sequence[str], *, everything: bool, dry_run: bool) -> Erased:
    trial = connection.begin_nested()
    commit = Commit(connection, collection_id)
    erased = _forget(connection, commit, collection_id, keys, everything=everything)
    if dry_run:
        trial.rollback()
        return erased
    if erased.anything:
        erased = replace(
            erased, version=commit.version, purge_id=request_purge(connection, collection_id, commit.version)
        )
    trial.commit()
    return erased


def _forget(
    connection: Connection, commit: Commit, collection_id: int, keys: Sequence[str], *, everything: bool
) -> Erased:
    said = None if everything else keys
    passage_ids, size = _passages_of(connection, collection_id, keys)
    named = _names_in(connection, passage_ids)
    titles = _titles_of(connection, collection_id, keys)
    said_by_them = said_in(connection, commit, collection_id, passage_ids)
    gone = commit.forget_all(keys)
    dead = [*_not_there(connection, collection_id, titles), *_dead_names(connection, named)]
    scrub_corrections(connection, commit, collection_id, said_by_them, said, dead)
    if everything:
        scrubbed = scrub_all_queries(connection, collection_id)
    else:
        scrubbed = scrub_queries(connection, collection_id, set(keys), set(passage_ids), Names(dead))
    return Erased(
        documents=gone.documents,
        passages=gone.passages,
        phrases=gone.phrases,
        facts=gone.facts,
        notes=gone.notes,
        replies=gone.replies + drop_replies(connection, collection_id, said),
        queries=scrubbed,
        job_items=scrub_items(connection, collection_id, said),
        bytes=size,
        version=None,
        purge_id=None,
    )


def _passages_of(connection: Connection, collection_id: int, keys: Sequence[str]) -> tuple[list[int], int]:
    """Return the ids of the documents' passages, and the bytes of their text."""
    if connection.dialect.name == "sqlite":
        size = func.length(cast(passages.c.text, LargeBinary))
    else:
        size = func.octet_length(passages.c.text)
    ids, total = [], 0
    for some in chunks(keys):
        for row in connection.execute(_of(select(passages.c.id, size.label("size")), collection_id, some)):
            ids.append(row.id)
            total += row.size
    return ids, total


def _of(statement: Select[Any], collection_id: int, keys: Sequence[str]) -> Select[Any]:
    return statement.join(documents, documents.c.id == passages.c.document_id).where(
        documents.c.collection_id == collection_id, documents.c.key.in_(keys)
    )


def _names_in(connection: Connection, passage_ids: Sequence[int]) -> dict[int, set[str]]:
    """Return the names in these passages and their facts, by phrase."""
    found: dict[int, set[str]] = {}
    for some in chunks(passage_ids):
        rows = select(mentions.c.phrase_id, mentions.c.surface).where(mentions.c.passage_id.in_(some))
        for phrase_id, surface in connection.execute(rows):
            found.setdefault(phrase_id, set()).add(surface)
        for end in (facts.c.subject_id, facts.c.object_id):
            stated = (
                select(phrases.c.id, phrases.c.key)
                .join(facts, end == phrases.c.id)
                .join(fact_sources, fact_sources.c.fact_id == facts.c.id)
                .where(fact_sources.c.passage_id.in_(some))
            )
            for phrase_id, key in connection.execute(stated):
                found.setdefault(phrase_id, set()).add(key)
    return found


def _titles_of(connection: Connection, collection_id: int, keys: Sequence[str]) -> list[str]:
    found: set[str] = set()
    for some in chunks(keys):
        rows = select(documents.c.key, documents.c.title)
        rows = rows.where(documents.c.collection_id == collection_id, documents.c.key.in_(some))
        found.update(text for row in connection.execute(rows) for text in (row.key, row.title) if text)
    return sorted(found)


def _not_there(connection: Connection, collection_id: int, titles: Sequence[str]) -> list[str]:
    """Return those of these ids and titles that no document has."""
    there: set[str] = set()
    for some in chunks(titles):
        rows = select(documents.c.key, documents.c.title).where(
            documents.c.collection_id == collection_id,
            or_(documents.c.key.in_(some), documents.c.title.in_(some)),
        )
        there.update(text for row in connection.execute(rows) for text in (row.key, row.title))
    return [title for title in titles if title not in there]


def _dead_names(connection: Connection, named: Mapping[int, set[str]]) -> list[str]:
    """Return the names of phrases that are gone."""
    live: set[int] = set()
    for some in chunks(sorted(named)):
        live.update(connection.scalars(select(phrases.c.id).where(phrases.c.id.in_(some))))
    return [name for phrase_id, names in named.items() if phrase_id not in live for name in names]
