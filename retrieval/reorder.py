"""The order in which ranked passages are shown to the reader."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from memory_graph.types import Hit

Order: TypeAlias = Literal["edges", "best_first", "document"]


def order_passages(n: int, order: Order, keys: Sequence[tuple[Any, ...]] | None = None) -> list[int]:
    """Return the ranks ``0..n-1`` (0 is best) in the order of showing.

    ``edges`` puts the best first, the second best last, the worst in the middle (1, 3, 5, …, 6, 4, 2), where readers
    of long contexts overlook most (Jin et al., "Long-Context LLMs Meet RAG", ICLR 2025). ``document`` sorts by
    ``keys``, one ``story_key`` a passage, which keeps the order of a story; ties keep the ranking.
    """
    if order == "best_first":
        return list(range(n))
    if order == "edges":
        return [*range(0, n, 2), *reversed(range(1, n, 2))]
    if keys is None or len(keys) != n:
        raise ValueError(f"order 'document' needs one key a passage: {n} passages")
    return sorted(range(n), key=lambda rank: keys[rank])


def story_key(hit: Hit) -> tuple[str, bool, datetime, str, int]:
    """Return where a passage stands in what it tells: source by source, by time, then as its document has it.

    What has no time comes last of its source; documents of one time go by their ids.
    """
    moment = hit.occurred_at or datetime.min.replace(tzinfo=UTC)
    return hit.source or "", hit.occurred_at is None, moment, hit.document_id, hit.ordinal
