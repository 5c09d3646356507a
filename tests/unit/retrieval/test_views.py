"""The cache of views: always at the database's version, or at the one that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread

import pytest
from sqlalchemy import delete, update

from memory_graph.database import Database
from memory_graph.errors import Conflict, NotFound
from memory_graph.store.collections import create_collection, delete_collection
from memory_graph.tables import collections, tombstones
from retrieval import views as views_module
from retrieval.views import ViewCache
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection, wait_until


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """Another program's connection to the same database."""
    opened = Database(database.url)
    yield opened
    opened.close()


def test_a_commit_of_another_program_is_seen_at_once(database: Database, other: Database) -> None:
    cid = new_collection(database).id
    views = ViewCache(database)
    assert views.current("memory")[1].version == 0
    for number in range(1, 4):
        commit_documents(other, cid, learn_document(str(number), f"Passage {number}."))
        collection_id, view = views.current("memory")
        assert (collection_id, view.version, len(view.passage_ids)) == (cid, number, number)
    forget_document(other, cid, "2")
    assert len(views.current("memory")[1].passage_ids) == 2


def test_an_unchanged_collection_keeps_its_view(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    views = ViewCache(database)
    assert views.current("memory")[1] is views.current("memory")[1]
    assert views.versions() == {"memory": 1}


def test_a_collection_that_is_not_there(database: Database) -> None:
    views = ViewCache(database)
    with pytest.raises(NotFound):
        views.current("nobody")
    assert views.versions() == {}


def test_a_deleted_collection_is_not_found_any_more(database: Database, other: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    views = ViewCache(database)
    views.current("memory")
    with other.write() as connection:
        delete_collection(connection, "memory")
    with pytest.raises(NotFound):
        views.current("memory")


def test_a_collection_made_again_shows_nothing_of_the_old_one(database: Database, other: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    views = ViewCache(database)
    assert len(views.current("memory")[1].passage_ids) == 2
    with other.write() as connection:
        delete_collection(connection, "memory")
        again = create_collection(connection, "memory")
    commit_documents(other, again.id, learn_document("c", "Cora Finch."))
    collection_id, view = views.current("memory")
    assert collection_id == again.id != cid
    assert (view.version, list(view.phrase_keys.values())) == (1, ["cora finch"])


def test_a_version_that_does_not_come_is_a_conflict(database: Database) -> None:
    new_collection(database)
    with pytest.raises(Conflict, match=r"is at version 0; 3 was not committed within 0\.05 s"):
        ViewCache(database).current("memory", min_version=3, patience_s=0.05)


def test_a_version_on_its_way_is_waited_for(database: Database, other: Database) -> None:
    cid = new_collection(database).id
    views = ViewCache(database)
    seen: list[int] = []
    waiting = Thread(target=lambda: seen.append(views.current("memory", min_version=2, patience_s=60)[1].version))
    waiting.start()
    commit_documents(other, cid, learn_document("a", "Ada Quill."))
    wait_until(lambda: views.versions() == {"memory": 0} or not waiting.is_alive())
    assert seen == []
    commit_documents(other, cid, learn_document("b", "Bram Oster."))
    waiting.join(60)
    assert seen == [2]


def test_a_view_older_than_the_tombstones_is_rebuilt(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    views = ViewCache(database)
    views.current("memory")
    forget_document(database, cid, "a")
    with database.write() as connection:
        connection.execute(delete(tombstones))
        connection.execute(update(collections).values(compacted_version=2))
    assert list(views.current("memory")[1].phrase_keys.values()) == ["bram oster"]


def test_many_who_wait_cost_one_reading(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    read, readings = views_module.read_changes, []
    monkeypatch.setattr(views_module, "read_changes", lambda *given: readings.append(1) or read(*given))
    views, together, found = ViewCache(database), Barrier(8), []

    def look() -> None:
        together.wait(30)
        found.append(views.current("memory")[1])

    threads = [Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len({id(view) for view in found}) == 1
    assert readings == [1]


def test_a_dropped_view_is_read_again(database: Database) -> None:
    new_collection(database)
    views = ViewCache(database)
    views.current("memory")
    views.drop("memory")
    views.drop("nobody")
    assert views.versions() == {}
    assert views.current("memory")[1].version == 0
