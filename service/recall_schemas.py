"""The shapes of searches, questions, answers, notes and their log over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from memory_graph.types import Citation, Hit
from retrieval.ask import Asked
from retrieval.search import Mode, Rerank, SearchRequest, SearchResult
from retrieval.strategies.task import Strategy
from service.schemas import In, Out, Question, StorableJson


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
            explain=self.trace,
        )


MAX_QUESTIONS = 100
_ONE: TypeAdapter[str] = TypeAdapter(Question)
_SEVERAL: TypeAdapter[list[str]] = TypeAdapter(Annotated[list[Question], Field(min_length=1, max_length=MAX_QUESTIONS)])


def _one_or_several(value: object) -> str | list[str]:
    """Check a question, or several; the framework's own union would name its branches where the field is meant."""
    try:
        return _SEVERAL.validate_python(value) if isinstance(value, list) else _ONE.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise PydanticCustomError("query", "{why}", {"why": f"{where}{first['msg']}"}) from error


class SearchIn(SearchOptions):
    query: Annotated[
        str | list[str],
        PlainValidator(_one_or_several),
        WithJsonSchema({"anyOf": [_ONE.json_schema(), _SEVERAL.json_schema()], "description": "One, or several"}),
    ]

    def to_requests(self) -> list[SearchRequest]:
        """Return the request of each question."""
        return [self.request_for(query) for query in ([self.query] if isinstance(self.query, str) else self.query)]

    def to_request(self) -> SearchRequest:
        """Return the request of the only question, or of the first."""
        return self.to_requests()[0]


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


class SearchesOut(Out):
    """One result for each question, in their order."""

    results: list[SearchOut]


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


class PassageNameOut(Out):
    """What a passage is called: the ``ordinal``-th of its document, counted from 0."""

    id: int
    document_id: str
    title: str
    ordinal: int


class RestsOnOut(PassageNameOut):
    changed: bool
    """Whether its document was written again since the note was taken; the passage itself stayed as it was."""


class KeptNoteOut(Out):
    id: int
    query_id: str
    question: str
    text: str
    version: int
    passage_ids: list[int]
    passages: list[RestsOnOut]
    used: int = Field(description="Of the newest 1,000 questions, those that began with it (`warm_start`)")
    last_used_at: datetime | None
    created_at: datetime


class KeptNotesOut(Out):
    notes: list[KeptNoteOut]
    next_cursor: str | None


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
    rating: int | None
    comment: str | None
    correct_answer: str | None
    rated_at: datetime | None


class QueryDetailOut(QueryLogOut):
    trace: dict[str, Any]
    passages: list[PassageNameOut]
    """Those that the trace speaks of, as far as they are there still."""


class QueriesOut(Out):
    queries: list[QueryLogOut]
    next_cursor: str | None
