"""The shapes of the overview over HTTP. Times are in milliseconds, sizes in bytes, moments the beginning of a step."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from memory_graph.store.growth import Growth, Step
from memory_graph.store.traced import Spending
from service.schemas import Out


class HeldOut(Out):
    """A collection and what it held at ``counted_version``; the counts are null until they were counted once."""

    name: str
    version: int
    created_at: datetime
    documents: int | None
    passages: int | None
    phrases: int | None
    facts: int | None
    counted_version: int | None = Field(description="The version that the counts are of; it may be an earlier one")
    view_version: int | None = Field(description="Of the view that this process searches; null if it holds none")
    view_lag: int | None = Field(description="Commits that this view lacks")
    unfinished_jobs: int
    passages_per_s: float


class GrowthStepOut(Out):
    at: datetime
    documents: int = Field(description="Learned in this step, of those that are held now")
    passages: int


class GrowthOut(Out):
    """When what is held now was learned; steps in which nothing was are left out."""

    step: Step
    steps: list[GrowthStepOut]

    @classmethod
    def of(cls, growth: Growth) -> GrowthOut:
        steps = [
            GrowthStepOut(at=at, documents=documents, passages=passages)
            for at, (documents, passages) in growth.learned.items()
        ]
        return cls(step=growth.step, steps=steps)


class MinuteOut(Out):
    at: datetime
    requests: int
    searches: int = Field(description="Those for questions included")
    answers: int
    refused: int = Field(description="Requests answered with 429")
    failed: int = Field(description="Requests answered with 500 and above")
    search_p50_ms: float | None
    search_p95_ms: float | None


class TimeOut(Out):
    """How long something took in the last hour; quantiles are within 5 %."""

    name: str
    count: int
    p50_ms: float
    p95_ms: float


class FallbackOut(Out):
    part: str
    reason: str
    count: int


class StatusCountOut(Out):
    status: int
    count: int


class GeneratorOut(Out):
    """The model that answers, and what it was asked in the last hour; ``reachable`` as it last was, null before."""

    name: str
    reachable: bool | None
    calls: int
    failed: int
    prompt_tokens: int
    cached_tokens: int = Field(description="Of the prompts' tokens, those that the server had read before")
    completion_tokens: int


class HourOut(Out):
    """The last 60 minutes of the API, minute by minute; the last one is still going on."""

    minutes: list[MinuteOut]
    search: TimeOut | None
    question: TimeOut | None
    stages: list[TimeOut]
    fallbacks: list[FallbackOut]
    refusals: list[StatusCountOut] = Field(description="Requests by status, from 400 on")
    generator: GeneratorOut


class DiskPartOut(Out):
    name: str
    bytes: int


class DiskOut(Out):
    folder: str
    parts: list[DiskPartOut]
    free: int
    total: int


class ProcessOut(Out):
    role: Literal["api", "worker"]
    host: str
    pid: int
    resident: int | None = Field(description="Null where it cannot be known from here")
    children: int = Field(description="Of the processes that it started")


class InstallationOut(Out):
    hour: HourOut
    disk: DiskOut
    processes: list[ProcessOut]
    queued_jobs: int
    running_jobs: int
    purges: int = Field(description="Removals of forgotten bytes that are not done")


class OverviewOut(Out):
    """What the memories hold and how the service does; ``installation`` is null for keys bound to collections."""

    collections: list[HeldOut]
    left_out: int = Field(description="Collections beyond the first 500 by name")
    growth: GrowthOut | None = Field(description="Of all of them, or of the one asked for; null until it was counted")
    installation: InstallationOut | None


class SpentOut(Out):
    kind: str = Field(description="`answer`, `note`, `fact filter`, `extraction` …: the stage that called the model")
    strategy: str | None = Field(description="Of the answer; null for jobs")
    calls: int
    prompt_tokens: int
    completion_tokens: int


class SpendingOut(Out):
    """Tokens by kind of call in so many hours, the dearest first."""

    hours: int
    questions: int = Field(description="Answers that were looked at, the newest 1,000 at most")
    left_out: bool = Field(description="Whether there are older ones of that time")
    spent: list[SpentOut]

    @classmethod
    def of(cls, hours: int, found: Spending) -> SpendingOut:
        spent = [
            SpentOut(
                kind=kind,
                strategy=strategy,
                calls=usage.calls,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
            for (kind, strategy), usage in found.spent.items()
        ]
        spent.sort(key=lambda one: (-one.prompt_tokens - one.completion_tokens, one.kind, one.strategy or ""))
        return cls(hours=hours, questions=found.questions, left_out=found.is_cut, spent=spent)
