"""The shapes of requests and responses about names, facts, the graph, corrections and feedback."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from memory_graph.graph_files import TieKind
from service.schemas import In, Out, Storable

MAX_NAME_CHARS = 1_000
MAX_COMMENT_CHARS = 8_000

Name = Annotated[Storable, Field(min_length=1, max_length=MAX_NAME_CHARS)]
Comment = Annotated[Storable, Field(max_length=MAX_COMMENT_CHARS)]


class PhraseOut(Out):
    id: int
    name: str
    key: str
    degree: int


class PhrasesOut(Out):
    phrases: list[PhraseOut]
    next_cursor: str | None
    became: PhraseOut | None = Field(
        default=None, description="What the name `q` was merged into, where it is no phrase any more"
    )


class SurfaceOut(Out):
    surface: str
    passages: int


class EvidenceOut(Out):
    passage_id: int
    document_id: str
    title: str
    ordinal: int
    text: str


class MentionOut(EvidenceOut):
    surface: str
    count: int


class MentioningOut(Out):
    document_id: str
    title: str
    passages: int


class SynonymOut(Out):
    id: int
    name: str
    similarity: float


class EndOut(Out):
    id: int
    name: str


class FactOut(Out):
    id: int
    subject: EndOut
    predicate: str
    object: EndOut
    passages: int
    documents: int


class FactsOut(Out):
    facts: list[FactOut]
    next_cursor: str | None


class FactDetailOut(FactOut):
    evidence: list[EvidenceOut]


class PhraseDetailOut(PhraseOut):
    surfaces: list[SurfaceOut]
    passages: list[MentionOut]
    documents: list[MentioningOut]
    facts: list[FactOut]
    synonyms: list[SynonymOut]
    merged_from: int | None = Field(
        default=None, description="The id that was asked for, where it was merged into this"
    )


class SnippetOut(Out):
    passage_id: int
    document_id: str
    title: str
    ordinal: int
    snippet: str


class StatedOut(Out):
    subject: str
    predicate: str
    object: str
    passages: list[SnippetOut]


class StepOut(Out):
    source: str
    source_id: int
    target: str
    target_id: int
    facts: list[StatedOut]
    passages: list[SnippetOut]
    shared: int


class PathOut(Out):
    source: str
    target: str
    paths: list[list[StepOut]]
    reason: str | None
    cut: bool


class CommunityOut(Out):
    size: int
    label: list[str]
    phrases: list[str]
    phrase_ids: list[int]


class CommunitiesOut(Out):
    communities: list[CommunityOut]
    considered: int
    alone: int
    cut: bool


class NameNodeOut(Out):
    id: int
    name: str
    degree: int
    distance: int
    community: int


class TieOut(Out):
    source: int
    target: int
    kind: TieKind
    weight: float
    fact_id: int | None
    predicate: str | None


class MergedOut(Out):
    id: int
    into: int
    name: str


class NameGraphOut(Out):
    names: list[NameNodeOut]
    ties: list[TieOut]
    cut: bool
    merged: list[MergedOut] = Field(
        default_factory=list, description="Ids that were asked for and were merged away, with the names shown instead"
    )


class BandOut(Out):
    least: int
    most: int
    phrases: int


class GrowthOut(Out):
    version: int
    at: datetime
    passages: int


class StatsOut(Out):
    version: int
    documents: int
    passages: int
    phrases: int
    facts: int
    mentions: int
    notes: int
    corrections: int
    vectors: dict[str, int]
    characters: int
    view_bytes: dict[str, int]
    degrees: list[BandOut]
    in_one_passage: float
    most_connected: list[PhraseOut]
    growth: list[GrowthOut]


class FeedbackIn(In):
    rating: Literal[1, -1]
    comment: Comment | None = None
    correct_answer: Comment | None = None


class FeedbackOut(Out):
    rating: int
    comment: str | None
    correct_answer: str | None
    rated_at: datetime


class CorrectionIn(In):
    """What is to be put right; which fields a kind takes is told by the error, if one is missing or too many."""

    kind: Literal["merge", "split", "retract"]
    names: list[Name] | None = None
    name: Name | None = None
    into: Name | None = None
    surface: Name | None = None
    subject: Name | None = None
    predicate: Name | None = None
    object: Name | None = None
    documents: list[Name] | None = None
    reason: Comment = ""

    def what(self) -> dict[str, Any]:
        return self.model_dump(exclude={"kind", "reason"}, exclude_none=True)


class CorrectionOut(Out):
    id: int
    kind: str
    what: dict[str, Any]
    reason: str
    state: str
    made_by: str
    created_at: datetime
    version: int
    passages: int
    undone_by: str | None
    undone_at: datetime | None


class EffectOut(Out):
    """What a correction would change."""

    passages: int
    documents: list[MentioningOut]
    phrases: int
    facts: int


class CorrectionsOut(Out):
    corrections: list[CorrectionOut]
    next_cursor: str | None
