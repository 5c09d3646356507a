"""What a proof of forgetting reads: what is about to go, what lives by right, and every value that is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, inspect, select, text

from memory_graph.store.rows import chunks, read_parts
from memory_graph.tables import (
    collections,
    documents,
    embeddings,
    fact_embeddings,
    fact_sources,
    facts,
    mentions,
    originals,
    passages,
    phrase_embeddings,
    phrases,
    retention_rules,
)

# What these hold of other documents lives by right. All other tables only hold what was made of them.
_EVIDENCE = (
    collections,
    retention_rules,
    documents,
    passages,
    embeddings,
    phrases,
    mentions,
    facts,
    fact_embeddings,
    phrase_embeddings,
    originals,
)


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What some documents consist of: ``texts`` of passages, ``names`` of any kind, and ``vectors`` as bytes."""

    texts: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    vectors: list[bytes] = field(default_factory=list)


def read_contents(connection: Connection, collection_id: int, keys: Sequence[str]) -> Contents:
    """Read all that documents consist of, what they share with others included."""
    found = Contents(names=set(keys))
    passage_ids: list[int] = []
    for some in chunks(keys):
        here = documents.c.collection_id == collection_id, documents.c.key.in_(some)
        described = select(documents.c.title, documents.c.source, documents.c.metadata).where(*here)
        for title, source, said in connection.execute(described):
            found.names.update(filter(None, (title, source, *_strings(said))))
        for row in connection.execute(
            select(passages.c.id, passages.c.text, passages.c.heading, embeddings.c.vector)
            .join(documents, documents.c.id == passages.c.document_id)
            .join(
                embeddings,
                (embeddings.c.collection_id == collection_id) & (embeddings.c.text_hash == passages.c.text_hash),
            )
            .where(*here)
        ):
            passage_ids.append(row.id)
            found.texts.append(row.text)
            found.names.update(filter(None, [row.heading]))
            found.vectors.append(row.vector)
    for ids in chunks(passage_ids):
        named = select(mentions.c.surface, phrases.c.key, phrase_embeddings.c.vector)
        named = named.join(phrases, phrases.c.id == mentions.c.phrase_id)
        named = named.outerjoin(phrase_embeddings, phrase_embeddings.c.phrase_id == phrases.c.id)
        for surface, key, vector in connection.execute(named.where(mentions.c.passage_id.in_(ids)).distinct()):
            found.names.update((surface, key))
            found.vectors.extend([vector] if vector is not None else [])
        # Not what facts say of names: verbs are everybody's.
        stated = select(fact_embeddings.c.vector).join(
            fact_sources, fact_sources.c.fact_id == fact_embeddings.c.fact_id
        )
        found.vectors.extend(connection.scalars(stated.where(fact_sources.c.passage_id.in_(ids)).distinct()))
    return found


def living_values(connection: Connection) -> Iterator[bytes]:
    """Yield every value that a living document of any collection holds by right, as bytes."""
    for table in _EVIDENCE:
        yield from _values_of(connection, table)
    if connection.dialect.name == "sqlite":  # the words of the schema stand in the file too
        for sql in connection.scalars(text("SELECT sql FROM sqlite_master")):
            yield from _bytes_of(sql)


def every_value(connection: Connection) -> Iterator[tuple[str, bytes]]:
    """Yield the table and the bytes of every text and every blob in the database, the queue's own tables included."""
    found = inspect(connection)
    places: list[tuple[str | None, str]] = [(None, name) for name in found.get_table_names()]
    if connection.dialect.name != "sqlite":
        places += [("dbos", name) for name in found.get_table_names(schema="dbos")]
    for schema, name in sorted(places, key=str):
        place = f'"{schema}"."{name}"' if schema else f'"{name}"'
        rows = connection.execute(text(f"SELECT * FROM {place}"), execution_options={"stream_results": True})
        for row in rows:
            for value in row:
                for data in _bytes_of(value):
                    yield name, data


def _values_of(connection: Connection, table: Table) -> Iterator[bytes]:
    for part in read_parts(connection, select(table)):
        for row in part:
            for value in row:
                yield from _bytes_of(value)


def _bytes_of(value: Any) -> Iterator[bytes]:
    if isinstance(value, str):
        yield value.encode("utf-8", "surrogatepass")
    elif isinstance(value, bytes | memoryview):
        yield bytes(value)
    elif isinstance(value, Mapping | list):
        yield json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
