"""What passages are called: by the title of their document and their place in it, many in one read."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, select

from memory_graph.store.rows import chunks
from memory_graph.tables import documents, passages


def name_passages(connection: Connection, collection_id: int, passage_ids: Sequence[int]) -> dict[int, RowMapping]:
    """Return id, document_id (the key), title, ordinal and document_version of those that live, by id."""
    wanted = list(dict.fromkeys(passage_ids))
    found: dict[int, RowMapping] = {}
    for some in chunks(wanted):
        query = (
            select(
                passages.c.id,
                passages.c.ordinal,
                documents.c.key.label("document_id"),
                documents.c.title,
                documents.c.version.label("document_version"),
            )
            .join(documents, documents.c.id == passages.c.document_id)
            .where(passages.c.collection_id == collection_id, passages.c.id.in_(some))
        )
        found |= {row["id"]: row for row in connection.execute(query).mappings()}
    return {one: found[one] for one in wanted if one in found}
