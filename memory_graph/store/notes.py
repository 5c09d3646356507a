"""Notes that were taken while questions were answered, with the passages they rest on; gone with the first of these.

A note is written in the words of several passages at once. When one of them is forgotten or replaced, nobody can tell
which of its words stay true, so the note goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, insert, select

from memory_graph.errors import NotFound
from memory_graph.store.rows import chunks
from memory_graph.tables import collections, documents, note_passages, notes, passages


@dataclass(frozen=True, kw_only=True)
class NewNote:
    """A note to keep: ``query_id`` is that of the question, ``version`` that of the collection when it was read."""

    collection_id: int
    query_id: str
    question: str
    text: str
    version: int
    passage_ids: Sequence[int]
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class KeptNote:
    """A note with the passages that it rests on, ascending."""

    id: int
    query_id: str
    question: str
    text: str
    version: int
    passage_ids: tuple[int, ...]
    created_at: datetime


def add_notes(connection: Connection, new: Sequence[NewNote]) -> int:
    """Keep notes whose passages are all there still, and return how many; one without passages rests on nothing."""
    kept = 0
    for note in new:
        # No commit of the collection may take a passage away until this is written.
        held = select(collections.c.id).where(collections.c.id == note.collection_id).with_for_update()
        if not note.passage_ids or connection.scalar(held) is None:
            continue
        wanted = sorted(set(note.passage_ids))
        here = passages.c.collection_id == note.collection_id
        live = select(func.count()).select_from(passages).where(here, passages.c.id.in_(wanted))
        if connection.scalar(live) != len(wanted):
            continue
        values = {name: getattr(note, name) for name in _COLUMNS} | {"collection_id": note.collection_id}
        (note_id,) = connection.execute(insert(notes).values(values)).inserted_primary_key or (None,)
        rests = [{"note_id": note_id, "passage_id": passage, "collection_id": note.collection_id} for passage in wanted]
        connection.execute(insert(note_passages), rests)
        kept += 1
    return kept


def list_notes(
    connection: Connection,
    collection_id: int,
    *,
    limit: int,
    before: int | None = None,
    changed: bool | None = None,
) -> list[KeptNote]:
    """List the newest notes of a collection, of those older than ``before`` if that is given.

    ``changed`` narrows them to those of whose documents one was written again since, or to those of which none was.
    """
    statement = select(notes).where(notes.c.collection_id == collection_id)
    if changed is not None:
        newer = exists().where(
            note_passages.c.note_id == notes.c.id,
            passages.c.id == note_passages.c.passage_id,
            documents.c.id == passages.c.document_id,
            documents.c.version > notes.c.version,
        )
        statement = statement.where(newer if changed else ~newer)
    if before is not None:
        statement = statement.where(notes.c.id < before)
    return _read(connection, statement.order_by(notes.c.id.desc()).limit(limit))


def notes_on(connection: Connection, collection_id: int, passage_ids: Sequence[int], *, limit: int) -> list[KeptNote]:
    """List the newest notes of a collection that rest on any of these passages."""
    resting = select(note_passages.c.note_id).where(note_passages.c.passage_id.in_(passage_ids)).distinct()
    own = select(notes).where(notes.c.collection_id == collection_id, notes.c.id.in_(resting))
    return _read(connection, own.order_by(notes.c.id.desc()).limit(limit))


def _read(connection: Connection, statement: Select[Any]) -> list[KeptNote]:
    rows = connection.execute(statement).all()
    rests: dict[int, list[int]] = {row.id: [] for row in rows}
    for some in chunks(list(rests)):
        of_these = select(note_passages).where(note_passages.c.note_id.in_(some)).order_by(note_passages.c.passage_id)
        for one in connection.execute(of_these):
            rests[one.note_id].append(one.passage_id)
    return [
        KeptNote(id=row.id, passage_ids=tuple(rests[row.id]), **{name: getattr(row, name) for name in _COLUMNS})
        for row in rows
    ]


def forget_note(connection: Connection, collection_id: int, note_id: int) -> None:
    """Forget a note. Errors: ``NotFound``."""
    found = select(notes.c.id).where(notes.c.collection_id == collection_id, notes.c.id == note_id)
    if connection.scalar(found) is None:
        raise NotFound("note", str(note_id))
    _drop(connection, [note_id])


def drop_notes_on(connection: Connection, passage_ids: Sequence[int]) -> int:
    """Forget the notes that rest on any of these passages, which are about to go; return how many."""
    resting = select(note_passages.c.note_id).where(note_passages.c.passage_id.in_(passage_ids)).distinct()
    note_ids = list(connection.scalars(resting))
    _drop(connection, note_ids)
    return len(note_ids)


def _drop(connection: Connection, note_ids: Sequence[int]) -> None:
    for some in chunks(note_ids):
        connection.execute(delete(note_passages).where(note_passages.c.note_id.in_(some)))
        connection.execute(delete(notes).where(notes.c.id.in_(some)))


_COLUMNS = ("query_id", "question", "text", "version", "created_at")
