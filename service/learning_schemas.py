"""The shapes of documents, passages and jobs over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from ingest.jobs import priority_name
from memory_graph.store.jobs import Job
from memory_graph.types import Policy
from service.schemas import MAX_DOCUMENT_CHARS, MAX_DOCUMENTS, In, Out, Storable, StorableJson, not_blank


class DocumentIn(In):
    text: Annotated[Storable, AfterValidator(not_blank), Field(max_length=MAX_DOCUMENT_CHARS)]
    id: Annotated[Storable, Field(min_length=1, max_length=1_000)] | None = None
    title: Annotated[Storable, Field(max_length=1_000)] = ""
    metadata: StorableJson = Field(default_factory=dict)
    source: Annotated[Storable, Field(max_length=2_000)] | None = None
    occurred_at: datetime | None = None


JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
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


class MarkOut(Out):
    """A name in a text, in characters from ``start`` up to ``end``; without ``phrase_id`` what relates two."""

    start: int
    end: int
    phrase_id: int | None
    fact_ids: list[int]


class NameOut(Out):
    id: int
    name: str


class MentionOut(NameOut):
    count: int


class StatedOut(Out):
    """A fact as its passage states it."""

    id: int
    subject: NameOut
    predicate: str
    object: NameOut


class MarkedPassageOut(PassageOut):
    marks: list[MarkOut]
    names: list[MentionOut]
    facts: list[StatedOut]


class MarkedPassagesOut(Out):
    """Passages of one document; ``total`` counts all of them."""

    passages: list[MarkedPassageOut]
    total: int
    next_cursor: str | None


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
    previous_cursor: str | None = None


class JobRef(Out):
    job_id: str


class FailureOut(Out):
    name: str
    reason: str
    error: str
    retry_id: int | None = Field(default=None, description="To retry this alone; null where nothing of it is kept")


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
    state: JobState
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


class ThroughputStepOut(Out):
    at: datetime
    passages: int
    bytes: int


class ThroughputOut(Out):
    """What a job committed, in steps of ``step_s`` seconds; those in which it was nothing are left out."""

    step_s: int | None
    steps: list[ThroughputStepOut]


class LearnedOut(Out):
    id: str
    title: str
    created_at: datetime


class LearnedPageOut(Out):
    """Documents that a job wrote last; one that a later job has written anew is that one's."""

    documents: list[LearnedOut]
    next_cursor: str | None


class JobsOut(Out):
    jobs: list[JobOut]
    next_cursor: str | None = None
