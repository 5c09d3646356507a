"""The order in which ranked passages are shown to the reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

Order: TypeAlias = Literal["edges", "best_first", "document"]


def order_passages(n: int, order: Order, keys: Sequence[tuple[str, int]] | None = None) -> list[int]:
    """Return the ranks ``0..n-1`` (0 is best) in the order of showing.

    ``edges`` puts the best first, the second best last, the worst in the middle (1, 3, 5, …, 6, 4, 2), where readers
    of long contexts overlook most (Jin et al., "Long-Context LLMs Meet RAG", ICLR 2025). ``document`` sorts by
    ``keys``, one ``(document_id, ordinal)`` a passage, which keeps the order of a story; ties keep the ranking.
    """
    if order == "best_first":
        return list(range(n))
    if order == "edges":
        return [*range(0, n, 2), *reversed(range(1, n, 2))]
    if keys is None or len(keys) != n:
        raise ValueError(f"order 'document' needs one key a passage: {n} passages")
    return sorted(range(n), key=lambda rank: keys[rank])
