"""The shapes of requests and responses about forgetting, purges and retention."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from memory_graph.store.forgetting import Erased, Selection
from memory_graph.store.purges import Purge
from memory_graph.store.retention import AgeOf, KeptRule
from service.schemas import In, Out, Storable, StorableJson

MAX_CHOSEN = 1_000


class ForgetIn(In):
    documents: Annotated[
        list[Annotated[Storable, Field(min_length=1)]],
        Field(max_length=MAX_CHOSEN, description="Ids; those that are not there are passed over"),
    ] = Field(default_factory=list)
    source: Annotated[Storable, Field(min_length=1, max_length=2_000)] | None = None
    filter: StorableJson = Field(default_factory=dict)
    all: bool = False
    dry_run: bool = False

    def selection(self) -> Selection:
        """Return what is meant. Errors: ``InvalidInput`` unless it is one thing."""
        return Selection(keys=self.documents, source=self.source, filter=self.filter, everything=self.all)


class ForgottenOut(Out):
    document_id: str | None = None
    documents: int
    passages: int
    phrases: int
    facts: int
    notes: int
    replies: int
    queries: int
    job_items: int
    bytes: int
    version: int | None
    purge_id: int | None
    dry_run: bool

    @classmethod
    def of(cls, erased: Erased, *, dry_run: bool, document_id: str | None = None) -> ForgottenOut:
        return cls(document_id=document_id, dry_run=dry_run, **vars(erased))


class PurgeOut(Out):
    id: int
    collection: str | None
    version: int
    state: str
    steps: dict[str, Any]
    attempts: int
    waits_for: str | None
    requested_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, purge: Purge) -> PurgeOut:
        return cls.model_validate(purge)


class PurgesOut(Out):
    purges: list[PurgeOut]
    next_cursor: str | None = None


class CheckOut(Out):
    name: str
    ok: bool
    looked_at: int
    found: int
    detail: str


class ProofOut(Out):
    ok: bool
    purge: PurgeOut | None
    probes: int
    shared: int
    checks: list[CheckOut]
    out_of_reach: list[str]


class ForgottenProvedOut(ForgottenOut):
    proof: ProofOut


class RuleIn(In):
    age_of: AgeOf = "learned"
    max_age_days: int | None = None
    filter: StorableJson = Field(default_factory=dict)


class RuleOut(Out):
    name: str
    collection: str
    age_of: AgeOf
    max_age_days: int | None
    filter: dict[str, Any]
    created_at: datetime
    ran_at: datetime | None
    forgotten: int

    @classmethod
    def of(cls, rule: KeptRule) -> RuleOut:
        return cls.model_validate(rule)


class RulesOut(Out):
    rules: list[RuleOut]
    next_cursor: str | None = None
