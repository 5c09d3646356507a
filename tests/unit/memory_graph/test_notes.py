"""Notes are kept while all that they rest on is there, and no longer."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.notes import NewNote, add_notes, forget_note, list_notes
from memory_graph.store.passage_names import name_passages
from memory_graph.store.rows import now
from memory_graph.tables import note_passages, passages
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection


@pytest.fixture
def cid(database: Database) -> int:
    cid = new_collection(database).id
    documents = (learn_document(key, f"{key} likes tea.") for key in ("ada", "bram", "cora"))
    commit_documents(database, cid, *documents)
    return cid


def _passages(database: Database, cid: int) -> list[int]:
    with database.read() as connection:
        own = select(passages.c.id).where(passages.c.collection_id == cid).order_by(passages.c.id)
        return list(connection.scalars(own))


def _note(cid: int, text: str, *passage_ids: int) -> NewNote:
    return NewNote(
        collection_id=cid,
        query_id="q",
        question="Who likes tea?",
        text=text,
        version=1,
        passage_ids=passage_ids,
        created_at=now(),
    )


def _keep(database: Database, *new: NewNote) -> int:
    with database.write() as connection:
        return add_notes(connection, new)


def _texts(database: Database, cid: int, *, limit: int = 10, before: int | None = None) -> list[str]:
    with database.read() as connection:
        return [note.text for note in list_notes(connection, cid, limit=limit, before=before)]


def test_a_note_comes_back_with_what_it_rests_on(database: Database, cid: int) -> None:
    ada, bram, _ = _passages(database, cid)
    assert _keep(database, _note(cid, "Two like tea.", bram, ada, ada)) == 1
    with database.read() as connection:
        (kept,) = list_notes(connection, cid, limit=10)
    assert (kept.text, kept.question, kept.query_id, kept.version) == ("Two like tea.", "Who likes tea?", "q", 1)
    assert kept.passage_ids == (ada, bram)
    assert kept.created_at.tzinfo is not None


def test_the_newest_come_first_and_page_by_page(database: Database, cid: int) -> None:
    ada, *_ = _passages(database, cid)
    _keep(database, *(_note(cid, str(n), ada) for n in range(5)))
    assert _texts(database, cid, limit=2) == ["4", "3"]
    with database.read() as connection:
        last = list_notes(connection, cid, limit=2)[-1].id
    assert _texts(database, cid, before=last) == ["2", "1", "0"]
    assert _texts(database, new_collection(database, "other").id) == []


@pytest.mark.parametrize("replaced", [False, True])
def test_a_note_goes_with_the_first_passage_it_rests_on(database: Database, cid: int, replaced: bool) -> None:
    ada, bram, cora = _passages(database, cid)
    _keep(database, _note(cid, "ada, bram", ada, bram), _note(cid, "cora", cora), _note(cid, "bram", bram))
    if replaced:
        commit_documents(database, cid, learn_document("bram", "bram likes coffee."))
    else:
        forget_document(database, cid, "bram")
    assert _texts(database, cid) == ["cora"]
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(note_passages)) == 1


def test_what_rests_on_nothing_that_is_there_is_not_kept(database: Database, cid: int) -> None:
    ada, bram, _ = _passages(database, cid)
    forget_document(database, cid, "bram")
    other = new_collection(database, "other").id
    assert _keep(database, _note(cid, "gone", ada, bram), _note(cid, "nothing"), _note(other, "elsewhere", ada)) == 0
    assert _keep(database, _note(99, "no collection", ada), _note(cid, "ada", ada)) == 1
    assert _texts(database, cid) == ["ada"]


def test_one_note_is_forgotten_and_its_passages_stay(database: Database, cid: int) -> None:
    ada, *_ = before = _passages(database, cid)
    _keep(database, _note(cid, "one", ada), _note(cid, "two", ada))
    with database.write() as connection:
        newest = list_notes(connection, cid, limit=1)[0].id
        forget_note(connection, cid, newest)
        with pytest.raises(NotFound, match="note"):
            forget_note(connection, cid, newest)
    assert _texts(database, cid) == ["one"]
    assert _passages(database, cid) == before
    other = new_collection(database, "other").id
    with pytest.raises(NotFound), database.write() as connection:
        forget_note(connection, other, list_notes(connection, cid, limit=1)[0].id)


def test_notes_are_told_apart_by_whether_their_documents_changed(database: Database, cid: int) -> None:
    ada, bram, _ = _passages(database, cid)
    _keep(database, _note(cid, "ada", ada), _note(cid, "both", ada, bram))
    # Of bram's document another part is new: the passage stays, and so does what rests on it.
    commit_documents(database, cid, learn_document("bram", "bram likes tea.", "bram rows."))
    assert _passages(database, cid)[:2] == [ada, bram]
    with database.read() as connection:
        assert [one.text for one in list_notes(connection, cid, limit=9, changed=True)] == ["both"]
        assert [one.text for one in list_notes(connection, cid, limit=9, changed=False)] == ["ada"]
        names = name_passages(connection, cid, [bram, ada, 99, bram])
    assert [(one["document_id"], one["ordinal"]) for one in names.values()] == [("bram", 0), ("ada", 0)]
    assert [one["document_version"] for one in names.values()] == [2, 1]
