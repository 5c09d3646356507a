"""The note that was kept for a question much like this one, if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memory_graph.database import Database
from memory_graph.store.notes import KeptNote, notes_on
from memory_graph.store.reading import read_hits
from memory_graph.types import Hit
from retrieval.embedder import Embedder


@dataclass(frozen=True, kw_only=True)
class KeptNoteParams:
    """How alike questions must be (the cosine of their vectors), and the questions of how many notes are compared."""

    least_similarity: float = 0.8
    candidates: int = 10


@dataclass(frozen=True, kw_only=True)
class RecalledNote:
    """A kept note, how alike its question is, and the passages that it rests on."""

    note: KeptNote
    similarity: float
    hits: tuple[Hit, ...]


def recall_note(
    database: Database,
    embedder: Embedder,
    collection_id: int,
    question: str,
    passage_ids: Sequence[int],
    params: KeptNoteParams | None = None,
) -> RecalledNote | None:
    """Return the note with the question most like this one among the newest that rest on any of these passages.

    Questions that are alike find passages in common, so no other note is looked at, and vectors of questions need not
    be stored. None where no question is like enough, or where the note went meanwhile.
    """
    params = params or KeptNoteParams()
    with database.read() as connection:
        notes = notes_on(connection, collection_id, passage_ids, limit=params.candidates)
        if not notes:
            return None
        vectors = embedder.encode([question, *(note.question for note in notes)])
        similarities = vectors[1:] @ vectors[0]
        best = int(similarities.argmax())
        note, similarity = notes[best], float(similarities[best])
        if similarity < params.least_similarity:
            return None
        hits = read_hits(connection, [(passage_id, similarity) for passage_id in note.passage_ids])
    if len(hits) < len(note.passage_ids):
        return None
    return RecalledNote(note=note, similarity=similarity, hits=tuple(hits))
