"""What the service answers: frozen. Fields that a newer service adds are kept, and read like the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]


class Model(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


@dataclass(frozen=True, kw_only=True)
class Page(Generic[T]):
    """Some of a list; ``next_cursor`` gives the next page, None after the last."""

    items: tuple[T, ...]
    next_cursor: str | None


class Health(Model):
    status: str
    instance: str


class Readiness(Model):
    ready: bool
    parts: dict[str, str]


class Collection(Model):
    name: str
    description: str = ""
    version: int
    documents: int
    passages: int
    phrases: int
    facts: int
    embedder: str = ""
    created_at: datetime


class NewDocument(BaseModel):
    """A document to learn: only ``text`` is needed. An ``id`` that is known is updated; moments need a time zone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    id: str | None = None
    title: str = ""
    metadata: Mapping[str, Any] = Field(default_factory=dict)
    source: str | None = None
    occurred_at: datetime | None = None


class Document(Model):
    id: str
    title: str
    source: str | None = None
    metadata: JsonObject
    occurred_at: datetime | None = None
    passages: int
    version: int
    created_at: datetime


class Passage(Model):
    id: int
    ordinal: int
    text: str
    heading: str = ""
    page: int | None = None


class Mark(Model):
    """A name in a text, or without ``phrase_id`` what says how two are related."""

    start: int
    end: int
    phrase_id: int | None = None
    fact_ids: tuple[int, ...] = ()


class MarkedPassage(Passage):
    """``names`` are ``{"id", "name", "count"}``, ``facts`` have ``subject``, ``predicate`` and ``object``."""

    marks: tuple[Mark, ...] = ()
    names: tuple[JsonObject, ...] = ()
    facts: tuple[JsonObject, ...] = ()


class Neighbour(Passage):
    document_id: str
    title: str
    occurred_at: datetime | None = None


class PassageDetail(Neighbour):
    """A passage with those beside it, in reading order."""

    source: str | None = None
    previous: int | None = None
    next: int | None = None
    before: tuple[Neighbour, ...] = ()
    after: tuple[Neighbour, ...] = ()


class Change(Model):
    """One time that a document was written; the numbers are of passages."""

    version: int
    at: datetime
    job_id: str | None = None
    added: int
    removed: int
    kept: int


class Copy(Model):
    document_id: str
    kind: str
    similarity: float


class DocumentDetail(Document):
    contents: tuple[Passage, ...]
    history: tuple[Change, ...] = ()
    duplicates: tuple[Copy, ...] = ()


class JobRef(Model):
    job_id: str


class Failure(Model):
    name: str
    reason: str
    error: str
    retry_id: int | None = None


class Skipped(Model):
    document_id: str
    kind: str
    duplicate_of: str


class Progress(Model):
    documents: int
    passages: int
    total: int
    known: int = 0
    exact: int = 0
    near: int = 0
    skipped: int = 0
    failed: int = 0
    retryable: int = 0
    bytes: int = 0
    total_bytes: int = 0


class Changes(Model):
    added: int
    removed: int
    kept: int


class Tokens(Model):
    prompt: int = 0
    completion: int = 0
    calls: int = 0
    reused: int = 0
    run: int = 0
    max_tokens: int | None = None


class Job(Model):
    """A job of learning: ``state`` is queued, running, succeeded, failed or cancelled."""

    id: str
    collection: str
    state: str
    progress: Progress
    changes: Changes | None = None
    failures: tuple[Failure, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    workers: tuple[str, ...] = ()
    passages_per_s: float | None = None
    seconds_left: float | None = None
    priority: str = "normal"
    error: str | None = None
    version: int | None = None
    tokens: Tokens | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.state in ("succeeded", "failed", "cancelled")


class Hit(Model):
    passage_id: int
    document_id: str
    title: str
    text: str
    score: float
    rank: int
    ordinal: int = 0
    heading: str = ""
    page: int | None = None
    source: str | None = None
    occurred_at: datetime | None = None
    duplicates: tuple[str, ...] = ()


class SearchResult(Model):
    hits: tuple[Hit, ...]
    version: int
    fallback_reason: str | None = None
    timings_ms: dict[str, float] = Field(default_factory=dict)
    trace: JsonObject | None = None


class Citation(Model):
    """Hit ``n`` carries the answer: ``quote`` stands in it, ``supported`` says whether the answer's own words do."""

    n: int
    passage_id: int
    document_id: str
    title: str
    quote: str
    supported: bool


class Note(Model):
    text: str
    passage_ids: tuple[int, ...]
    question: str = ""
    kept: bool = False


class Usage(Model):
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0


class Answer(Model):
    """An answer; ``found`` is false where the memory does not say, ``extractive`` true where sentences are quoted."""

    query_id: str
    answer: str
    found: bool
    extractive: bool = False
    citations: tuple[Citation, ...]
    hits: tuple[Hit, ...]
    notes: tuple[Note, ...] = ()
    strategy: str = "direct"
    usage: Usage = Usage()
    version: int
    timings_ms: dict[str, float] = Field(default_factory=dict)
    fallback_reason: str | None = None
    trace: JsonObject | None = None


class Found(Model):
    """The first event of a streamed answer: what was found."""

    hits: tuple[Hit, ...]
    version: int


class Token(Model):
    """Some more of the answer's text."""

    text: str


AnswerEvent: TypeAlias = Found | Note | Token | Answer
"""What a streamed answer tells: ``Found``, then ``Note`` and ``Token``, and the whole ``Answer`` in their place."""


class PassageName(Model):
    """What a passage is called; ``ordinal`` counts from 0, ``changed`` is told where a note rests on it."""

    id: int
    document_id: str
    title: str
    ordinal: int
    changed: bool | None = None


class KeptNote(Model):
    id: int
    query_id: str
    question: str
    text: str
    version: int
    passage_ids: tuple[int, ...]
    passages: tuple[PassageName, ...] = ()
    created_at: datetime
    used: int = 0
    last_used_at: datetime | None = None


class LoggedQuery(Model):
    id: str
    collection: str
    question: str
    answer: str
    found: bool
    fallback_reason: str | None = None
    version: int
    milliseconds: int
    created_at: datetime


class QueryDetail(LoggedQuery):
    trace: JsonObject
    passages: tuple[PassageName, ...] = ()


class Forgotten(Model):
    """How much was forgotten, or would be; ``purge_id`` names the purge that removes the bytes."""

    document_id: str | None = None
    documents: int
    passages: int
    phrases: int = 0
    facts: int = 0
    notes: int = 0
    replies: int = 0
    queries: int = 0
    job_items: int = 0
    bytes: int = 0
    version: int | None = None
    purge_id: int | None = None
    dry_run: bool = False


class Purge(Model):
    id: int
    collection: str | None = None
    version: int
    state: str
    steps: JsonObject = Field(default_factory=dict)
    attempts: int = 0
    waits_for: str | None = None
    requested_at: datetime
    finished_at: datetime | None = None


class AuditEntry(Model):
    id: int
    at: datetime
    actor_id: str
    actor_name: str
    action: str
    collection: str | None = None
    target: str
    request_id: str | None = None
    detail: JsonObject = Field(default_factory=dict)
    outcome: str


class RetentionRule(Model):
    name: str
    collection: str
    age_of: str = "learned"
    max_age_days: int | None = None
    filter: JsonObject = Field(default_factory=dict)
    created_at: datetime
    ran_at: datetime | None = None
    forgotten: int = 0


class Key(Model):
    id: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    collections: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_today: int = 0
    bytes_per_day: int | None = None
    bytes_today: int = 0


class NewKey(Key):
    """A key as it was made: ``key`` is told this once."""

    key: str
