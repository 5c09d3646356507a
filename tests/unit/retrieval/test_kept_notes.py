"""A note is found again by a question like its own, through the passages that both find."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from memory_graph.database import Database
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.rows import now
from memory_graph.tables import passages
from retrieval.kept_notes import KeptNoteParams, RecalledNote, recall_note
from retrieval.testing import HashEmbedder
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection

EMBEDDER = HashEmbedder(256)
LIKE = KeptNoteParams(least_similarity=0.6)


@pytest.fixture
def cid(database: Database) -> int:
    cid = new_collection(database).id
    commit_documents(database, cid, *(learn_document(key, f"{key} likes tea.") for key in ("ada", "bram", "cora")))
    return cid


def _ids(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(select(passages.c.id).order_by(passages.c.id)))


def _keep(database: Database, cid: int, question: str, *passage_ids: int) -> None:
    note = NewNote(
        collection_id=cid,
        query_id="q",
        question=question,
        text=f"noted for: {question}",
        version=1,
        passage_ids=passage_ids,
        created_at=now(),
    )
    with database.write() as connection:
        add_notes(connection, [note])


def _recall(database: Database, cid: int, question: str, *passage_ids: int) -> RecalledNote | None:
    return recall_note(database, EMBEDDER, cid, question, passage_ids, LIKE)


def test_of_the_notes_on_what_was_found_the_one_with_the_most_similar_question_is_recalled(
    database: Database, cid: int
) -> None:
    ada, bram, cora = _ids(database)
    _keep(database, cid, "Who likes tea?", ada, bram)
    _keep(database, cid, "When was the bridge built?", ada)
    found = _recall(database, cid, "who likes tea", bram, cora)
    assert found is not None
    assert found.note.text == "noted for: Who likes tea?"
    assert [hit.passage_id for hit in found.hits] == [ada, bram]
    assert found.similarity > LIKE.least_similarity


def test_nothing_is_recalled_for_another_question_other_passages_or_another_collection(
    database: Database, cid: int
) -> None:
    ada, bram, cora = _ids(database)
    _keep(database, cid, "Who likes tea?", ada, bram)
    assert _recall(database, cid, "Which engineer designed the bridge?", ada) is None
    assert _recall(database, cid, "Who likes tea?", cora) is None
    assert _recall(database, new_collection(database, "other").id, "Who likes tea?", ada) is None


def test_a_note_that_lost_a_passage_is_not_recalled(database: Database, cid: int) -> None:
    ada, bram, _ = _ids(database)
    _keep(database, cid, "Who likes tea?", ada, bram)
    forget_document(database, cid, "bram")
    assert _recall(database, cid, "Who likes tea?", ada) is None
