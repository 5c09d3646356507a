"""A collection read as records, some at a time, in the caller's one read transaction."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, Select, and_, select

from memory_graph.records import (
    FORMAT,
    CorrectionRecord,
    DocumentRecord,
    EndRecord,
    FactRecord,
    HeaderRecord,
    MeantRecord,
    NoteRecord,
    OriginalRecord,
    PassageRecord,
    PhraseRecord,
    Record,
    RuleRecord,
    SignatureRecord,
)
from memory_graph.store.collections import Collection
from memory_graph.store.originals import read_originals
from memory_graph.store.reading import list_documents
from memory_graph.store.retention import list_rules
from memory_graph.store.rows import chunks
from memory_graph.tables import (
    corrections,
    documents,
    embeddings,
    fact_embeddings,
    fact_sources,
    facts,
    mentions,
    note_passages,
    notes,
    passages,
    phrase_embeddings,
    phrases,
    signatures,
)

_DOCUMENTS_AT_ONCE = 200
_ROWS_AT_ONCE = 500  # a server ends a transaction whose reader takes half a minute to ask for more


def export_records(connection: Connection, collection: Collection, made_by: str) -> Iterator[Record]:
    """Yield all of a collection, from the header to the end; the same content gives the same records."""
    counts = Counter[str]()
    yield HeaderRecord(
        format=FORMAT,
        made_by=made_by,
        name=collection.name,
        description=collection.description,
        version=collection.version,
        embedder=collection.embedder,
    )
    for part in (_documents, _phrases, _facts, _notes, _rules, _corrections):
        for record in part(connection, collection.id):
            counts[record.kind] += 1
            yield record
    yield EndRecord(counts=dict(sorted(counts.items())))


def _documents(connection: Connection, cid: int) -> Iterator[DocumentRecord | PassageRecord]:
    after = 0
    while rows := list_documents(connection, cid, after=after, limit=_DOCUMENTS_AT_ONCE):
        signed = _signatures(connection, rows)
        waiting = iter(rows)
        begun = None
        for passage_rows in _parts(connection, _passages_of(cid, [row["id"] for row in rows])):
            ids = [row.id for row in passage_rows]
            named, stated, aside = _mentions(connection, ids), _stated(connection, ids), _originals(connection, ids)
            for row in passage_rows:
                while begun != row.document_id:
                    document = next(waiting)
                    begun = document["id"]
                    yield _document(document, signed)
                yield _passage(row, named.get(row.id, []), stated.get(row.id, []), aside.get(row.id))
        for document in waiting:  # those without passages, behind the last that has some
            yield _document(document, signed)
        after = rows[-1]["id"]


def _passages_of(cid: int, document_ids: Sequence[int]) -> Select[Any]:
    return (
        select(passages, embeddings.c.vector)
        .join(embeddings, and_(embeddings.c.collection_id == cid, embeddings.c.text_hash == passages.c.text_hash))
        .where(passages.c.document_id.in_(document_ids))
        .order_by(passages.c.document_id, passages.c.ordinal)
    )


def _document(row: RowMapping, signed: dict[int, SignatureRecord]) -> DocumentRecord:
    same = ("title", "source", "metadata", "occurred_at", "content_hash", "created_at", "passages")
    return DocumentRecord(
        id=row["key"], signature=signed.get(row["signature_id"]), **{name: row[name] for name in same}
    )


def _passage(
    row: Row[Any],
    named: list[tuple[str, str, int]],
    stated: list[tuple[str, str, str]],
    original: OriginalRecord | None,
) -> PassageRecord:
    same = ("ordinal", "text", "heading", "page", "start", "end", "text_hash", "twin", "made_by")
    fields = {name: row._mapping[name] for name in same}
    found = {"mentions": tuple(named), "facts": tuple(stated), "original": original}
    return PassageRecord(**fields, vector=_base64(row.vector), **found)


def _signatures(connection: Connection, rows: Sequence[RowMapping]) -> dict[int, SignatureRecord]:
    wanted = sorted({row["signature_id"] for row in rows if row["signature_id"] is not None})
    found = connection.execute(select(signatures).where(signatures.c.id.in_(wanted)))
    return {
        row.id: SignatureRecord(text_hash=row.text_hash, minhash=None if row.minhash is None else _base64(row.minhash))
        for row in found
    }


def _mentions(connection: Connection, passage_ids: Sequence[int]) -> dict[int, list[tuple[str, str, int]]]:
    found: dict[int, list[tuple[str, str, int]]] = {}
    for some in chunks(passage_ids):
        rows = connection.execute(
            select(mentions.c.passage_id, phrases.c.key, mentions.c.surface, mentions.c.count)
            .join(phrases, phrases.c.id == mentions.c.phrase_id)
            .where(mentions.c.passage_id.in_(some))
        )
        for passage_id, key, surface, count in rows:
            found.setdefault(passage_id, []).append((key, surface, count))
    return {passage_id: sorted(named) for passage_id, named in found.items()}


def _stated(connection: Connection, passage_ids: Sequence[int]) -> dict[int, list[tuple[str, str, str]]]:
    subject, object_ = phrases.alias(), phrases.alias()
    found: dict[int, list[tuple[str, str, str]]] = {}
    for some in chunks(passage_ids):
        rows = connection.execute(
            select(fact_sources.c.passage_id, subject.c.key, facts.c.predicate, object_.c.key)
            .join(facts, facts.c.id == fact_sources.c.fact_id)
            .join(subject, subject.c.id == facts.c.subject_id)
            .join(object_, object_.c.id == facts.c.object_id)
            .where(fact_sources.c.passage_id.in_(some))
        )
        for passage_id, one, predicate, other in rows:
            found.setdefault(passage_id, []).append((one, predicate, other))
    return {passage_id: sorted(stated) for passage_id, stated in found.items()}


def _originals(connection: Connection, passage_ids: Sequence[int]) -> dict[int, OriginalRecord]:
    return {
        passage_id: OriginalRecord(
            mentions=tuple((key, surface, count) for key, (surface, count) in found.mentions.items()),
            facts=tuple(found.facts),
            embedded_names=tuple(sorted(found.embedded_names)),
            embedded_facts=tuple(sorted(found.embedded_facts)),
        )
        for some in chunks(passage_ids)
        for passage_id, found in read_originals(connection, some).items()
    }


def _phrases(connection: Connection, cid: int) -> Iterator[PhraseRecord]:
    query = (
        select(phrases.c.key, phrase_embeddings.c.vector)
        .join(phrases, phrases.c.id == phrase_embeddings.c.phrase_id)
        .where(phrase_embeddings.c.collection_id == cid)
        .order_by(phrase_embeddings.c.phrase_id)
    )
    for rows in _parts(connection, query):
        yield from (PhraseRecord(key=row.key, vector=_base64(row.vector)) for row in rows)


def _facts(connection: Connection, cid: int) -> Iterator[FactRecord]:
    subject, object_ = phrases.alias(), phrases.alias()
    query = (
        select(subject.c.key, facts.c.predicate, object_.c.key, fact_embeddings.c.vector)
        .join(facts, facts.c.id == fact_embeddings.c.fact_id)
        .join(subject, subject.c.id == facts.c.subject_id)
        .join(object_, object_.c.id == facts.c.object_id)
        .where(fact_embeddings.c.collection_id == cid)
        .order_by(fact_embeddings.c.fact_id)
    )
    for rows in _parts(connection, query):
        for row in rows:
            one, predicate, other, vector = list(row)
            yield FactRecord(subject=one, predicate=predicate, object=other, vector=_base64(vector))


def _notes(connection: Connection, cid: int) -> Iterator[NoteRecord]:
    for rows in _parts(connection, select(notes).where(notes.c.collection_id == cid).order_by(notes.c.id)):
        for row in rows:
            resting = connection.execute(
                select(documents.c.key, passages.c.ordinal)
                .join(passages, passages.c.document_id == documents.c.id)
                .join(note_passages, note_passages.c.passage_id == passages.c.id)
                .where(note_passages.c.note_id == row.id)
            )
            yield NoteRecord(
                query_id=row.query_id,
                question=row.question,
                text=row.text,
                created_at=row.created_at,
                passages=tuple(sorted((key, ordinal) for key, ordinal in resting)),
            )


def _rules(connection: Connection, cid: int) -> Iterator[RuleRecord]:
    for rule in list_rules(connection, cid):
        days, condition = rule.max_age_days, dict(rule.filter)
        yield RuleRecord(name=rule.name, age_of=rule.age_of, max_age_days=days, filter=condition)


def _corrections(connection: Connection, cid: int) -> Iterator[CorrectionRecord]:
    query = select(corrections).where(corrections.c.collection_id == cid).order_by(corrections.c.id)
    same = ("reason", "state", "made_by", "created_at", "passages", "undone_by", "undone_at")
    for rows in _parts(connection, query):
        for row in rows:
            meant = {name: tuple(said) if isinstance(said, list) else said for name, said in row.what.items()}
            yield CorrectionRecord(
                correction=row.kind,
                what=MeantRecord(**meant) if meant else None,
                **{name: row._mapping[name] for name in same},
            )


def _parts(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    return connection.execute(query, execution_options={"stream_results": True}).partitions(_ROWS_AT_ONCE)


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")
