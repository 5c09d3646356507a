"""Jobs in the name of whoever asks: refused where their key may spend no more, written down, and charged to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from ingest.jobs import PRIORITIES, Submission
from memory_graph.store.jobs import Failure, NewItem
from memory_graph.types import Policy
from service.access import Caller, check_quota, get_actor
from service.auditing import submitted_by
from service.learning_schemas import Priority
from service.services import Services


def submit(
    parts: Services,
    caller: Caller,
    collection: str,
    items: Sequence[NewItem],
    *,
    failures: Sequence[Failure] = (),
    split: str = "recursive",
    duplicates: Policy | None = None,
    priority: Priority = "normal",
    check: Callable[[Connection, int], None] | None = None,
) -> Submission:
    """Queue a job; nothing is stored of one that is refused.

    Errors: ``NotFound`` for the collection; ``QuotaSpent`` where the key has no bytes left for it today, or no tokens
    and a language model extracts; ``InvalidInput`` for more bytes than it may give in a day.
    """
    if parts.settings.extractor == "llm":
        check_quota(caller)
    return parts.jobs.submit(
        collection,
        items,
        failures=failures,
        split=split,
        duplicates=duplicates or parts.settings.duplicates,
        priority=PRIORITIES[priority],
        key_id=caller.id if caller.is_key else None,
        noted=submitted_by(get_actor(caller), collection, len(items) + len(failures)),
        check=check,
    )
