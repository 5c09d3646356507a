"""What a correction would change: it is made, looked at, and rolled back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, union

from memory_graph.store.collections import count_contents
from memory_graph.store.correcting import NewCorrection, correct
from memory_graph.tables import documents, fact_sources, mentions, passages


@dataclass(frozen=True, kw_only=True)
class Effect:
    """What a correction would do: how many passages it changes, and how many phrases and facts there are more or less.

    ``documents`` are the first of those whose passages say something else afterwards: (document_id, title, passages).
    """

    passages: int
    documents: list[Row[Any]]
    phrases: int
    facts: int


def preview(connection: Connection, collection_id: int, new: NewCorrection, most: int) -> Effect:
    """Tell what a correction would do, ``most`` documents of it, and change nothing. Errors: those of ``correct``."""
    trial = connection.begin_nested()
    before = count_contents(connection, collection_id)
    made = correct(connection, collection_id, new)
    after = count_contents(connection, collection_id)
    rewritten = union(
        *(
            select(table.c.passage_id).where(table.c.collection_id == collection_id, table.c.version == made.version)
            for table in (mentions, fact_sources)
        )
    ).subquery()
    count = func.count().label("passages")
    touched = connection.execute(
        select(documents.c.key.label("document_id"), documents.c.title, count)
        .join(passages, passages.c.document_id == documents.c.id)
        .join(rewritten, rewritten.c.passage_id == passages.c.id)
        .group_by(documents.c.id, documents.c.key, documents.c.title)
        .order_by(count.desc(), documents.c.key)
        .limit(most)
    ).all()
    trial.rollback()
    return Effect(
        passages=made.passages,
        documents=list(touched),
        phrases=after.phrases - before.phrases,
        facts=after.facts - before.facts,
    )
