"""What became of names that were merged away: asked for by their words, or by the ids that they had."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, select

from memory_graph.corrections import aliases_of
from memory_graph.store.inspecting import find_phrase, known_phrases
from memory_graph.store.originals import read_rules
from memory_graph.tables import corrections
from memory_graph.text import normalize


def find_or_follow(connection: Connection, collection_id: int, key: str) -> int | None:
    """Return the phrase of a normalised name, or the one that it was merged into."""
    found = find_phrase(connection, collection_id, key)
    if found is None:
        now_is = aliases_of(read_rules(connection, collection_id)).get(key)
        found = None if now_is is None else find_phrase(connection, collection_id, now_is)
    return found


def follow_merged(connection: Connection, collection_id: int, phrase_ids: Iterable[int]) -> dict[int, int]:
    """Return the phrases that those of these ids became that merges took away and that are not there."""
    wanted = set(phrase_ids)
    gone = wanted - known_phrases(connection, collection_id, sorted(wanted))
    if not gone:
        return {}
    rows = connection.execute(
        select(corrections.c.what, corrections.c.phrase_ids)
        .where(
            corrections.c.collection_id == collection_id,
            corrections.c.kind == "merge",
            corrections.c.state == "active",
        )
        .order_by(corrections.c.id)
    ).all()
    found: dict[int, int] = {}
    for what, taken in rows:
        lost = gone & set(taken or ())
        if lost and (now_is := find_or_follow(connection, collection_id, normalize(what["into"]))) is not None:
            found |= dict.fromkeys(lost, now_is)
    return found
