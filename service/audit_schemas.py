"""The shapes of the audit log over HTTP and ``--json``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from memory_graph.store.audit import Entry
from service.schemas import Out


class EntryOut(Out):
    id: int
    at: datetime
    actor_id: str
    actor_name: str
    action: str
    collection: str | None
    target: str
    detail: dict[str, Any]
    request_id: str | None
    outcome: str

    @classmethod
    def of(cls, entry: Entry) -> EntryOut:
        return cls.model_validate(entry)


class AuditOut(Out):
    entries: list[EntryOut]
    next_cursor: str | None
