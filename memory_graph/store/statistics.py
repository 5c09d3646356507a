"""How large a collection is, how its names are connected, and how it grew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Table, func, select

from memory_graph.store.collections import Counts, count_contents
from memory_graph.store.inspecting import rank_phrases
from memory_graph.tables import (
    commits,
    corrections,
    embeddings,
    fact_embeddings,
    notes,
    passages,
    phrase_embeddings,
    phrases,
)

POINTS = 200  # of the growth


@dataclass(frozen=True, kw_only=True)
class DegreeBand:
    """How many phrases are in ``least`` to ``most`` passages."""

    least: int
    most: int
    phrases: int


@dataclass(frozen=True, kw_only=True)
class Growth:
    """The passages that live now, by when they were learned: those up to a commit."""

    version: int
    at: datetime
    passages: int


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What a collection is like at one version.

    ``in_one_passage`` is the share of phrases that one passage alone mentions, ``characters`` those of all passages.
    """

    counts: Counts
    mentions: int
    notes: int
    corrections: int
    vectors: dict[str, int]
    characters: int
    degrees: list[DegreeBand]
    in_one_passage: float
    most_connected: list[tuple[int, str, int]]
    growth: list[Growth]


def measure(connection: Connection, collection_id: int, *, most: int = 20) -> Statistics:
    """Count all of a collection; it goes once through each of its tables, so it takes seconds where it is large."""
    by_degree = {
        degree: count
        for degree, count in connection.execute(
            select(phrases.c.degree, func.count())
            .where(phrases.c.collection_id == collection_id)
            .group_by(phrases.c.degree)
        )
    }
    counts = count_contents(connection, collection_id)
    characters = select(func.sum(passages.c.end - passages.c.start)).where(passages.c.collection_id == collection_id)
    standing = select(func.count()).where(corrections.c.collection_id == collection_id, corrections.c.state == "active")

    def count(table: Table) -> int:
        return connection.scalar(select(func.count()).where(table.c.collection_id == collection_id)) or 0

    return Statistics(
        counts=counts,
        mentions=sum(degree * held for degree, held in by_degree.items()),
        notes=count(notes),
        corrections=connection.scalar(standing) or 0,
        vectors={
            "texts": count(embeddings),
            "phrases": count(phrase_embeddings),
            "facts": count(fact_embeddings),
        },
        characters=connection.scalar(characters) or 0,
        degrees=_bands(by_degree),
        in_one_passage=by_degree.get(1, 0) / counts.phrases if counts.phrases else 0.0,
        most_connected=[(row.id, row.key, row.passages) for row in rank_phrases(connection, collection_id, most)],
        growth=_growth(connection, collection_id),
    )


def _bands(by_degree: dict[int, int]) -> list[DegreeBand]:
    """Return the degrees in bands of 0, 1, 2-3, 4-7, 8-15 and so on, those between without phrases too."""
    if not by_degree:
        return []
    bands: dict[int, int] = {}
    for degree, count in by_degree.items():
        bands[degree.bit_length()] = bands.get(degree.bit_length(), 0) + count
    return [
        DegreeBand(least=2 ** (bits - 1) if bits else 0, most=2**bits - 1, phrases=bands.get(bits, 0))
        for bits in range(min(bands), max(bands) + 1)
    ]


def _growth(connection: Connection, collection_id: int) -> list[Growth]:
    learned = (
        select(passages.c.version, func.count().label("passages"))
        .where(passages.c.collection_id == collection_id)
        .group_by(passages.c.version)
        .subquery()
    )
    rows = connection.execute(
        select(learned.c.version, learned.c.passages, commits.c.created_at)
        .join(commits, (commits.c.version == learned.c.version) & (commits.c.collection_id == collection_id))
        .order_by(learned.c.version)
    ).all()
    found, total = [], 0
    for row in rows:
        total += row.passages
        found.append(Growth(version=row.version, at=row.created_at, passages=total))
    if len(found) <= POINTS:
        return found
    return [found[at * (len(found) - 1) // (POINTS - 1)] for at in range(POINTS)]
