"""The SQL schema on one page.

Rows are the truth; every index is a view of them. A row that readers follow carries the ``version`` of the commit that
wrote it. Evidence (passages, mentions, fact_sources) is inserted and deleted, never updated, but for the position of a
passage in its document, which no view holds; what is deleted leaves a tombstone without text. Counts that other rows
imply are not stored, but for a document's passages and a phrase's degree, which lists are sorted by.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.engine import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, stored in UTC and always given back with its zone; SQLite alone would forget it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# Stable names, so that migrations can name what they change on every database.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Id = BigInteger().with_variant(Integer, "sqlite")
# By the codes of characters, as SQLite compares; an index of PostgreSQL takes no longer texts.
Names = String(602).with_variant(String(602, collation="C"), "postgresql")
# AUTOINCREMENT: an id that was forgotten is never given to another row, so a tombstone cannot hit a newer row.
NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}

collections = Table(
    "collections",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("version", BigInteger, nullable=False, default=0),
    # A view older than this cannot advance, since tombstones up to here are gone: it rebuilds.
    Column("compacted_version", BigInteger, nullable=False, default=0),
    # The embedder whose vectors the collection holds ("name@hash"); empty until the first passage.
    Column("embedder", String(255), nullable=False, default=""),
    Column("created_at", UtcDateTime, nullable=False),
    **NEVER_REUSED,
)

# What documents are compared by, one row a text; gone with the last document of it (memory_graph/store/duplicates.py).
signatures = Table(
    "signatures",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("text_hash", String(32), nullable=False),  # of the document's text without case and white space
    Column("minhash", LargeBinary),  # (120,) uint32, little endian; none of a short text
    UniqueConstraint("collection_id", "text_hash"),
    **NEVER_REUSED,
)

# No foreign key to signatures: it would need an index as large as the table. Rows are found by their whole key.
signature_bands = Table(
    "signature_bands",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Column("band", BigInteger, primary_key=True, autoincrement=False),
    Column("signature_id", Id, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

# Texts that are alike but not equal.
near_copies = Table(
    "near_copies",
    metadata,
    Column("one_id", Id, ForeignKey("signatures.id"), primary_key=True),
    Column("other_id", Id, ForeignKey("signatures.id"), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("similarity", Float, nullable=False),  # share of equal values, 0..1
    Index(None, "other_id"),
    Index(None, "collection_id"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("key", Text, nullable=False),  # the id that the user knows it by
    Column("title", Text, nullable=False),
    Column("source", Text),
    Column("metadata", JSON, nullable=False),
    Column("occurred_at", UtcDateTime),
    Column("content_hash", String(32), nullable=False),  # equal hash under the same key = already known
    Column("job_id", String(36)),
    Column("signature_id", Id, ForeignKey("signatures.id")),  # none where it is not compared with others
    Column("item_id", Id),  # of that job's item; where two of its items hold one document, the later one's stays
    Column("version", BigInteger, nullable=False),  # of the commit that wrote it last
    Column("created_at", UtcDateTime, nullable=False),
    # What lists are sorted by and looked through (memory_graph/store/listing.py).
    Column("names", Names, nullable=False, server_default=text("''")),
    Column("passages", Integer, nullable=False, server_default="0"),
    UniqueConstraint("collection_id", "key"),
    Index(None, "signature_id"),
    Index(None, "collection_id", "created_at", "id"),
    Index(None, "collection_id", "names", "id"),
    Index(None, "collection_id", "passages", "id"),
    Index(None, "collection_id", "occurred_at", "id"),
    Index(None, "job_id", "id"),
    **NEVER_REUSED,
)

# How much changed each time a document was written; no text, and gone with it.
document_changes = Table(
    "document_changes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("document_id", Id, ForeignKey("documents.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("job_id", String(36)),
    Column("at", UtcDateTime, nullable=False),
    Column("added", Integer, nullable=False),  # passages
    Column("removed", Integer, nullable=False),
    Column("kept", Integer, nullable=False),
    Index(None, "document_id", "id"),
    Index(None, "collection_id"),
    **NEVER_REUSED,
)

passages = Table(
    "passages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("document_id", Id, ForeignKey("documents.id"), nullable=False),
    Column("ordinal", Integer, nullable=False),  # this and page, start and end move with the text around it
    Column("text", Text, nullable=False),
    Column("heading", Text, nullable=False),
    Column("page", Integer),
    Column("start", Integer, nullable=False),  # characters into the document's text
    Column("end", Integer, nullable=False),
    Column("text_hash", String(32), nullable=False),  # of what is embedded: title, heading and text
    Column("twin", Integer, nullable=False, server_default="0"),  # how many equal ones stand before it in its document
    Column(
        "made_by", String(32), nullable=False, server_default=text("''")
    ),  # hash of what its mentions and facts come from
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("document_id", "ordinal"),
    Index(None, "collection_id", "version"),
    Index(None, "collection_id", "text_hash"),
    **NEVER_REUSED,
)

embeddings = Table(
    "embeddings",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Column("text_hash", String(32), primary_key=True),
    Column("vector", LargeBinary, nullable=False),  # float16, little endian, unit length
)

# What a language model replied about a text; kept so that it is paid for once (memory_graph/store/replies.py).
replies = Table(
    "replies",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Column("prompt_hash", String(32), primary_key=True),  # of the model and of all that it was shown
    Column("text_hash", String(32), nullable=False),  # as in passages
    Column("document", Text, nullable=False),  # the id of the document that it was read in
    Column("job_id", String(36), nullable=False),  # that paid for it
    Column("reply", Text, nullable=False),
    Index(None, "collection_id", "text_hash"),
    Index(None, "collection_id", "document"),
    Index(None, "job_id"),
)

phrases = Table(
    "phrases",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("key", Text, nullable=False),  # memory_graph.text.normalize of every surface form
    Column("version", BigInteger, nullable=False),
    Column("degree", Integer, nullable=False, server_default=text("0")),  # mentions (memory_graph/store/degrees.py)
    UniqueConstraint("collection_id", "key"),
    Index(None, "collection_id", "version"),
    Index(None, "collection_id", "degree", "key"),
    **NEVER_REUSED,
)

mentions = Table(
    "mentions",
    metadata,
    Column("passage_id", Id, ForeignKey("passages.id"), primary_key=True),
    Column("phrase_id", Id, ForeignKey("phrases.id"), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("surface", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index(None, "phrase_id", "passage_id", "count"),  # the strongest of a hub are found in it alone
    Index(None, "collection_id", "version"),
)

facts = Table(
    "facts",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("subject_id", Id, ForeignKey("phrases.id"), nullable=False),
    Column("predicate", Text, nullable=False),
    Column("object_id", Id, ForeignKey("phrases.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("collection_id", "subject_id", "predicate", "object_id"),
    Index(None, "object_id"),
    Index(None, "subject_id"),
    **NEVER_REUSED,
)

# Vectors of facts, where they were embedded when they were learned.
fact_embeddings = Table(
    "fact_embeddings",
    metadata,
    Column("fact_id", Id, ForeignKey("facts.id"), primary_key=True, autoincrement=False),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float16, little endian, unit length
    Column("version", BigInteger, nullable=False),
    Index(None, "collection_id", "version"),
)

# Vectors of phrases, where they were embedded when they were learned.
phrase_embeddings = Table(
    "phrase_embeddings",
    metadata,
    Column("phrase_id", Id, ForeignKey("phrases.id"), primary_key=True, autoincrement=False),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float16, little endian, unit length
    Column("version", BigInteger, nullable=False),
    Index(None, "collection_id", "version"),
)

fact_sources = Table(
    "fact_sources",
    metadata,
    Column("fact_id", Id, ForeignKey("facts.id"), primary_key=True),
    Column("passage_id", Id, ForeignKey("passages.id"), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("version", BigInteger, nullable=False),
    Index(None, "passage_id"),
    Index(None, "collection_id", "version"),
)

# What people put right about names and facts (memory_graph/corrections.py). A row stays, for the record; its words go
# with the last document that they are of.
corrections = Table(
    "corrections",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("kind", String(16), nullable=False),  # merge | split | retract
    Column("what", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(16), nullable=False),  # active | undone | forgotten
    Column("made_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", BigInteger, nullable=False),  # of the commit that applied it
    Column("passages", Integer, nullable=False),  # that this commit changed
    Column("undone_by", Text),
    Column("undone_at", UtcDateTime),
    Column("phrase_ids", JSON),  # of the names of a merge, as it was made
    Index(None, "collection_id", "state"),
    **NEVER_REUSED,
)

# What the extractor found in passages that corrections touch; gone with the passage.
originals = Table(
    "originals",
    metadata,
    Column("passage_id", Id, ForeignKey("passages.id"), primary_key=True, autoincrement=False),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("found", JSON, nullable=False),  # memory_graph.corrections.Found
    Index(None, "collection_id", "passage_id"),
)

# One row a commit. A saved view names the commit that it stands at: after a backup was restored, the same version may
# be another commit.
commits = Table(
    "commits",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("token", String(32), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("kind", String(16), primary_key=True),  # passage | phrase | fact (that had a vector)
    Column("row_id", Id, primary_key=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("state", String(16), nullable=False),  # queued | running | succeeded | failed | cancelled
    Column("split", String(16), nullable=False),
    # What was asked for, hashed: the same request finds its unfinished job and goes on with it.
    Column("fingerprint", String(32), nullable=False),
    Column("duplicates", String(8), nullable=False, server_default="link"),  # link | skip | keep
    Column("error", Text),
    Column("priority", Integer, nullable=False, server_default=text("5")),  # 1 before 5 before 9
    Column("runs", Integer, nullable=False),  # times it was handed to the workers; each share of a run is a workflow
    Column("version", BigInteger),  # of the last commit that this job made
    Column("seconds", JSON, nullable=False),  # spent by stage
    Column("max_tokens", BigInteger),  # that one run may spend; none means as the worker's settings say
    Column("tokens", JSON),  # spent on a language model (memory_graph.store.jobs.Tokens); none where none were
    Column("traceparent", String(64)),  # of the request that submitted it, where requests are traced
    Column("key_id", String(32)),  # that submitted it, and is charged with what it takes; none where no row of keys did
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Index(None, "collection_id", "state"),
    Index(None, "created_at", "id"),
)

job_items = Table(
    "job_items",
    metadata,
    Column("id", Id, primary_key=True),
    Column("job_id", String(36), ForeignKey("jobs.id"), nullable=False),
    Column("kind", String(16), nullable=False),  # file | upload | document | url | store | part (failed or skipped)
    Column("name", Text, nullable=False),  # what the user calls it
    Column("payload", JSON),  # a path, an address or a submitted document; erased when it is learned
    Column("data", LargeBinary),  # an uploaded file's bytes; erased when it is learned
    Column("state", String(16), nullable=False),  # pending | done | failed | cancelled | skipped (a part)
    Column("reason", String(32)),
    Column("error", Text),
    Column("share", Integer),  # of the run, that has taken it; none while it is free
    Column("item_id", Id),  # of a part: the item that it is of
    # A failed item whose text waits here for the job to be retried (memory_graph/store/retrying.py).
    Column("held", Boolean, nullable=False, server_default=false()),
    Column("attempts", Integer, nullable=False, default=0),
    Column("size", BigInteger, nullable=False, default=0),  # bytes given
    Column("done", BigInteger, nullable=False, default=0),  # bytes read so far
    Column("documents", Integer, nullable=False, default=0),  # learned
    Column("known", Integer, nullable=False, default=0),  # documents that were known already
    Column("passages", Integer, nullable=False, default=0),
    Column("kept", Integer, nullable=False, server_default="0"),  # of those, passages that were there already
    Column("removed", Integer, nullable=False, server_default="0"),  # passages of earlier states of its documents
    # Documents that are copies of others, learned or skipped.
    Column("exact", Integer, nullable=False, default=0, server_default="0"),
    Column("near", Integer, nullable=False, default=0, server_default="0"),
    Index(None, "job_id", "state", "id"),
    Index(None, "held", sqlite_where=text("held"), postgresql_where=text("held")),
    **NEVER_REUSED,
)

# The shares of a job's newest run: each is learned by one worker at a time, and its items go with it (decision 0031).
job_shares = Table(
    "job_shares",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("turn", Integer, nullable=False),  # times that it gave way to another job
    Column("worker", String(128)),  # that is at it
    # What that worker has committed of it, between two moments.
    Column("passages", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("began_at", UtcDateTime),
    Column("noted_at", UtcDateTime),
)

# What jobs committed, by slots of ten seconds: how fast each of them went (memory_graph/store/samples.py).
job_samples = Table(
    "job_samples",
    metadata,
    Column("job_id", String(36), ForeignKey("jobs.id"), primary_key=True),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),  # its first second, from 1970 on
    Column("passages", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("id", String(128), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("beat_at", UtcDateTime, nullable=False),
)

# What the strategy notes wrote down; gone with the first passage that it rests on (memory_graph/store/notes.py).
notes = Table(
    "notes",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("query_id", String(36), nullable=False),  # the question's; its row may be gone
    Column("question", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("version", BigInteger, nullable=False),  # of the collection that was read
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "collection_id", "id"),
    **NEVER_REUSED,
)

note_passages = Table(
    "note_passages",
    metadata,
    Column("note_id", Id, ForeignKey("notes.id"), primary_key=True),
    Column("passage_id", Id, ForeignKey("passages.id"), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Index(None, "passage_id"),
    Index(None, "collection_id"),
)

queries = Table(
    "queries",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), nullable=False),
    Column("question", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("found", Boolean, nullable=False),
    Column("fallback_reason", Text),
    Column("version", BigInteger, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("trace", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # What whoever asked said of the answer.
    Column("rating", Integer),  # 1 | -1
    Column("comment", Text),
    Column("correct_answer", Text),
    Column("rated_at", UtcDateTime),
    Index(None, "collection_id", "created_at"),
    Index(None, "created_at", "id"),
)

# The passages that answers quote; gone with the passage, and with the words of the question.
citations = Table(
    "citations",
    metadata,
    Column("query_id", String(36), ForeignKey("queries.id", ondelete="CASCADE"), primary_key=True),
    Column("passage_id", Id, ForeignKey("passages.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Index(None, "passage_id"),
)

# The removal of every byte of what was forgotten (memory_graph/store/purges.py). A row holds no text, and outlives its
# collection: no foreign key.
purges = Table(
    "purges",
    metadata,
    Column("id", Id, primary_key=True),
    Column("collection_id", Id, nullable=False),
    Column("version", BigInteger, nullable=False),  # of the last forgetting commit that it covers
    Column("state", String(16), nullable=False),  # waiting | running | done
    Column("steps", JSON, nullable=False),  # those that are done, by name, with what they found
    Column("attempts", Integer, nullable=False),
    Column("waits_for", Text),  # why the last attempt did not get through
    Column("requested_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(None, "state"),
    Index(None, "collection_id", "version"),
    **NEVER_REUSED,
)

# What is to be forgotten by itself, as it grows old (memory_graph/store/retention.py).
retention_rules = Table(
    "retention_rules",
    metadata,
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("age_of", String(16), nullable=False),  # learned | occurred
    Column("max_age_days", BigInteger),  # none: whatever its age
    Column("filter", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("ran_at", UtcDateTime),
    Column("forgotten", BigInteger, nullable=False),  # documents, by all runs
)

# Who may ask (memory_graph/store/keys.py). A row stays when its key is revoked, so that no id is given twice and the
# service never falls back to asking for no key.
keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),  # public
    Column("name", String(200), nullable=False),
    Column("hash", String(64), nullable=False),  # of the secret
    Column("old_hash", String(64)),  # of the secret before a rotation, which holds until
    Column("old_until", UtcDateTime),
    Column("scopes", JSON, nullable=False),
    # Said here, not by the rows of key_collections: a key whose collections are gone reaches nothing, not everything.
    Column("bound", Boolean, nullable=False),
    Column("requests_per_minute", Integer),
    Column("tokens_per_day", BigInteger),
    Column("bytes_per_day", BigInteger),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("used_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

# By id: a collection that is created again under an old name is another one.
key_collections = Table(
    "key_collections",
    metadata,
    Column("key_id", String(32), ForeignKey("keys.id"), primary_key=True),
    Column("collection_id", Id, ForeignKey("collections.id"), primary_key=True),
    Index(None, "collection_id"),
)

# Tokens of the generator, by days in UTC.
key_spending = Table(
    "key_spending",
    metadata,
    Column("key_id", String(32), ForeignKey("keys.id"), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),  # given to be learned
)

# Answers to requests that brought an Idempotency-Key, kept for a day (memory_graph/store/answers.py). The body is
# sealed with the key, of which only a hash is here; no foreign key to a caller, whose key may be revoked.
kept_answers = Table(
    "kept_answers",
    metadata,
    Column("caller", String(64), primary_key=True),
    Column("key_hash", String(32), primary_key=True),
    Column("token", String(32), nullable=False),  # of the attempt that is or was at it
    Column("request_hash", String(32)),
    Column("status", Integer),  # none while it is being carried out
    Column("media_type", String(127)),
    Column("body", LargeBinary),
    Column("renewed_at", UtcDateTime, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index(None, "created_at"),
)

# Who changed what (memory_graph/store/audit.py). A row holds nothing that was learned, and outlives its collection: no
# foreign key.
audit = Table(
    "audit",
    metadata,
    Column("id", Id, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor_id", String(64), nullable=False),
    Column("actor_name", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("collection", String(63)),  # its name
    Column("target", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    Column("request_id", String(128)),
    Column("outcome", String(64), nullable=False),  # done | the code of an error
    Index(None, "at"),
    Index(None, "collection", "id"),
    Index(None, "target"),
    **NEVER_REUSED,
)
