"""The shapes of requests and responses, shared by the HTTP API and the command line's ``--json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from math import isfinite
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ingest.dedupe import Policy
from ingest.jobs import priority_name
from memory_graph.store.collections import Collection, Counts
from memory_graph.store.jobs import Job
from memory_graph.types import Citation, Hit
from retrieval.ask import Asked
from retrieval.search import Mode, Rerank, SearchRequest, SearchResult
from retrieval.strategies.task import Strategy

COLLECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_QUESTION_CHARS = 8_000
MAX_DOCUMENTS = 1_000
MAX_DOCUMENT_CHARS = 20_000_000
MAX_DEPTH = 100


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:  # far below where Python's own JSON gives up
            raise ValueError(f"must not be nested deeper than {MAX_DEPTH}")
        if isinstance(one, str):
            _storable(one)
        elif isinstance(one, float) and not isfinite(one):
            raise ValueError("must not contain NaN or an infinite number")
        elif isinstance(one, dict):
            waiting += ((inner, depth + 1) for pair in one.items() for inner in pair)
        elif isinstance(one, list):
            waiting += ((inner, depth + 1) for inner in one)
    return value


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Storable = Annotated[str, AfterValidator(_storable)]
StorableJson = Annotated[dict[str, Any], AfterValidator(_storable_json)]
Question = Annotated[Storable, AfterValidator(_not_blank), Field(max_length=MAX_QUESTION_CHARS)]
CollectionName = Annotated[str, Field(pattern=f"^{COLLECTION_NAME.pattern}$")]


class In(BaseModel):
    """A request: unknown fields are errors, so that a typing mistake is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """A response."""

    model_config = ConfigDict(from_attributes=True)


class CollectionIn(In):
    name: CollectionName
    description: Annotated[Storable, Field(max_length=2_000)] = ""


class CollectionOut(Out):
    name: str
    description: str
    version: int
    documents: int
    passages: int
    phrases: int
    facts: int
    embedder: str
    created_at: datetime

    @classmethod
    def of(cls, collection: Collection, counts: Counts) -> CollectionOut:
        return cls.model_validate(
            {name: getattr(collection, name) for name in ("name", "description", "version", "embedder", "created_at")}
            | {name: getattr(counts, name) for name in ("documents", "passages", "phrases", "facts")}
        )


class CollectionsOut(Out):
    collections: list[CollectionOut]


class DocumentIn(In):
    text: Annotated[Storable, AfterValidator(_not_blank), Field(max_length=MAX_DOCUMENT_CHARS)]
    id: Annotated[Storable, Field(min_length=1, max_length=1_000)] | None = None
    title: Annotated[Storable, Field(max_length=1_000)] = ""
    metadata: StorableJson = Field(default_factory=dict)
    source: Annotated[Storable, Field(max_length=2_000)] | None = None
    occurred_at: datetime | None = None


Priority: TypeAlias = Literal["high", "normal", "low"]


class DocumentsIn(In):
    documents: Annotated[list[DocumentIn], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    split: Literal["recursive", "none"] = "recursive"
    duplicates: Policy | None = None
    priority: Priority = "normal"
    wait: bool = False


class UrlsIn(In):
    urls: Annotated[list[Storable], Field(min_length=1, max_length=MAX_DOCUMENTS)]
    split: Literal["recursive", "none"] = "recursive"
    duplicates: Policy | None = None
    priority: Priority = "normal"


class DocumentOut(Out):
    id: str
    title: str
    source: str | None
    metadata: dict[str, Any]
    occurred_at: datetime | None
    passages: int
    version: int
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> DocumentOut:
        return cls.model_validate({**row, "id": row["key"]})


class PassageOut(Out):
    id: int
    ordinal: int
    text: str
    heading: str
    page: int | None


class NeighbourOut(PassageOut):
    document_id: str
    title: str
    occurred_at: datetime | None


class PassageDetailOut(NeighbourOut):
    """A passage with those beside it, in reading order."""

    source: str | None
    previous: int | None
    next: int | None
    before: list[NeighbourOut]
    after: list[NeighbourOut]


class ChangeOut(Out):
    """One time that a document was written; the numbers are of passages."""

    version: int
    at: datetime
    job_id: str | None
    added: int
    removed: int
    kept: int


class CopyOut(Out):
    document_id: str
    kind: Literal["exact", "near"]
    similarity: float


class DocumentDetailOut(DocumentOut):
    contents: list[PassageOut]
    history: list[ChangeOut]
    duplicates: list[CopyOut]


class DocumentsOut(Out):
    documents: list[DocumentOut]
    next_cursor: str | None


class JobRef(Out):
    job_id: str


class FailureOut(Out):
    name: str
    reason: str
    error: str


class SkippedOut(Out):
    document_id: str
    kind: Literal["exact", "near"]
    duplicate_of: str


class ProgressOut(Out):
    documents: int
    passages: int
    total: int
    known: int
    exact: int
    near: int
    skipped: int
    failed: int
    retryable: int
    bytes: int
    total_bytes: int


class ChangesOut(Out):
    """What became of passages, over all documents that a job wrote."""

    added: int
    removed: int
    kept: int


class TokensOut(Out):
    prompt: int
    completion: int
    calls: int
    reused: int
    run: int
    max_tokens: int | None


class JobOut(Out):
    id: str
    collection: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    split: str
    priority: Priority
    workers: list[str]
    passages_per_s: float | None
    seconds_left: float | None
    duplicates: Policy
    progress: ProgressOut
    changes: ChangesOut
    failures: list[FailureOut]
    skipped: list[SkippedOut]
    error: str | None
    version: int | None
    seconds: dict[str, float]
    tokens: TokensOut
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobOut:
        progress = ProgressOut(
            documents=job.documents,
            passages=job.passages,
            # A file of lines holds more documents than were given: what came of it counts as soon as it is known.
            total=max(job.items, job.documents + job.known + job.skipped + job.failed),
            known=job.known,
            exact=job.exact,
            near=job.near,
            skipped=job.skipped,
            failed=job.failed,
            retryable=job.retryable,
            bytes=min(job.done, job.size),
            total_bytes=job.size,
        )
        own = (
            "id",
            "collection",
            "state",
            "split",
            "duplicates",
            "error",
            "version",
            "created_at",
            "started_at",
            "finished_at",
        )
        values = {name: getattr(job, name) for name in own}
        failures = [FailureOut.model_validate(failure) for failure in job.failures]
        skipped = [SkippedOut.model_validate(copy) for copy in job.copies]
        tokens = TokensOut(**asdict(job.tokens), max_tokens=job.max_tokens)
        pace: dict[str, Any] = {
            "priority": priority_name(job.priority),
            "workers": list(job.pace.workers),
            "passages_per_s": round(job.pace.passages_per_s, 1) if job.pace.workers else None,
            "seconds_left": None if job.seconds_left is None else round(job.seconds_left, 1),
        }
        changes = ChangesOut(added=job.passages - job.kept, removed=job.removed, kept=job.kept)
        return cls(
            **values,
            **pace,
            progress=progress,
            changes=changes,
            failures=failures,
            skipped=skipped,
            seconds=dict(job.seconds),
            tokens=tokens,
        )


class JobsOut(Out):
    jobs: list[JobOut]


class SearchOptions(In):
    top_k: Annotated[int, Field(ge=1, le=1000)] = 10
    mode: Mode = "graph"
    rerank: Rerank | None = None
    filter: StorableJson = Field(default_factory=dict)
    min_version: Annotated[int, Field(ge=0)] = 0
    trace: bool = False

    def request_for(self, query: str) -> SearchRequest:
        return SearchRequest(
            query=query,
            top_k=self.top_k,
            mode=self.mode,
            rerank=self.rerank,
            filter=self.filter,
            min_version=self.min_version,
        )


class SearchIn(SearchOptions):
    query: Question

    def to_request(self) -> SearchRequest:
        return self.request_for(self.query)


class HitOut(Out):
    passage_id: int
    document_id: str
    title: str
    text: str
    score: float
    rank: int
    ordinal: int
    heading: str
    page: int | None
    source: str | None
    occurred_at: datetime | None
    duplicates: tuple[str, ...] = ()

    @classmethod
    def of(cls, hit: Hit) -> HitOut:
        return cls.model_validate(hit)


class StageOut(Out):
    name: str
    ms: float
    detail: dict[str, Any]


class SearchOut(Out):
    hits: list[HitOut]
    version: int
    fallback_reason: str | None
    timings_ms: dict[str, float]
    trace: dict[str, Any] | None = None

    @classmethod
    def of(cls, result: SearchResult, *, trace: bool) -> SearchOut:
        stages = [StageOut.model_validate(stage).model_dump() for stage in result.stages]
        return cls(
            hits=[HitOut.of(hit) for hit in result.hits],
            version=result.version,
            fallback_reason=result.fallback_reason,
            timings_ms=result.timings_ms,
            trace={"stages": stages} if trace else None,
        )


class QueryIn(SearchOptions):
    question: Question
    top_k: Annotated[int, Field(ge=1, le=1000)] = 5
    strategy: Strategy = "direct"
    order: Literal["edges", "best_first", "document"] = "edges"
    warm_start: Annotated[
        bool, Field(description="Strategy `notes`: begin with what was noted for a question much like this one.")
    ] = False
    stream: bool = False

    def to_request(self) -> SearchRequest:
        return self.request_for(self.question)


class CitationOut(Out):
    n: int
    passage_id: int
    document_id: str
    title: str
    quote: str
    supported: bool

    @classmethod
    def of(cls, citation: Citation) -> CitationOut:
        return cls.model_validate(citation)


class UsageOut(Out):
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    calls: int


class NoteOut(Out):
    text: str
    passage_ids: list[int]
    question: str
    kept: bool


class KeptNoteOut(Out):
    id: int
    query_id: str
    question: str
    text: str
    version: int
    passage_ids: list[int]
    created_at: datetime


class KeptNotesOut(Out):
    notes: list[KeptNoteOut]


class QueryOut(Out):
    query_id: str
    answer: str
    found: bool
    extractive: bool
    citations: list[CitationOut]
    hits: list[HitOut]
    notes: list[NoteOut]
    strategy: str
    usage: UsageOut
    version: int
    timings_ms: dict[str, float]
    fallback_reason: str | None
    trace: dict[str, Any] | None = None

    @classmethod
    def of(cls, asked: Asked, query_id: str, *, trace: bool) -> QueryOut:
        return cls(
            query_id=query_id,
            answer=asked.answer.text,
            found=asked.answer.found,
            extractive=asked.answer.extractive,
            citations=[CitationOut.of(citation) for citation in asked.answer.citations],
            hits=[HitOut.of(hit) for hit in asked.found.hits],
            notes=[NoteOut.model_validate(note) for note in asked.notes],
            strategy=asked.strategy,
            usage=UsageOut.model_validate(asked.usage),
            version=asked.found.version,
            timings_ms=asked.timings_ms,
            fallback_reason=asked.fallback_reason,
            trace=asked.trace() if trace else None,
        )


class QueryLogOut(Out):
    id: str
    collection: str
    question: str
    answer: str
    found: bool
    fallback_reason: str | None
    version: int
    milliseconds: int
    created_at: datetime


class QueryDetailOut(QueryLogOut):
    trace: dict[str, Any]


class QueriesOut(Out):
    queries: list[QueryLogOut]


class StateOut(Out):
    ready: bool
    parts: dict[str, str]
