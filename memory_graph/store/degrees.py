"""In how many passages each phrase stands: kept with the phrase, since to count it anew goes through all mentions."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select, update

from memory_graph.store.rows import chunks
from memory_graph.tables import mentions, phrases


def shift_degrees(connection: Connection, by: Mapping[int, int]) -> None:
    """Let phrases, by id, stand in so many passages more, or fewer; in the transaction that writes the mentions."""
    alike: dict[int, list[int]] = {}
    for phrase_id, count in by.items():
        alike.setdefault(count, []).append(phrase_id)
    for count, phrase_ids in sorted(alike.items()):
        for some in chunks(sorted(phrase_ids)):
            shifted = update(phrases).where(phrases.c.id.in_(some)).values(degree=phrases.c.degree + count)
            connection.execute(shifted)


def count_degrees(connection: Connection, collection_id: int) -> None:
    """Count anew for all phrases of a collection whose mentions were written past ``Commit``."""
    count = select(func.count()).where(mentions.c.phrase_id == phrases.c.id).scalar_subquery()
    connection.execute(update(phrases).where(phrases.c.collection_id == collection_id).values(degree=count))
