"""The cache of views: always at the database's version, or at the one that was asked for, whatever goes on behind."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.engine import URL

from memory_graph.database import Database
from memory_graph.errors import Conflict, NotFound, StoreBusy
from memory_graph.store.collections import create_collection, delete_collection
from memory_graph.tables import collections, tombstones
from retrieval import refreshing as refreshing_module
from retrieval import views as views_module
from retrieval.index import IndexParams, PassageIndex
from retrieval.refreshing import save_collection
from retrieval.saved_views import SavedViews
from retrieval.scene import link
from retrieval.search import Searcher, SearchRequest
from retrieval.view import View, empty_view
from retrieval.views import ViewCache, ViewParams
from tests.unit.factories import (
    EMBEDDER,
    SENTENCES,
    commit_documents,
    correct,
    forget_document,
    learn_document,
    new_collection,
    undo_correction,
    wait_until,
)
from tests.unit.views import assert_up_to_date, fresh, wait_for_views

MakeCache = Callable[..., ViewCache]


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """Another program's connection to the same database."""
    opened = Database(database.url)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "views"


@pytest.fixture
def make_cache(database: Database) -> Iterator[MakeCache]:
    """Make caches that have come to rest at the end of the test."""
    made: list[ViewCache] = []

    def make(folder: Path | None = None, **params: Any) -> ViewCache:
        made.append(ViewCache(database, folder, ViewParams(**params)))
        return made[-1]

    yield make
    for cache in made:
        cache.close()
    wait_for_views()


class Child:
    """Stands for a process that saves: it does so in the thread that waits for it."""

    def __init__(self, url: URL, name: str, folder: Path) -> None:
        self.order = url, name, folder
        self.terminated = False

    def wait(self) -> int:
        url, name, folder = self.order
        database = Database(url)
        try:
            save_collection(database, name, folder)
        except NotFound:
            pass
        finally:
            database.close()
        return 0

    def terminate(self) -> None:
        self.terminated = True


@pytest.fixture
def quick_children(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """Let saves happen in this process; returns what was started."""
    started: list[Child] = []

    def start(url: URL, name: str, folder: Path) -> Child:
        started.append(Child(url, name, folder))
        return started[-1]

    monkeypatch.setattr(views_module, "save_in_child", start)
    return started


def saves_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name[:1].isdigit() and "-" in path.name)


def phrases_of(view: View) -> list[str]:
    return [view.names.key(row) for row in range(len(view.phrases)) if row not in view.graph.dead_phrases]


def rests_on_a_save(views: ViewCache, name: str = "memory") -> bool:
    return views._held[name].saved_rows > 0


def test_a_commit_of_another_program_is_seen_at_once(
    database: Database, other: Database, make_cache: MakeCache
) -> None:
    cid = new_collection(database).id
    views = make_cache()
    assert views.current("memory")[1].version == 0
    for number in range(1, 4):
        commit_documents(other, cid, learn_document(str(number), f"Passage {number}."))
        collection_id, view = views.current("memory")
        assert (collection_id, view.version, view.n_passages) == (cid, number, number)
    forget_document(other, cid, "2")
    assert views.current("memory")[1].n_passages == 2
    assert_up_to_date(views.current("memory")[1], database)


def test_an_unchanged_collection_keeps_its_view(database: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    views = make_cache()
    assert views.current("memory")[1] is views.current("memory")[1]
    assert views.versions() == {"memory": 1}
    assert views.nbytes().keys() == {"memory"}


def test_a_collection_that_is_not_there(make_cache: MakeCache) -> None:
    views = make_cache()
    with pytest.raises(NotFound):
        views.current("nobody")
    assert views.versions() == {}


def test_a_deleted_collection_is_not_found_any_more(database: Database, other: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    views = make_cache()
    views.current("memory")
    with other.write() as connection:
        delete_collection(connection, "memory")
    with pytest.raises(NotFound):
        views.current("memory")


def test_a_collection_made_again_shows_nothing_of_the_old_one(
    database: Database, other: Database, make_cache: MakeCache, folder: Path
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    save_collection(database, "memory", folder / str(cid))
    views = make_cache(folder)
    assert views.current("memory")[1].n_passages == 2
    with other.write() as connection:
        delete_collection(connection, "memory")
        again = create_collection(connection, "memory")
    commit_documents(other, again.id, learn_document("c", "Cora Finch."))
    for one in (views, make_cache(folder)):
        collection_id, view = one.current("memory")
        assert collection_id == again.id != cid
        assert (view.version, phrases_of(view)) == (1, ["cora finch"])


def test_a_version_that_does_not_come_is_a_conflict(database: Database, make_cache: MakeCache) -> None:
    new_collection(database)
    with pytest.raises(Conflict, match=r"is at version 0; 3 was not committed within 0\.05 s"):
        make_cache().current("memory", min_version=3, patience_s=0.05)


def test_not_all_wait_for_a_version_that_does_not_come(database: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    views = make_cache(waits=1)
    seen: list[int] = []
    waiting = Thread(target=lambda: seen.append(views.current("memory", min_version=1, patience_s=60)[1].version))
    waiting.start()
    wait_until(lambda: not views._waits._value)
    with pytest.raises(StoreBusy, match="1 requests wait for a min_version already"):
        views.current("memory", min_version=1, patience_s=60)
    assert views.current("memory")[1].version == 0  # what waits for nothing is not held up
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    waiting.join(60)
    assert seen == [1]
    assert views.current("memory", min_version=1)[1].version == 1


def test_a_version_on_its_way_is_waited_for(database: Database, other: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    views = make_cache()
    seen: list[int] = []
    waiting = Thread(target=lambda: seen.append(views.current("memory", min_version=2, patience_s=60)[1].version))
    waiting.start()
    commit_documents(other, cid, learn_document("a", "Ada Quill."))
    assert seen == []
    commit_documents(other, cid, learn_document("b", "Bram Oster."))
    waiting.join(60)
    assert seen == [2]


def test_a_view_older_than_the_tombstones_is_rebuilt(database: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    views = make_cache()
    views.current("memory")
    forget_document(database, cid, "a")
    with database.write() as connection:
        connection.execute(delete(tombstones))
        connection.execute(update(collections).values(compacted_version=2))
    assert phrases_of(views.current("memory")[1]) == ["bram oster"]


def test_a_large_view_that_is_made_anew_is_used_until_then(database: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill.", "Ada Quill."), learn_document("b", "Bram Oster."))
    views = make_cache(on_the_spot=2)
    views.current("memory")
    correct(database, cid, "merge", names=["Ada Quill"], into="A. Quill")
    assert views.current("memory")[1].version == 1
    wait_for_views()
    assert sorted(phrases_of(views.current("memory")[1])) == ["a quill", "bram oster"]
    undo_correction(database, cid, 1)
    assert sorted(phrases_of(views.current("memory", min_version=3)[1])) == ["ada quill", "bram oster"]


def test_a_question_that_names_what_was_merged_away_is_linked_until_that_is_undone(
    database: Database, make_cache: MakeCache, folder: Path
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))

    def linked(cache: ViewCache) -> list[str]:
        view = cache.current("memory")[1]
        return [view.names.key(row) for row in link(view, "Did Ada Quill meet Bram Oster?").phrases]

    views = make_cache()
    assert linked(views) == ["ada quill", "bram oster"]
    correct(database, cid, "merge", names=["Ada Quill"], into="A. Quill")
    assert linked(views) == ["a quill", "bram oster"]
    assert save_collection(database, "memory", folder / str(cid))
    assert not save_collection(database, "memory", folder / str(cid))  # nothing came since
    assert linked(make_cache(folder=folder)) == ["a quill", "bram oster"]  # from the save, which has no aliases
    undo_correction(database, cid, 1)
    assert linked(views) == ["ada quill", "bram oster"]


def test_many_who_wait_cost_one_reading(
    database: Database, make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    read, readings = refreshing_module.read_changes, []

    def counted(*given: Any) -> Any:
        readings.append(1)
        return read(*given)

    monkeypatch.setattr(refreshing_module, "read_changes", counted)
    views, together, found = make_cache(), Barrier(8), []

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


def test_a_dropped_view_is_read_again(database: Database, make_cache: MakeCache) -> None:
    new_collection(database)
    views = make_cache()
    views.current("memory")
    views.drop("memory")
    views.drop("nobody")
    assert views.versions() == {}
    assert views.current("memory")[1].version == 0


# Many new rows.


def test_many_new_rows_are_taken_in_behind_the_searches(
    database: Database, make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = new_collection(database).id
    views = make_cache(on_the_spot=5)
    commit_documents(database, cid, *(learn_document(str(n), f"Dunmore {n}.") for n in range(20)))
    first = views.current("memory")[1]
    assert first.n_passages == 20  # without a view there is nothing to answer from: this is waited for
    commit_documents(database, cid, *(learn_document(f"few-{n}", f"Lake Orrin {n}.") for n in range(5)))
    few = views.current("memory")[1]
    assert few.n_passages == 25
    may_go_on, real = Event(), refreshing_module.read_changes

    def slow(*given: Any) -> Any:
        assert may_go_on.wait(60)
        return real(*given)

    monkeypatch.setattr(refreshing_module, "read_changes", slow)
    commit_documents(database, cid, *(learn_document(f"many-{n}", f"Old Mill {n}.") for n in range(6)))
    for _ in range(3):
        assert views.current("memory")[1] is few  # at once, as it was
    assert [thread.name for thread in threading.enumerate()].count("views-refreshing") == 1
    may_go_on.set()
    wait_until(lambda: views.versions() == {"memory": 3})  # without being asked
    assert_up_to_date(views.current("memory")[1], database)


def test_many_new_rows_are_waited_for_where_they_are_asked_for(database: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    views = make_cache(on_the_spot=0)
    version = commit_documents(database, cid, learn_document("a", "Ada Quill."))
    assert views.current("memory", min_version=version)[1].version == 1
    for key in "bcd":
        version = commit_documents(database, cid, learn_document(key, "Bram Oster."))
        assert views.current("memory", min_version=version)[1].version == version
        assert views.current("memory", min_version=1)[1].version == version
    forget_document(database, cid, "a")  # nothing new is to be read: seen at once
    assert views.current("memory")[1].n_passages == 3


def test_rows_of_another_history_are_not_taken_in_behind_the_searches(
    database: Database, make_cache: MakeCache
) -> None:
    from memory_graph.tables import commits

    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    views = make_cache(on_the_spot=0)
    lost = views.current("memory")[1]
    with database.write() as connection:  # as after a backup was put back
        connection.execute(update(commits).values(token="f" * 32))
    commit_documents(database, cid, learn_document("b", "Bram Oster."))
    found = views.current("memory")[1]
    assert not found.rests_on(lost)
    assert_up_to_date(found, database)


def test_a_refresh_that_fails_is_told_and_tried_again(
    database: Database, make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    views = make_cache(on_the_spot=0)
    views.current("memory")
    commit_documents(database, cid, learn_document("b", "Bram Oster."))

    def busy(*_given: Any) -> Any:
        raise StoreBusy("another process held the database")

    with monkeypatch.context() as patch:
        patch.setattr(refreshing_module, "read_changes", busy)
        assert views.current("memory")[1].version == 1
        wait_for_views()
    assert "could not be refreshed: another process held the database" in caplog.text
    views.current("memory")
    wait_until(lambda: views.versions() == {"memory": 2})


# Memory.


def test_views_out_of_use_are_dropped_where_memory_is_short(database: Database, make_cache: MakeCache) -> None:
    names = [f"memory-{n}" for n in range(6)]
    for n, name in enumerate(names):
        commit_documents(database, new_collection(database, name).id, learn_document("a", *SENTENCES[: n + 1]))
    views = make_cache(memory_bytes=1)
    searcher = Searcher(database, views, EMBEDDER)
    plenty = Searcher(database, make_cache(), EMBEDDER)
    for name in [*names, *reversed(names), *names[::2]]:
        request = SearchRequest(query="Who likes Ada Quill?", top_k=5)
        found, expected = searcher.search(name, request), plenty.search(name, request)
        assert found.hits == expected.hits
        assert found.hits
        assert views.versions() == {name: 1}
    assert_up_to_date(views.current(names[3])[1], database, names[3])
    roomy = make_cache(memory_bytes=10**9)
    for name in names:
        roomy.current(name)
    assert roomy.versions().keys() == set(names)


def test_the_views_that_were_not_used_for_longest_are_dropped(database: Database, make_cache: MakeCache) -> None:
    for name in "abcd":
        commit_documents(database, new_collection(database, name).id, learn_document("a", *SENTENCES))
    size = sum(fresh(database, name="a").nbytes.values())
    views = make_cache(memory_bytes=3 * size + size // 2)
    for name in "abc":
        views.current(name)
    views.current("a")
    views.current("d")
    assert views.versions().keys() == {"a", "c", "d"}


def test_a_view_may_be_dropped_while_it_is_made(
    database: Database, make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another collection's search may need the room at any moment: who waits for the view gets it all the same."""
    cid = new_collection(database).id
    views = make_cache(memory_bytes=1)
    real = ViewCache._spare

    def spare_and_be_spared(self: ViewCache, held: Any) -> None:
        real(self, held)
        held.view = None

    monkeypatch.setattr(ViewCache, "_spare", spare_and_be_spared)
    for version in range(1, 4):
        commit_documents(database, cid, learn_document(str(version), "Ada Quill."))
        assert views.current("memory")[1].n_passages == version


def test_many_collections_are_searched_at_once_in_little_memory(database: Database, make_cache: MakeCache) -> None:
    names = [f"memory-{n}" for n in range(4)]
    ids = {name: new_collection(database, name).id for name in names}
    for name in names:
        commit_documents(database, ids[name], learn_document("a", f"Ada Quill saw {name}."))
    views, done, wrong = make_cache(memory_bytes=1), Event(), []
    acknowledged = dict.fromkeys(names, 1)

    def look(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while not done.is_set():
                name = chance.choice(names)
                least = acknowledged[name]
                view = views.current(name)[1]
                if view.version < least or view.n_passages != view.version:
                    wrong.append((name, least, view.version, view.n_passages))
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            wrong.append(error)

    threads = [Thread(target=look, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for number in range(40):
        name = names[number % len(names)]
        acknowledged[name] = commit_documents(database, ids[name], learn_document(f"n{number}", f"Dunmore {number}."))
    done.set()
    for thread in threads:
        thread.join(60)
    assert wrong == []


# Saving.


def test_a_view_is_saved_behind_the_searches_and_then_rests_on_the_save(
    database: Database, make_cache: MakeCache, folder: Path
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, *(learn_document(str(n), SENTENCES[n % 8], f"Dunmore {n}.") for n in range(10)))
    views = make_cache(folder, save_after=10)
    before = views.current("memory")[1]
    assert before.n_passages == 20
    wait_until(lambda: rests_on_a_save(views))
    after = views.current("memory")[1]
    assert not after.rests_on(before)
    assert_up_to_date(after, database)
    assert len(saves_in(folder)) == 1
    commit_documents(database, cid, learn_document("later", "Ada Quill likes Bram Oster."))
    later = views.current("memory")[1]
    assert later.rests_on(after)
    assert_up_to_date(later, database)
    again = make_cache(folder, save_after=10)
    assert_up_to_date(again.current("memory")[1], database)
    assert rests_on_a_save(again)


def test_a_start_reads_only_what_came_after_the_save(
    database: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", *SENTENCES))
    save_collection(database, "memory", folder / str(cid))
    commit_documents(database, cid, learn_document("b", "Ada Quill came again."))
    forget_document(database, cid, "a")
    read, since = refreshing_module.read_changes, []

    def noted(connection: Any, collection: Any, version: int) -> Any:
        since.append(version)
        return read(connection, collection, version)

    monkeypatch.setattr(refreshing_module, "read_changes", noted)
    view = make_cache(folder).current("memory")[1]
    assert since == [1]
    assert_up_to_date(view, database)


@pytest.mark.usefixtures("quick_children")
def test_nothing_is_saved_before_enough_came_or_went(
    database: Database, make_cache: MakeCache, folder: Path, quick_children: list[Child]
) -> None:
    cid = new_collection(database).id
    views = make_cache(folder, save_after=4, save_share=0.5)

    def started() -> int:
        views.current("memory")
        wait_for_views()
        return len(quick_children)

    commit_documents(database, cid, *(learn_document(str(n), f"Dunmore {n}.") for n in range(4)))
    assert started() == 0
    commit_documents(database, cid, *(learn_document(f"n{n}", f"Lake Orrin {n}.") for n in range(16)))
    assert started() == 1
    for n in range(10):  # half of what was saved may go
        forget_document(database, cid, f"n{n}")
    assert started() == 1
    forget_document(database, cid, "n10")
    assert started() == 2
    assert views.current("memory")[1].graph.is_settled
    assert_up_to_date(views.current("memory")[1], database)


def test_without_a_folder_nothing_is_saved(
    database: Database, make_cache: MakeCache, quick_children: list[Child]
) -> None:
    cid = new_collection(database).id
    views = make_cache(save_after=0)
    for number in range(3):
        commit_documents(database, cid, learn_document(str(number), *SENTENCES))
        views.current("memory")
        wait_for_views()
    assert quick_children == []


def test_a_damaged_save_is_rebuilt_by_the_search_that_meets_it(
    database: Database, make_cache: MakeCache, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", *SENTENCES))
    save_collection(database, "memory", folder / str(cid))
    (place,) = (folder / str(cid)).glob("0*")
    os.truncate(place / "orders.npy", 50)
    searcher = Searcher(database, make_cache(folder), EMBEDDER)
    expected = Searcher(database, make_cache(), EMBEDDER)
    request = SearchRequest(query="Who does Ada Quill like?", top_k=8)
    assert searcher.search("memory", request).hits == expected.search("memory", request).hits
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert f"damaged-{place.name}" in caplog.text


def test_what_is_committed_while_a_view_is_saved_is_in_the_view_that_rests_on_the_save(
    database: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = new_collection(database).id
    saved, may_end = Event(), Event()

    class Slow(Child):
        def wait(self) -> int:
            code = super().wait()
            saved.set()
            assert may_end.wait(60)
            return code

    monkeypatch.setattr(views_module, "save_in_child", Slow)
    commit_documents(database, cid, learn_document("a", *SENTENCES), learn_document("b", "Mount Ulver."))
    views = make_cache(folder, save_after=1)
    before = views.current("memory")[1]
    assert saved.wait(60)
    commit_documents(database, cid, learn_document("c", "Cora Finch likes Mount Ulver."))
    forget_document(database, cid, "b")
    meanwhile = views.current("memory")[1]
    assert meanwhile.rests_on(before)
    assert_up_to_date(meanwhile, database)
    may_end.set()
    wait_until(lambda: rests_on_a_save(views))
    after = views.current("memory")[1]
    assert not after.rests_on(before)
    assert_up_to_date(after, database)
    wait_for_views()
    assert len(saves_in(folder)) == 1  # one passage came, one went: that is not enough for another


def test_a_collection_that_is_deleted_while_it_is_saved(
    database: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for moment in ("before", "after"):
        cid = new_collection(database).id
        commit_documents(database, cid, learn_document("a", *SENTENCES))

        class Late(Child):
            def wait(self) -> int:
                if moment == "after":  # noqa: B023
                    super().wait()
                with database.write() as connection:
                    delete_collection(connection, "memory")
                return super().wait()

        monkeypatch.setattr(views_module, "save_in_child", Late)
        views = make_cache(folder, save_after=1)
        views.current("memory")
        wait_for_views()
        with pytest.raises(NotFound):
            views.current("memory")
        again = new_collection(database)
        assert views.current("memory")[1].n_passages == 0
        assert again.id != cid
        with database.write() as connection:
            delete_collection(connection, "memory")


def test_two_caches_over_one_folder_save_one_at_a_time(
    database: Database, other: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = new_collection(database).id
    together, at_work, most = Barrier(2), [], []
    real = SavedViews.save

    def watched(self: SavedViews, view: View) -> Path:
        at_work.append(view)
        most.append(len(at_work))
        place = real(self, view)
        at_work.pop()
        return place

    class Together(Child):
        def wait(self) -> int:
            together.wait(60)
            return super().wait()

    monkeypatch.setattr(SavedViews, "save", watched)
    monkeypatch.setattr(views_module, "save_in_child", Together)
    caches = [make_cache(folder, save_after=2, save_share=0.0), ViewCache(other, folder, ViewParams(save_after=2))]
    for version in range(1, 6):
        commit_documents(database, cid, learn_document(str(version), *SENTENCES[:4]))
        for views in caches:
            views.drop("memory")
            views._find("memory").saved_rows = -100  # both find it due
            view = views.current("memory")[1]
            assert view.version == version
        wait_for_views()
        assert len(saves_in(folder)) == 1
        for views in caches:
            assert_up_to_date(views.current("memory")[1], database)
        wait_for_views()
    assert set(most) == {1}
    caches[1].close()


def test_closing_ends_the_processes_that_save(
    database: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def sleep(_url: URL, _name: str, _folder: Path) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(["sleep", "1000"]))
        return started[-1]

    monkeypatch.setattr(views_module, "save_in_child", sleep)
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", *SENTENCES))
    views = make_cache(folder, save_after=1)
    views.current("memory")
    wait_until(lambda: bool(started) and bool(views._children))
    assert started[0].poll() is None
    assert views.is_tending("memory")
    views.close()
    assert started[0].wait(60) < 0
    wait_for_views()
    views.close()
    commit_documents(database, cid, learn_document("b", *SENTENCES))
    assert views.current("memory")[1].version == 2  # it goes on answering, but starts nothing any more
    wait_for_views()
    assert len(started) == 1


def test_a_process_that_starts_while_the_cache_is_closed_is_ended_too(
    database: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starting, closed, children = Event(), Event(), []

    class Late(Child):
        def __init__(self, *order: Any) -> None:
            super().__init__(*order)
            children.append(self)
            starting.set()
            assert closed.wait(60)

        def wait(self) -> int:
            return 0

    monkeypatch.setattr(views_module, "save_in_child", Late)
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", *SENTENCES))
    views = make_cache(folder, save_after=1)
    views.current("memory")
    assert starting.wait(60)
    views.close()
    closed.set()
    wait_for_views()
    assert [child.terminated for child in children] == [True]


def test_a_process_that_cannot_be_started_is_told(
    database: Database,
    make_cache: MakeCache,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_order: Any) -> Any:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(views_module, "save_in_child", refuse)
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", *SENTENCES))
    views = make_cache(folder, save_after=1)
    view = views.current("memory")[1]
    wait_for_views()
    assert "Cannot allocate memory" in caplog.text
    assert views.current("memory")[1] is view


def test_rows_behind_the_last_segment_are_sealed_behind_the_searches(
    database: Database, make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = PassageIndex.of(fresh_vectors(), IndexParams(seal_at=40))
    start = replace(empty_view(), index=small)
    monkeypatch.setattr(views_module, "empty_view", lambda: start)
    cid = new_collection(database).id
    commit_documents(database, cid, *(learn_document(str(n), f"Dunmore {n}.", SENTENCES[n % 8]) for n in range(30)))
    views = make_cache()
    before = views.current("memory")[1]
    assert before.index.segments == ()
    wait_until(lambda: bool(views._held["memory"].view.index.segments))  # type: ignore[union-attr]
    after = views.current("memory")[1]
    assert after.rests_on(before)
    assert [(one.start, one.stop) for one in after.index.segments] == [(0, 60)]
    assert_up_to_date(after, database)


def fresh_vectors() -> Any:
    return empty_view().index.take(empty_view().passage_ids)


@pytest.mark.parametrize("on_the_spot", [2000, 3])
def test_every_search_sees_what_was_acknowledged_while_views_are_saved(
    database: Database, make_cache: MakeCache, folder: Path, quick_children: list[Child], on_the_spot: int
) -> None:
    """Searches from eight threads, commits and forgets from another, saves and segments behind all of them."""
    cid = new_collection(database).id
    alive: dict[int, frozenset[str]] = {0: frozenset()}
    views = make_cache(folder, save_after=3, save_share=0.1, on_the_spot=on_the_spot)
    searcher = Searcher(database, views, EMBEDDER)
    acknowledged, done = [0], Event()
    seen: list[tuple[int, int, frozenset[str]]] = []
    wrong: list[object] = []

    def look(seed: int) -> None:
        chance, last = random.Random(seed), 0
        try:
            while not done.is_set():
                least = acknowledged[0]
                asks = least if chance.random() < 0.3 else 0
                found = searcher.search(
                    "memory", SearchRequest(query="Ada Quill in Dunmore", top_k=200, min_version=asks)
                )
                if found.version < last or found.version < asks:
                    wrong.append((last, asks, found.version))
                last = found.version
                keys = frozenset(hit.document_id for hit in found.hits)
                if len(keys) != len(found.hits):
                    wrong.append((found.version, [hit.document_id for hit in found.hits]))
                seen.append((least, found.version, keys))
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            wrong.append(error)

    threads = [Thread(target=look, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    chance, living = random.Random(5), frozenset[str]()
    for number in range(60):
        if living and chance.random() < 0.35:
            key = chance.choice(sorted(living))
            alive[acknowledged[0] + 1] = living = living - {key}
            forget_document(database, cid, key)
        else:
            alive[acknowledged[0] + 1] = living = living | {f"d{number}"}
            commit_documents(database, cid, learn_document(f"d{number}", f"Ada Quill saw Dunmore {number}."))
        acknowledged[0] += 1
    views.current("memory", min_version=acknowledged[0])
    done.set()
    for thread in threads:
        thread.join(60)
    wait_for_views()
    assert wrong == []
    assert quick_children
    assert rests_on_a_save(views)
    for least, version, keys in seen:
        if on_the_spot == 2000:
            assert version >= least
        assert keys <= alive[version]
        # What is missing was forgotten by a commit that came after that version.
        assert alive[version] - keys <= alive[version] - frozenset.intersection(
            *(alive[v] for v in alive if v >= version)
        )
    assert_up_to_date(views.current("memory")[1], database)
    wait_for_views()


def test_a_save_that_failed_is_not_tried_again_at_once(
    database: Database, make_cache: MakeCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cid = new_collection(database).id
    tries: list[str] = []

    def fail(*given: Any) -> subprocess.Popen[bytes]:
        tries.append("once")
        return subprocess.Popen(["false"])

    monkeypatch.setattr(views_module, "save_in_child", fail)
    cache = make_cache(folder, save_after=0)
    for number in range(4):
        commit_documents(database, cid, learn_document(str(number), f"Passage {number}."))
        assert_up_to_date(cache.current("memory")[1], database)
        wait_until(lambda: not cache.is_tending("memory"))
    assert tries == ["once"]
    monkeypatch.setattr(views_module, "_SAVE_AGAIN_S", 0.0)
    another = make_cache(folder, save_after=0)
    for _ in range(2):
        commit_documents(database, cid, learn_document("again", f"Text {len(tries)}."))
        another.current("memory")
        wait_until(lambda: not another.is_tending("memory"))
    assert len(tries) == 3


@pytest.mark.parametrize("by_following", [False, True])
def test_what_was_saved_of_a_deleted_collection_is_removed(
    database: Database, make_cache: MakeCache, folder: Path, by_following: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_module, "_FOLLOW_S", 0.01)
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    assert save_collection(database, "memory", folder / str(cid))
    cache = make_cache(folder)
    cache.current("memory")
    with database.write() as connection:
        delete_collection(connection, "memory")
    if by_following:
        cache.follow()
        wait_until(lambda: not (folder / str(cid)).exists())
        assert cache.versions() == {}
    else:
        with pytest.raises(NotFound):
            cache.current("memory")
        assert not (folder / str(cid)).exists()


def test_a_cache_that_follows_takes_in_commits_without_a_search(
    database: Database, other: Database, make_cache: MakeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views_module, "_FOLLOW_S", 0.01)
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    cache = make_cache(on_the_spot=0)
    cache.current("memory")
    cache.follow()
    commit_documents(other, cid, learn_document("b", "Bram Oster."))
    wait_until(lambda: cache.versions() == {"memory": 2})
    assert_up_to_date(cache.current("memory")[1], database)


def test_what_was_empty_is_not_shown_for_what_is_not(database: Database, make_cache: MakeCache) -> None:
    cid = new_collection(database).id
    cache = make_cache(on_the_spot=0)
    assert cache.current("memory")[1].n_passages == 0
    commit_documents(database, cid, learn_document("a", "Ada Quill.", "Bram Oster."))
    assert cache.current("memory")[1].n_passages == 2
