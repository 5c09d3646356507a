"""A document given again: which of its passages stay, and the history of how much changed.

A passage that stays keeps its row, and with it its vector, mentions, facts and notes. It may stand elsewhere in the new
text: its position is the one thing about it that is updated, and no view holds it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from memory_graph.store.rows import chunks, now
from memory_graph.tables import document_changes, passages
from memory_graph.types import Passage

HISTORY = 100  # changes that are shown


@dataclass(frozen=True, kw_only=True)
class Change:
    """How many passages one writing of a document added, removed and kept."""

    added: int
    removed: int
    kept: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What makes the new passages of the old: ``added`` are places in the new, ``twins`` those of all new passages.

    A twin is the number of equal passages before one in its document. ``kept`` pairs rows with places, and ``removed``
    are ids with text hashes.
    """

    added: Sequence[int]
    twins: Sequence[int]
    kept: Sequence[tuple[RowMapping, int]]
    removed: Sequence[tuple[int, str]]


def stored_passages(connection: Connection, document_id: int) -> list[RowMapping]:
    """Read what tells a document's passages apart and where they stand, in order."""
    columns = (passages.c[name] for name in ("id", "text_hash", "made_by", "ordinal", "start", "end", "page"))
    query = select(*columns).where(passages.c.document_id == document_id).order_by(passages.c.ordinal)
    return list(connection.execute(query).mappings())


def compare(stored: Sequence[RowMapping], text_hashes: Sequence[str], made_by: str) -> Difference:
    """Match a document's new passages, by text hash, with the stored ones that the same extractor read.

    Equal ones are matched in order, so that each keeps its number among its twins.
    """
    waiting: dict[str, deque[RowMapping]] = {}
    for row in stored:
        if row["made_by"] == made_by:
            waiting.setdefault(row["text_hash"], deque()).append(row)
    added, twins, kept = [], [], []
    seen: Counter[str] = Counter()
    for place, text_hash in enumerate(text_hashes):
        twins.append(seen[text_hash])
        seen[text_hash] += 1
        if waiting.get(text_hash):
            kept.append((waiting[text_hash].popleft(), place))
        else:
            added.append(place)
    stay = {row["id"] for row, _ in kept}
    removed = [(row["id"], row["text_hash"]) for row in stored if row["id"] not in stay]
    return Difference(added=added, twins=twins, kept=kept, removed=removed)


def move_passages(connection: Connection, kept: Sequence[tuple[RowMapping, Passage]]) -> None:
    """Give passages that stayed the positions that they have now."""
    moved = [
        {"_id": row["id"], "ordinal": new.ordinal, "start": new.start, "end": new.end, "page": new.page}
        for row, new in kept
        if (row["ordinal"], row["start"], row["end"], row["page"]) != (new.ordinal, new.start, new.end, new.page)
    ]
    if not moved:
        return
    # Out of the way first: of two passages of a document none may have the place that the other is about to leave.
    for some in chunks([row["id"] for row, new in kept if row["ordinal"] != new.ordinal]):
        connection.execute(update(passages).where(passages.c.id.in_(some)).values(ordinal=-1 - passages.c.ordinal))
    connection.execute(update(passages).where(passages.c.id == bindparam("_id")), moved)


def note_change(
    connection: Connection, collection_id: int, document_id: int, version: int, job_id: str | None, change: Change
) -> None:
    """Write a line of a document's history."""
    connection.execute(
        insert(document_changes).values(
            collection_id=collection_id,
            document_id=document_id,
            version=version,
            job_id=job_id,
            at=now(),
            added=change.added,
            removed=change.removed,
            kept=change.kept,
        )
    )


def document_history(connection: Connection, document_id: int) -> list[dict[str, Any]]:
    """Return a document's last changes, newest first, without any text."""
    columns = (document_changes.c[name] for name in ("version", "at", "job_id", "added", "removed", "kept"))
    query = (
        select(*columns)
        .where(document_changes.c.document_id == document_id)
        .order_by(document_changes.c.id.desc())
        .limit(HISTORY)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
