"""What a commit writes and what a forget removes: the only place where a collection's version moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, exists, insert, select, update

from memory_graph.corrections import Found, Rule, found_in, put_right
from memory_graph.errors import NotFound
from memory_graph.store.degrees import shift_degrees
from memory_graph.store.duplicates import Signature, drop_signature, write_signature
from memory_graph.store.facts import remove_unproved
from memory_graph.store.findings import Embed, missing_vectors, write_findings
from memory_graph.store.listing import names_of
from memory_graph.store.notes import drop_notes_on
from memory_graph.store.originals import drop_originals, keep_original, read_rules, with_vectors
from memory_graph.store.phrase_vectors import delete_phrase_vectors
from memory_graph.store.replies import drop_replies_about, drop_replies_to
from memory_graph.store.retrying import drop_held, drop_held_of
from memory_graph.store.rows import chunks, insert_new, now
from memory_graph.store.updating import Change, compare, move_passages, note_change, stored_passages
from memory_graph.tables import (
    collections,
    commits,
    document_changes,
    documents,
    embeddings,
    fact_sources,
    facts,
    mentions,
    passages,
    phrases,
    tombstones,
)
from memory_graph.text import normalize
from memory_graph.types import Document, Extraction, FactKey, Passage


@dataclass(frozen=True, kw_only=True)
class LearnedPassage:
    """A passage with what was computed from it; ``vector`` is float16 of shape (dim,) and unit length."""

    passage: Passage
    text_hash: str
    vector: NDArray[np.float16]
    extraction: Extraction


@dataclass(frozen=True, kw_only=True)
class LearnedDocument:
    """A document ready to be committed; an equal ``content_hash`` under the same id means that it is known.

    ``fact_vectors`` holds those of its facts that were embedded, as passages' vectors are, and ``phrase_vectors`` those
    of its names, by key. ``made_by`` is a hash of what read the mentions and facts: one text under one hash has one
    extraction. Without a ``signature`` it is not compared with others.
    """

    document: Document
    content_hash: str
    passages: Sequence[LearnedPassage]
    fact_vectors: Mapping[FactKey, NDArray[np.float16]] = field(default_factory=dict)
    phrase_vectors: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    made_by: str = ""
    signature: Signature | None = None


@dataclass(frozen=True, kw_only=True)
class Forgotten:
    """What forgetting documents removes: rows of each kind, and ``texts`` of failed items that waited for a retry."""

    documents: int = 0
    passages: int = 0
    phrases: int = 0
    facts: int = 0
    notes: int = 0
    replies: int = 0
    texts: int = 0


def known_hashes(connection: Connection, collection_id: int, keys: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Return (content hash, job that learned it) of those documents that are there, by their id."""
    found: dict[str, tuple[str, str | None]] = {}
    for some in chunks(keys):
        rows = connection.execute(
            select(documents.c.key, documents.c.content_hash, documents.c.job_id).where(
                documents.c.collection_id == collection_id, documents.c.key.in_(some)
            )
        )
        found.update({key: (content_hash, job_id) for key, content_hash, job_id in rows})
    return found


def known_vectors(
    connection: Connection, collection_id: int, text_hashes: Sequence[str]
) -> dict[str, NDArray[np.float16]]:
    """Return the vectors of those texts that were embedded before, by text hash."""
    found: dict[str, NDArray[np.float16]] = {}
    for some in chunks(text_hashes):
        rows = connection.execute(
            select(embeddings.c.text_hash, embeddings.c.vector).where(
                embeddings.c.collection_id == collection_id, embeddings.c.text_hash.in_(some)
            )
        )
        found.update({text_hash: np.frombuffer(vector, dtype="<f2") for text_hash, vector in rows})
    return found


class Commit:
    """One commit to one collection, inside the caller's write transaction: one lock, one version.

    The collection's row is locked at once; the version moves with the first change, so a commit that changes nothing
    leaves no trace. ``embed`` makes the vectors of names and facts that corrections change; without it these have none
    unless the collection knows them. Errors: ``NotFound`` when the collection was deleted meanwhile.
    """

    def __init__(self, connection: Connection, collection_id: int, embed: Embed | None = None) -> None:
        self._connection = connection
        self._collection_id = collection_id
        self._embed = embed
        self._version: int | None = None
        self._touched_phrases: set[int] = set()
        # An update, not SELECT … FOR UPDATE: it locks the row on every database.
        self.version_before = connection.scalar(self._move_version(0))
        if self.version_before is None:
            raise NotFound("collection", f"#{collection_id}")

    @cached_property
    def rules(self) -> list[Rule]:
        """The corrections that stand, in order."""
        return read_rules(self._connection, self._collection_id)

    @property
    def version(self) -> int:
        """The version that this commit makes."""
        if self._version is None:
            self._version = self._connection.scalar(self._move_version(1)) or 0
            self._connection.execute(
                insert(commits).values(
                    collection_id=self._collection_id, version=self._version, token=uuid4().hex, created_at=now()
                )
            )
        return self._version

    @property
    def changed(self) -> bool:
        """Whether anything was written or forgotten."""
        return self._version is not None

    def write(self, learned: LearnedDocument, job_id: str | None, item_id: int | None = None) -> Change | None:
        """Write one document, or of the one with its id what changed; returns None if it is known as it is.

        Workers commit in any order: of the documents with one id in one job, that of the last item stays.
        """
        document = learned.document
        old = self._connection.execute(
            select(*(documents.c[name] for name in ("id", "content_hash", "signature_id", "job_id", "item_id"))).where(
                documents.c.collection_id == self._collection_id, documents.c.key == document.id
            )
        ).one_or_none()
        if old is not None:
            of_this_job = job_id is not None and old.job_id == job_id
            if of_this_job and (old.item_id or 0) > (item_id or 0):
                return Change(added=0, removed=0, kept=0)
            if old.content_hash == learned.content_hash:
                if of_this_job and old.item_id != item_id:
                    self._connection.execute(update(documents).where(documents.c.id == old.id).values(item_id=item_id))
                return None
            if old.item_id is not None and not of_this_job:
                drop_held_of(self._connection, old.item_id)  # the text that is replaced is in it
        signature = learned.signature
        values = {
            "title": document.title,
            "source": document.source,
            "metadata": dict(document.metadata),
            "occurred_at": document.occurred_at,
            "content_hash": learned.content_hash,
            "job_id": job_id,
            "item_id": item_id,
            "signature_id": signature and write_signature(self._connection, self._collection_id, signature),
            "names": names_of(document.id, document.title, document.source),
            "passages": len(learned.passages),
            "version": self.version,
        }
        if old is None:
            given = {"collection_id": self._collection_id, "key": document.id, "created_at": now()}
            document_id = self._connection.scalar(insert(documents).values(values | given).returning(documents.c.id))
        else:
            document_id = old.id
            self._connection.execute(update(documents).where(documents.c.id == document_id).values(values))
            if old.signature_id not in (None, values["signature_id"]):
                drop_signature(self._connection, self._collection_id, old.signature_id)
        change = self._write_difference(document_id or 0, learned, is_new=old is None)
        note_change(self._connection, self._collection_id, document_id or 0, self.version, job_id, change)
        return change

    def forget(self, key: str) -> Forgotten | None:
        """Forget a document and all that rested on it alone; None if there is no such document."""
        gone = self.forget_all([key])
        return gone if gone.documents or gone.replies or gone.texts else None

    def forget_all(self, keys: Sequence[str]) -> Forgotten:
        """Forget documents by their ids and all that rested on them alone; those that are not there are passed over.

        Of a document that could not be learned, its text and a model's replies may be there: they go too.
        """
        held = drop_held(self._connection, self._collection_id, keys)
        document_ids: list[int] = []
        for some in chunks(keys):
            document_ids += self._connection.scalars(
                select(documents.c.id).where(
                    documents.c.collection_id == self._collection_id, documents.c.key.in_(some)
                )
            )
        gone = self._remove_documents(document_ids) if document_ids else Forgotten()
        # Of another state of them, which failed.
        left = drop_replies_about(self._connection, self._collection_id, keys)
        return replace(gone, replies=gone.replies + left, texts=held, phrases=self._sweep_phrases())

    def finish(self) -> int:
        """Drop the phrases that nothing names any more; return the collection's version after this commit."""
        self._sweep_phrases()
        return self._version if self._version is not None else (self.version_before or 0)

    def _move_version(self, by: int) -> Any:
        return (
            update(collections)
            .where(collections.c.id == self._collection_id)
            .values(version=collections.c.version + by)
            .returning(collections.c.version)
        )

    def _write_difference(self, document_id: int, learned: LearnedDocument, *, is_new: bool) -> Change:
        """Make a document's stored passages those that were learned; what is equal stays."""
        stored = [] if is_new else stored_passages(self._connection, document_id)
        found = compare(stored, [one.text_hash for one in learned.passages], learned.made_by)
        if found.removed:
            self._remove_passages(found.removed)
        move_passages(self._connection, [(row, learned.passages[place].passage) for row, place in found.kept])
        if found.added:
            self._write_passages(document_id, learned, [(place, found.twins[place]) for place in found.added])
        return Change(added=len(found.added), removed=len(found.removed), kept=len(found.kept))

    def _write_passages(self, document_id: int, document: LearnedDocument, places: Sequence[tuple[int, int]]) -> None:
        """Write the passages at these places of a document; beside each stands its number among its twins."""
        learned = [document.passages[place] for place, _ in places]
        twins = [twin for _, twin in places]
        insert_new(
            self._connection,
            embeddings,
            [
                {
                    "collection_id": self._collection_id,
                    "text_hash": one.text_hash,
                    "vector": one.vector.astype("<f2").tobytes(),
                }
                for one in learned
            ],
        )
        passage_ids = self._connection.scalars(
            insert(passages).returning(passages.c.id, sort_by_parameter_order=True),
            [
                {
                    "collection_id": self._collection_id,
                    "document_id": document_id,
                    "ordinal": one.passage.ordinal,
                    "text": one.passage.text,
                    "heading": one.passage.heading,
                    "page": one.passage.page,
                    "start": one.passage.start,
                    "end": one.passage.end,
                    "text_hash": one.text_hash,
                    "twin": twin,
                    "made_by": document.made_by,
                    "version": self.version,
                }
                for one, twin in zip(learned, twins, strict=True)
            ],
        ).all()
        self._write_extractions(passage_ids, [one.extraction for one in learned], document)

    def _write_extractions(
        self, passage_ids: Sequence[int], extractions: Sequence[Extraction], document: LearnedDocument
    ) -> None:
        key_of = cache(normalize)  # the names of a document come again and again
        read = (found_in(one, key_of) for one in extractions)
        found = dict(zip(passage_ids, read, strict=True))
        fact_vectors, phrase_vectors = document.fact_vectors, document.phrase_vectors
        if self.rules:
            found = {key: with_vectors(one, phrase_vectors, fact_vectors) for key, one in found.items()}
            told = {key: put_right(one, self.rules, document.document.id) for key, one in found.items()}
            touched = {key: found[key] for key, (_, fired) in told.items() if fired}
            if touched:
                keep_original(self._connection, self._collection_id, touched)
                found = {key: one for key, (one, _) in told.items()}
                fact_vectors, phrase_vectors = self._complete(found, fact_vectors, phrase_vectors)
        write_findings(self._connection, self._collection_id, self.version, found, fact_vectors, phrase_vectors)

    def rewrite(self, found: Mapping[int, Found]) -> None:
        """Let living passages, by id, mention and state this and nothing else; views will be made anew."""
        facts_gone = self._take_evidence(list(found))
        fact_vectors, phrase_vectors = self._complete(found, {}, {})
        write_findings(self._connection, self._collection_id, self.version, found, fact_vectors, phrase_vectors)
        self._remove_unproved(facts_gone)
        # No view can take back an edge of what lives.
        stands = collections.c.id == self._collection_id
        self._connection.execute(update(collections).where(stands).values(compacted_version=self.version))

    def _complete(
        self,
        found: Mapping[int, Found],
        fact_vectors: Mapping[FactKey, NDArray[np.float16]],
        phrase_vectors: Mapping[str, NDArray[np.float16]],
    ) -> tuple[Mapping[FactKey, NDArray[np.float16]], Mapping[str, NDArray[np.float16]]]:
        return missing_vectors(
            self._connection, self._collection_id, found.values(), fact_vectors, phrase_vectors, self._embed
        )

    def _remove_documents(self, document_ids: Sequence[int]) -> Forgotten:
        """Remove documents with their passages and history; return how many rows went."""
        rows = [
            (row.id, row.text_hash)
            for some in chunks(document_ids)
            for row in self._connection.execute(
                select(passages.c.id, passages.c.text_hash).where(passages.c.document_id.in_(some))
            )
        ]
        gone = self._remove_passages(rows)
        for some in chunks(document_ids):
            self._connection.execute(delete(document_changes).where(document_changes.c.document_id.in_(some)))
            gone_signatures = self._connection.scalars(
                delete(documents).where(documents.c.id.in_(some)).returning(documents.c.signature_id)
            ).all()
            for signature_id in sorted({one for one in gone_signatures if one is not None}):
                drop_signature(self._connection, self._collection_id, signature_id)
        return replace(gone, documents=len(document_ids))

    def _remove_passages(self, rows: Sequence[tuple[int, str]]) -> Forgotten:
        """Remove passages, given by id and text hash; return how many rows went. Phrases are swept at the end."""
        passage_ids = [passage_id for passage_id, _ in rows]
        text_hashes = sorted({text_hash for _, text_hash in rows})
        self._bury("passage", passage_ids)
        touched_facts = self._take_evidence(passage_ids)
        notes_gone = 0
        for some in chunks(passage_ids):
            notes_gone += drop_notes_on(self._connection, some)
            drop_originals(self._connection, some)
            self._connection.execute(delete(passages).where(passages.c.id.in_(some)))
        for hashes in chunks(text_hashes):
            still_used = exists().where(
                passages.c.collection_id == self._collection_id, passages.c.text_hash == embeddings.c.text_hash
            )
            self._connection.execute(
                delete(embeddings).where(
                    embeddings.c.collection_id == self._collection_id, embeddings.c.text_hash.in_(hashes), ~still_used
                )
            )
        replies_gone = drop_replies_to(self._connection, self._collection_id, text_hashes)
        return Forgotten(
            passages=len(passage_ids),
            facts=self._remove_unproved(touched_facts),
            notes=notes_gone,
            replies=replies_gone,
        )

    def _take_evidence(self, passage_ids: Sequence[int]) -> set[int]:
        """Remove the mentions and sources of passages; return the facts that these stated."""
        touched_facts: set[int] = set()
        for some in chunks(passage_ids):
            touched_facts.update(
                self._connection.scalars(
                    delete(fact_sources).where(fact_sources.c.passage_id.in_(some)).returning(fact_sources.c.fact_id)
                )
            )
            lost = Counter(
                self._connection.scalars(
                    delete(mentions).where(mentions.c.passage_id.in_(some)).returning(mentions.c.phrase_id)
                )
            )
            shift_degrees(self._connection, {phrase_id: -count for phrase_id, count in lost.items()})
            self._touched_phrases.update(lost)
        return touched_facts

    def _remove_unproved(self, fact_ids: set[int]) -> int:
        removed = remove_unproved(self._connection, fact_ids)
        self._bury("fact", removed.embedded)
        self._touched_phrases.update(removed.ends)
        return removed.count

    def _sweep_phrases(self) -> int:
        """Remove those touched phrases that no mention and no fact names any more; return how many."""
        removed = 0
        for some in chunks(sorted(self._touched_phrases)):
            orphans = self._connection.scalars(
                select(phrases.c.id).where(
                    phrases.c.id.in_(some),
                    ~exists().where(mentions.c.phrase_id == phrases.c.id),
                    ~exists().where(facts.c.subject_id == phrases.c.id),
                    ~exists().where(facts.c.object_id == phrases.c.id),
                )
            ).all()
            self._bury("phrase", orphans)
            delete_phrase_vectors(self._connection, orphans)
            self._connection.execute(delete(phrases).where(phrases.c.id.in_(orphans)))
            removed += len(orphans)
        self._touched_phrases.clear()
        return removed

    def _bury(self, kind: str, row_ids: Sequence[int]) -> None:
        insert_new(
            self._connection,
            tombstones,
            [
                {"collection_id": self._collection_id, "version": self.version, "kind": kind, "row_id": row_id}
                for row_id in row_ids
            ],
        )
