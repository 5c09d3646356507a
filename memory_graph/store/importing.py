"""Records written as a collection, in the caller's one write transaction: nothing is seen before all is there."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections import Counter
from dataclasses import asdict, fields, is_dataclass
from math import isfinite
from typing import Any, NoReturn

import numpy as np
from sqlalchemy import Connection, insert, select

from memory_graph.corrections import Found
from memory_graph.errors import InvalidInput
from memory_graph.records import (
    CorrectionRecord,
    DocumentRecord,
    EndRecord,
    FactRecord,
    HeaderRecord,
    NoteRecord,
    OriginalRecord,
    PassageRecord,
    PhraseRecord,
    Record,
    RuleRecord,
)
from memory_graph.store.correcting import Correction, take_over
from memory_graph.store.degrees import shift_degrees
from memory_graph.store.duplicates import SIGNATURE_VALUES, Signature, write_signature
from memory_graph.store.facts import FactRow, write_facts
from memory_graph.store.learning import Commit
from memory_graph.store.listing import names_of
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.originals import keep_original
from memory_graph.store.phrase_vectors import write_phrase_vectors
from memory_graph.store.retention import Rule, put_rule
from memory_graph.store.rows import chunks, insert_new
from memory_graph.store.updating import Change, note_change
from memory_graph.tables import documents, embeddings, fact_embeddings, facts, mentions, passages, phrases

_AT_ONCE = 500
_MAX_DEPTH = 100
_MAX_NUMBER = 2**31 - 1
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_HASH = re.compile(r"[0-9a-f]{32}")


class Import:
    """Takes the records of one file, in order, into a collection that holds nothing.

    ``take`` is given each with the number of its line. Errors: ``InvalidInput``, which names the line.
    """

    def __init__(self, connection: Connection, collection_id: int) -> None:
        self._connection = connection
        self._cid = collection_id
        self._commit = Commit(connection, collection_id)
        self._line = 0
        self._bytes: int | None = None  # of a vector
        self._document: tuple[int, DocumentRecord] | None = None  # with its row's id
        self._passages = 0  # of that document, so far
        self._waiting: list[tuple[int, PassageRecord]] = []  # with the row's id of their document
        self._vectors: list[tuple[int, PhraseRecord]] = []  # with their lines
        self.counts = Counter[str]()
        self.ended = False

    def take(self, record: Record, line: int) -> None:
        """Take one more record; the last is the end."""
        self._line = line
        if self.ended:
            self._refuse("stands behind the end")
        self._check_storable(record)
        if not isinstance(record, PassageRecord):
            self._close_document()
        match record:
            case HeaderRecord():
                self._refuse("is a second header")
            case DocumentRecord():
                self._take_document(record)
            case PassageRecord():
                self._take_passage(record)
            case PhraseRecord():
                self._take_phrase(record)
            case FactRecord():
                self._take_fact(record)
            case NoteRecord():
                self._take_note(record)
            case RuleRecord():
                self._take_rule(record)
            case CorrectionRecord():
                self._take_correction(record)
            case EndRecord():
                self._end(record)
                return
        self.counts[record.kind] += 1

    def _take_document(self, record: DocumentRecord) -> None:
        if not record.id:
            self._refuse("has no id")
        same_key = documents.c.collection_id == self._cid, documents.c.key == record.id
        if self._connection.scalar(select(documents.c.id).where(*same_key)) is not None:
            self._refuse(f"the document {record.id!r} is there already")
        if record.created_at.tzinfo is None or (record.occurred_at and record.occurred_at.tzinfo is None):
            self._refuse("a moment needs its time zone")
        signature = self._signature(record)
        document_id = self._connection.scalar(
            insert(documents)
            .values(
                collection_id=self._cid,
                key=record.id,
                title=record.title,
                source=record.source,
                metadata=record.metadata,
                occurred_at=record.occurred_at,
                content_hash=self._hash(record.content_hash),
                signature_id=signature and write_signature(self._connection, self._cid, signature),
                names=names_of(record.id, record.title, record.source),
                passages=record.passages,
                version=self._commit.version,
                created_at=record.created_at,
            )
            .returning(documents.c.id)
        )
        self._document, self._passages = (document_id or 0, record), 0

    def _take_passage(self, record: PassageRecord) -> None:
        if self._document is None:
            self._refuse("is a passage without a document before it")
        document_id, document = self._document
        if record.ordinal != self._passages or record.ordinal >= document.passages:
            self._refuse(f"is not passage {self._passages} of the {document.passages} of {document.id!r}")
        self._hash(record.text_hash)
        self._vector(record.vector)
        self._check_found(record)
        if record.original is not None:
            self._check_found(record.original)
            if not _found(record.original).vectors_belong():
                self._refuse("what has a vector in a passage's original is in it")
        places = (record.twin, record.start, record.end - record.start, record.page or 0)
        if len(record.made_by) > 32 or min(places) < 0 or max(record.end, *places) > _MAX_NUMBER:
            self._refuse("a number cannot be so large, or below 0")
        self._passages += 1
        self._waiting.append((document_id, record))
        if len(self._waiting) >= _AT_ONCE:
            self._write_passages()

    def _check_found(self, record: PassageRecord | OriginalRecord) -> None:
        keys = [key for key, _, _ in record.mentions]
        if len(set(keys)) != len(keys) or not all(keys) or any(count < 1 for _, _, count in record.mentions):
            self._refuse("mentions need a phrase each, once, and a count of 1 or more")
        if any(count > _MAX_NUMBER for _, _, count in record.mentions):
            self._refuse("a number cannot be so large, or below 0")
        if any(not one or not other or one == other for one, _, other in record.facts):
            self._refuse("a fact joins two phrases")

    def _close_document(self) -> None:
        """Check that all passages of a document came, and write its history's line."""
        if self._document is None:
            return
        document_id, document = self._document
        if self._passages != document.passages:
            self._refuse(f"{document.id!r} announced {document.passages} passages, and {self._passages} came")
        change = Change(added=self._passages, removed=0, kept=0)
        note_change(self._connection, self._cid, document_id, self._commit.version, None, change)
        self._document = None

    def _write_passages(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        version = self._commit.version
        vectors = [
            {"collection_id": self._cid, "text_hash": one.text_hash, "vector": b64decode(one.vector)}
            for _, one in waiting
        ]
        insert_new(self._connection, embeddings, vectors)
        same = ("ordinal", "text", "heading", "page", "start", "end", "text_hash", "twin", "made_by")
        rows = [
            {name: getattr(one, name) for name in same}
            | {"collection_id": self._cid, "document_id": document_id, "version": version}
            for document_id, one in waiting
        ]
        new = insert(passages).returning(passages.c.id, sort_by_parameter_order=True)
        passage_ids = self._connection.scalars(new, rows).all()
        records = [one for _, one in waiting]
        named = {key for one in records for key, _, _ in one.mentions}
        keys = named | {key for one in records for first, _, last in one.facts for key in (first, last)}
        phrase_rows = [{"collection_id": self._cid, "key": key, "version": version} for key in sorted(keys)]
        insert_new(self._connection, phrases, phrase_rows)
        ids = self._phrase_ids(sorted(keys))
        mention_rows = [
            {
                "passage_id": passage_id,
                "phrase_id": ids[key],
                "collection_id": self._cid,
                "surface": surface,
                "count": count,
                "version": version,
            }
            for passage_id, one in zip(passage_ids, records, strict=True)
            for key, surface, count in one.mentions
        ]
        if mention_rows:
            self._connection.execute(insert(mentions), mention_rows)
            shift_degrees(self._connection, Counter(ids[key] for one in records for key, _, _ in one.mentions))
        sources: dict[FactRow, set[int]] = {}
        for passage_id, one in zip(passage_ids, records, strict=True):
            for subject, predicate, object_ in one.facts:
                sources.setdefault((ids[subject], predicate, ids[object_]), set()).add(passage_id)
        write_facts(self._connection, self._cid, version, sources, {})
        aside = zip(passage_ids, (one.original for one in records), strict=True)
        found: dict[int, Found | None] = {passage_id: _found(one) for passage_id, one in aside if one is not None}
        keep_original(self._connection, self._cid, found)

    def _take_phrase(self, record: PhraseRecord) -> None:
        self._write_passages()
        self._vector(record.vector)
        self._vectors.append((self._line, record))
        if len(self._vectors) >= _AT_ONCE:
            self._write_phrase_vectors()

    def _write_phrase_vectors(self) -> None:
        waiting, self._vectors = self._vectors, []
        ids = self._phrase_ids([one.key for _, one in waiting])
        for line, one in waiting:
            if one.key not in ids:
                self._line = line
                self._refuse(f"no passage names the phrase {one.key!r}")
        found = {ids[one.key]: np.frombuffer(b64decode(one.vector), dtype="<f2") for _, one in waiting}
        if found:
            write_phrase_vectors(self._connection, self._cid, self._commit.version, found)

    def _take_fact(self, record: FactRecord) -> None:
        self._write_passages()
        self._vector(record.vector)
        ids = self._phrase_ids([record.subject, record.object])
        fact_id = self._connection.scalar(
            select(facts.c.id).where(
                facts.c.collection_id == self._cid,
                facts.c.subject_id == ids.get(record.subject),
                facts.c.predicate == record.predicate,
                facts.c.object_id == ids.get(record.object),
            )
        )
        if fact_id is None:
            self._refuse(f"no passage states {record.subject!r} {record.predicate!r} {record.object!r}")
        about = {"fact_id": fact_id, "collection_id": self._cid, "version": self._commit.version}
        insert_new(self._connection, fact_embeddings, [about | {"vector": b64decode(record.vector)}])

    def _take_note(self, record: NoteRecord) -> None:
        self._write_passages()
        passage_ids = [self._passage_id(key, ordinal) for key, ordinal in record.passages]
        if not passage_ids or record.created_at.tzinfo is None:
            self._refuse("a note rests on passages, and was written at a moment with its time zone")
        note = NewNote(
            collection_id=self._cid,
            query_id=record.query_id[:36],
            question=record.question,
            text=record.text,
            version=self._commit.version,
            passage_ids=passage_ids,
            created_at=record.created_at,
        )
        add_notes(self._connection, [note])

    def _take_rule(self, record: RuleRecord) -> None:
        rule = Rule(name=record.name, age_of=record.age_of, max_age_days=record.max_age_days, filter=record.filter)
        try:
            put_rule(self._connection, self._cid, rule)
        except InvalidInput as error:
            self._refuse(error.message)

    def _take_correction(self, record: CorrectionRecord) -> None:
        moments = record.created_at, record.undone_at
        if any(moment is not None and moment.tzinfo is None for moment in moments):
            self._refuse("a moment needs its time zone")
        if not 0 <= record.passages <= _MAX_NUMBER:
            self._refuse("a number cannot be so large, or below 0")
        said = {name: value for name, value in asdict(record.what).items() if value is not None} if record.what else {}
        taken = Correction(
            id=0,  # the database's
            kind=record.correction,
            what={name: list(value) if isinstance(value, tuple) else value for name, value in said.items()},
            reason=record.reason,
            state=record.state,
            made_by=record.made_by,
            created_at=record.created_at,
            version=self._commit.version,
            passages=record.passages,
            undone_by=record.undone_by,
            undone_at=record.undone_at,
        )
        try:
            take_over(self._connection, self._cid, taken)
        except InvalidInput as error:
            self._refuse(error.message)

    def _end(self, record: EndRecord) -> None:
        self._write_passages()
        self._write_phrase_vectors()
        if dict(self.counts) != {kind: count for kind, count in record.counts.items() if count}:
            self._refuse(f"counts {record.counts}, and {dict(sorted(self.counts.items()))} came")
        self._commit.finish()
        self.ended = True

    def _passage_id(self, key: str, ordinal: int) -> int:
        found: int | None = self._connection.scalar(
            select(passages.c.id)
            .join(documents, documents.c.id == passages.c.document_id)
            .where(documents.c.collection_id == self._cid, documents.c.key == key, passages.c.ordinal == ordinal)
        )
        if found is None:
            self._refuse(f"{key!r} has no passage {ordinal}")
        return found

    def _phrase_ids(self, keys: list[str]) -> dict[str, int]:
        ids: dict[str, int] = {}
        for some in chunks(keys):
            here = phrases.c.collection_id == self._cid, phrases.c.key.in_(some)
            ids.update(
                {key: one for key, one in self._connection.execute(select(phrases.c.key, phrases.c.id).where(*here))}
            )
        return ids

    def _signature(self, record: DocumentRecord) -> Signature | None:
        given = record.signature
        if given is None:
            return None
        text_hash = self._hash(given.text_hash)
        if given.minhash is None:
            return Signature(text_hash=text_hash, values=None)
        data = self._decoded(given.minhash)
        if len(data) != SIGNATURE_VALUES * 4:
            self._refuse(f"a signature has {SIGNATURE_VALUES} values of 4 bytes")
        return Signature(text_hash=text_hash, values=np.frombuffer(data, dtype="<u4"))

    def _vector(self, given: str) -> None:
        data = self._decoded(given)
        self._bytes = self._bytes or len(data)
        if not data or len(data) != self._bytes or len(data) % 2:
            self._refuse(f"a vector of {len(data)} bytes stands among those of {self._bytes}")
        if not np.isfinite(np.frombuffer(data, dtype="<f2")).all():
            self._refuse("a vector holds what is no number")

    def _decoded(self, given: str) -> bytes:
        try:
            return b64decode(given, validate=True)
        except (NotBase64, ValueError):
            self._refuse("a vector or signature is no base64")

    def _hash(self, given: str) -> str:
        if _HASH.fullmatch(given) is None:
            self._refuse(f"{given[:50]!r} is no hash of 32 hex digits")
        return given

    def _check_storable(self, record: Record) -> None:
        """Refuse what no database can hold: NUL, halves of surrogate pairs, numbers that are none, deep nesting."""
        waiting: list[tuple[Any, int]] = [(record, 0)]
        while waiting:
            one, depth = waiting.pop()
            if isinstance(one, str):
                if _UNSTORABLE.search(one):
                    self._refuse("holds a character that cannot be stored")
            elif isinstance(one, float) and not isfinite(one):
                self._refuse("holds NaN or an infinite number")
            elif depth > _MAX_DEPTH:
                self._refuse(f"is nested deeper than {_MAX_DEPTH}")
            elif is_dataclass(one):
                waiting += [(getattr(one, field.name), depth + 1) for field in fields(one)]
            elif isinstance(one, dict):
                waiting += [(inner, depth + 1) for pair in one.items() for inner in pair]
            elif isinstance(one, list | tuple):
                waiting += [(inner, depth + 1) for inner in one]

    def _refuse(self, message: str) -> NoReturn:
        raise InvalidInput(f"line {self._line}", message)


def _found(record: OriginalRecord) -> Found:
    return Found(
        mentions={key: (surface, count) for key, surface, count in record.mentions},
        facts=record.facts,
        embedded_names=frozenset(record.embedded_names),
        embedded_facts=frozenset(record.embedded_facts),
    )
