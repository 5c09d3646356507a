"""What views, searches and pages read: the changes of a collection, passages by id, documents, filters."""

from __future__ import annotations

import operator as operators
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, func, or_, select

from memory_graph.errors import InvalidInput
from memory_graph.store.collections import Collection, commit_token
from memory_graph.store.facts import read_facts
from memory_graph.store.phrase_vectors import read_phrase_vectors
from memory_graph.store.rows import IN_LIMIT, chunks, join_parts, read_parts
from memory_graph.tables import (
    documents,
    embeddings,
    fact_sources,
    facts,
    mentions,
    passages,
    phrases,
    tombstones,
)
from memory_graph.text import normalize, order_key, title_as_name
from memory_graph.types import Hit

if TYPE_CHECKING:
    from memory_graph.hashing import Words

Ints = NDArray[np.int64]
_OPERATORS = {"eq": operators.eq, "gt": operators.gt, "gte": operators.ge, "lt": operators.lt, "lte": operators.le}
_RANGE_OPERATORS = ("gt", "gte", "lt", "lte")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What a collection's commits after one version and up to ``version`` added and removed; ``token`` names the last.

    ``passage_ids``, ``document_ids``, ``order_keys`` and ``vectors`` are aligned: (n,) each and (n, dim) float16.
    ``words`` are the hashed words of title, heading and text, those of passage i up to ``word_ends[i]``, and
    ``title_words`` up to ``title_ends[i]`` those of the name that its document's title gives.
    ``mentions`` is (m, 3): passage id, phrase id, count. ``relations`` is (r, 4): passage id, two phrase ids, and how
    many facts of that passage join them. ``phrase_keys`` maps id to key, ids ascending. ``facts`` is (f, 4): those that
    have got a vector, by id, two phrase ids, and an order key; ``fact_vectors`` is (f, dim) float16.
    ``embedded_phrases`` are the ids of phrases that have got one, ascending; ``phrase_vectors`` is (e, dim) float16.
    """

    version: int
    token: str
    passage_ids: Ints
    document_ids: Ints
    order_keys: Ints
    title_words: Words
    title_ends: Ints
    words: Words
    word_ends: Ints
    vectors: NDArray[np.float16]
    phrase_keys: dict[int, str]
    mentions: Ints
    relations: Ints
    removed_passages: Ints
    removed_phrases: Ints
    facts: Ints = field(default_factory=lambda: np.zeros((0, 4), dtype=np.int64))
    fact_vectors: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float16))
    removed_facts: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    embedded_phrases: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    phrase_vectors: NDArray[np.float16] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float16))


def read_changes(connection: Connection, collection: Collection, since: int) -> Changes:
    """Read what changed after version ``since`` (0: everything that lives)."""
    from memory_graph.hashing import hash_keys  # late: it brings numba, and most processes only read rows

    cid = collection.id
    ids: list[NDArray[np.int64]] = []
    texts: list[tuple[Words, Ints]] = []
    titles: list[tuple[Words, Ints]] = []
    vectors: list[NDArray[np.float16]] = []
    for rows in read_parts(
        connection,
        select(
            passages.c.id,
            passages.c.document_id,
            passages.c.text_hash,
            passages.c.twin,
            passages.c.heading,
            passages.c.text,
            documents.c.key,
            documents.c.title,
            embeddings.c.vector,
        )
        .join(documents, documents.c.id == passages.c.document_id)
        .join(embeddings, and_(embeddings.c.collection_id == cid, embeddings.c.text_hash == passages.c.text_hash))
        .where(passages.c.collection_id == cid, passages.c.version > since)
        .order_by(passages.c.id),
    ):
        ids.append(np.array([(row.id, row.document_id, order_key(row.key, row.text_hash, row.twin)) for row in rows]))
        vectors.append(np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2").reshape(len(rows), -1))
        called = {title: normalize(title_as_name(title)) for title in {row.title for row in rows}}
        titles.append(hash_keys([called[row.title] for row in rows]))
        texts.append(hash_keys([normalize(f"{row.title}\n{row.heading}\n{row.text}") for row in rows]))
    found = select(mentions.c.passage_id, mentions.c.phrase_id, mentions.c.count).where(
        mentions.c.collection_id == cid, mentions.c.version > since
    )
    joined = (
        select(fact_sources.c.passage_id, facts.c.subject_id, facts.c.object_id, func.count())
        .join(facts, facts.c.id == fact_sources.c.fact_id)
        .where(fact_sources.c.collection_id == cid, fact_sources.c.version > since)
        .group_by(fact_sources.c.passage_id, facts.c.subject_id, facts.c.object_id)
    )
    names = (
        select(phrases.c.id, phrases.c.key)
        .where(phrases.c.collection_id == cid, phrases.c.version > since)
        .order_by(phrases.c.id)
    )
    known_facts, fact_vectors = read_facts(connection, cid, since)
    embedded_phrases, phrase_vectors = read_phrase_vectors(connection, cid, since)
    gone: dict[str, list[int]] = {"passage": [], "phrase": [], "fact": []}
    if since:
        for kind, row_id in connection.execute(
            select(tombstones.c.kind, tombstones.c.row_id).where(
                tombstones.c.collection_id == cid, tombstones.c.version > since
            )
        ):
            gone[kind].append(row_id)
    columns = np.ascontiguousarray(join_parts(ids, 3).T)
    (words, word_ends), (title_words, title_ends) = _joined_words(texts), _joined_words(titles)
    return Changes(
        version=collection.version,
        token=commit_token(connection, cid, collection.version) or "",
        passage_ids=columns[0],
        document_ids=columns[1],
        order_keys=columns[2],
        title_words=title_words,
        title_ends=title_ends,
        words=words,
        word_ends=word_ends,
        vectors=np.concatenate(vectors) if vectors else np.zeros((0, 0), dtype=np.float16),
        phrase_keys={row.id: row.key for rows in read_parts(connection, names) for row in rows},
        mentions=join_parts([np.array([tuple(row) for row in rows]) for rows in read_parts(connection, found)], 3),
        relations=join_parts([np.array([tuple(row) for row in rows]) for rows in read_parts(connection, joined)], 4),
        removed_passages=np.array(gone["passage"], dtype=np.int64),
        removed_phrases=np.array(gone["phrase"], dtype=np.int64),
        facts=known_facts,
        fact_vectors=fact_vectors,
        removed_facts=np.array(gone["fact"], dtype=np.int64),
        embedded_phrases=embedded_phrases,
        phrase_vectors=phrase_vectors,
    )


def _joined_words(parts: Sequence[tuple[Words, Ints]]) -> tuple[Words, Ints]:
    """Join words with where those of each text end, the ends counting from the first word of all."""
    words = np.concatenate([np.zeros(0, dtype=np.uint32), *(found for found, _ in parts)])
    before = np.cumsum([0, *(len(found) for found, _ in parts)])
    ends = [ends + start for (_, ends), start in zip(parts, before[:-1].tolist(), strict=True)]
    return words, np.concatenate([np.zeros(0, dtype=np.int64), *ends])


def count_new_passages(connection: Connection, collection_id: int, since: int, limit: int) -> int:
    """Count the passages that were learned after version ``since``, up to ``limit``."""
    some = (
        select(passages.c.id).where(passages.c.collection_id == collection_id, passages.c.version > since).limit(limit)
    )
    return connection.scalar(select(func.count()).select_from(some.subquery())) or 0


def read_hits(connection: Connection, scored: Sequence[tuple[int, float]]) -> list[Hit]:
    """Read the passages of a ranking, best first; those forgotten since the ranking was made are left out."""
    ids = [passage_id for passage_id, _ in scored]
    rows: dict[int, RowMapping] = {}
    for some in chunks(ids):
        for row in connection.execute(
            select(
                passages.c.id,
                passages.c.text,
                passages.c.ordinal,
                passages.c.heading,
                passages.c.page,
                documents.c.key,
                documents.c.title,
                documents.c.source,
                documents.c.occurred_at,
            )
            .join(documents, documents.c.id == passages.c.document_id)
            .where(passages.c.id.in_(some))
        ).mappings():
            rows[row["id"]] = row
    live = [(rows[passage_id], score) for passage_id, score in scored if passage_id in rows]
    return [
        Hit(
            passage_id=row["id"],
            document_id=row["key"],
            title=row["title"],
            text=row["text"],
            score=score,
            rank=rank,
            ordinal=row["ordinal"],
            page=row["page"],
            source=row["source"],
            heading=row["heading"],
            occurred_at=row["occurred_at"],
        )
        for rank, (row, score) in enumerate(live, start=1)
    ]


def list_documents(connection: Connection, collection_id: int, *, after: int, limit: int) -> list[RowMapping]:
    """List documents in the order in which they were learned, those with an internal id above ``after``."""
    return list(
        connection.execute(
            select(documents)
            .where(documents.c.collection_id == collection_id, documents.c.id > after)
            .order_by(documents.c.id)
            .limit(limit)
        ).mappings()
    )


def get_document(connection: Connection, collection_id: int, key: str) -> RowMapping | None:
    """Find one document by the id that the user knows it by."""
    return (
        connection.execute(select(documents).where(documents.c.collection_id == collection_id, documents.c.key == key))
        .mappings()
        .one_or_none()
    )


def document_passages(
    connection: Connection, document_id: int, *, first: int = 0, limit: int | None = None
) -> list[RowMapping]:
    """List a document's passages in order, from the one at place ``first`` on."""
    columns = (passages.c.id, passages.c.ordinal, passages.c.text, passages.c.heading, passages.c.page)
    query = select(*columns).where(passages.c.document_id == document_id, passages.c.ordinal >= first)
    return list(connection.execute(query.order_by(passages.c.ordinal).limit(limit)).mappings())


def passage_names(connection: Connection, collection_id: int) -> dict[int, tuple[str, int]]:
    """Return each passage's name that does not depend on history: its document's id and its place there."""
    rows = connection.execute(
        select(passages.c.id, documents.c.key, passages.c.ordinal)
        .join(documents, documents.c.id == passages.c.document_id)
        .where(passages.c.collection_id == collection_id)
    )
    return {row.id: (row.key, row.ordinal) for row in rows}


def filter_documents(connection: Connection, collection_id: int, conditions: Mapping[str, Any]) -> Ints:
    """Return the internal ids of the documents that meet all conditions, sorted.

    A condition is a field of the metadata, ``source`` or ``occurred_at``, with a value, ``{"in": […]}`` or bounds
    (``gt``, ``gte``, ``lt``, ``lte``). Values are compared within their type: 5 is neither "5" nor true. Errors:
    ``InvalidInput`` naming the condition that makes no sense.
    """
    sqlite = connection.dialect.name == "sqlite"
    clauses = [_clause(field, wanted, sqlite) for field, wanted in conditions.items()]
    ids = connection.scalars(
        select(documents.c.id).where(documents.c.collection_id == collection_id, *clauses).order_by(documents.c.id)
    )
    return np.fromiter(ids, dtype=np.int64)


def same_value(connection: Connection, field: str, value: Any) -> ColumnElement[bool]:
    """Return the condition that a document's ``source``, or a field of its metadata, has this value.

    Errors: ``InvalidInput`` for a field that cannot be compared.
    """
    return _compare(field, value, "eq", connection.dialect.name == "sqlite")


def _clause(field: str, wanted: Any, sqlite: bool) -> ColumnElement[bool]:
    name = f"filter.{field}"
    if not isinstance(wanted, Mapping):
        return _compare(field, wanted, "eq", sqlite)
    if set(wanted) == {"in"}:
        values = wanted["in"]
        if not isinstance(values, list) or not 0 < len(values) <= IN_LIMIT:
            raise InvalidInput(f"{name}.in", f"must be a list of 1 to {IN_LIMIT} values")
        return or_(*(_compare(field, value, "eq", sqlite) for value in values))
    if not wanted or set(wanted) - set(_RANGE_OPERATORS):
        raise InvalidInput(name, f"must be a value, {{'in': [...]}} or bounds of {', '.join(_RANGE_OPERATORS)}")
    return and_(*(_compare(field, value, operator, sqlite) for operator, value in wanted.items()))


def _compare(field: str, value: Any, operator: str, sqlite: bool) -> ColumnElement[bool]:
    column: ColumnElement[Any]
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise InvalidInput(f"filter.{field}", "holds a character that no stored text has")
    if field == "source":
        column = documents.c.source
        if not isinstance(value, str):
            raise InvalidInput("filter.source", "must be compared with a string")
    elif field == "occurred_at":
        column, value = documents.c.occurred_at, _moment(value)
    else:
        if isinstance(value, bool) and operator != "eq":
            raise InvalidInput(f"filter.{field}.{operator}", "true and false have no order")
        column = _metadata_field(field, value, sqlite)
    if isinstance(value, int) and not isinstance(value, bool):
        value = float(value)  # SQLite takes no integer beyond 64 bits
    clause: ColumnElement[bool] = _OPERATORS[operator](column, value)
    return clause


def _metadata_field(field: str, value: Any, sqlite: bool) -> ColumnElement[Any]:
    """Return a field's value where it is of the type of ``value``, else NULL, which no comparison finds."""
    if '"' in field or _UNSTORABLE.search(field):
        raise InvalidInput(f"filter.{field}", "a field of such a name cannot be compared")
    element = documents.c.metadata[field]
    typed: ColumnElement[Any]
    types: tuple[str, ...]
    if isinstance(value, bool):
        typed, types = element.as_boolean(), ("true", "false", "boolean")
    elif isinstance(value, int | float):
        if not abs(value) <= sys.float_info.max:
            raise InvalidInput(f"filter.{field}", "is not a number that can be compared")
        typed, types = element.as_float(), ("integer", "real", "number")
    elif isinstance(value, str):
        typed, types = element.as_string(), ("text", "string")
    else:
        raise InvalidInput(f"filter.{field}", "must be compared with a string, a number or true or false")
    # SQLite and PostgreSQL name the types of JSON differently; no name means one thing here and another there.
    found = func.json_type(documents.c.metadata, f'$."{field}"') if sqlite else func.json_typeof(element)
    return case((found.in_(types), typed))


def _moment(value: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput("filter.occurred_at", "must be a moment such as 2026-01-31T12:00:00Z") from error
    if moment.tzinfo is None:
        raise InvalidInput("filter.occurred_at", "needs a time zone, such as 2026-01-31T12:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidInput("filter.occurred_at", "lies outside the years 1 to 9999") from error


def phrase_names(connection: Connection, phrase_ids: Sequence[int]) -> dict[int, str]:
    """Return how phrases are written: the surface form of their first passage."""
    names: dict[int, str] = {}
    for some in chunks(phrase_ids):
        # One look-up each: a phrase may have hundreds of thousands of mentions.
        surface = (
            select(mentions.c.surface)
            .where(mentions.c.phrase_id == phrases.c.id)
            .order_by(mentions.c.passage_id)
            .limit(1)
            .scalar_subquery()
        )
        rows = connection.execute(select(phrases.c.id, surface).where(phrases.c.id.in_(some)))
        names.update({phrase_id: written for phrase_id, written in rows if written is not None})
    return names
