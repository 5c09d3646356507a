"""A view is brought up to the database's version, whatever became of either, and saved by one process at a time."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.collections import create_collection, delete_collection
from memory_graph.tables import collections, tombstones
from retrieval.refreshing import bring_up, save_collection, save_in_child
from retrieval.saved_views import SavedViews
from retrieval.view import View, compacted, empty_view
from retrieval.views import ViewCache
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection
from tests.unit.views import assert_up_to_date, canonical, fresh, passage_names


@pytest.fixture
def cid(database: Database) -> int:
    return new_collection(database).id


@pytest.fixture
def saves(tmp_path: Path) -> SavedViews:
    return SavedViews(tmp_path / "views" / "1")


def names_of(saves: SavedViews) -> set[str]:
    return {path.name for path in saves.folder.iterdir() if path.name != ".lease"}


def phrases_of(view: View) -> list[str]:
    return [view.names.key(row) for row in range(len(view.phrases)) if row not in view.graph.dead_phrases]


def test_a_view_that_is_up_to_date_is_given_back(database: Database, cid: int) -> None:
    nothing = empty_view()
    assert bring_up(database, "memory", cid, nothing) is nothing
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    view = bring_up(database, "memory", cid, nothing)
    assert bring_up(database, "memory", cid, view) is view


def test_a_view_older_than_the_tombstones_is_made_anew(database: Database, cid: int) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    view = fresh(database)
    forget_document(database, cid, "a")
    with database.write() as connection:
        connection.execute(delete(tombstones))
        connection.execute(update(collections).values(compacted_version=2))
    later = fresh(database, view)
    assert not later.rests_on(view)
    assert phrases_of(later) == ["bram oster"]
    assert_up_to_date(later, database)
    commit_documents(database, cid, learn_document("c", "Cora Finch."))
    assert fresh(database, later).rests_on(later)


def test_a_deleted_collection_is_not_found(database: Database, cid: int, saves: SavedViews) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    view = fresh(database)
    with database.write() as connection:
        delete_collection(connection, "memory")
    with pytest.raises(NotFound):
        bring_up(database, "memory", cid, view)
    with pytest.raises(NotFound):
        save_collection(database, "memory", saves.folder)
    with database.write() as connection:
        create_collection(connection, "memory")
    with pytest.raises(NotFound):
        bring_up(database, "memory", cid, view)


class Backup:
    """A copy of the SQLite file, to be put back."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.copy = database, folder / "backup.db"
        self._copy(self._file, self.copy)

    @property
    def _file(self) -> Path:
        assert self.database.path is not None
        return self.database.path

    def restore(self) -> None:
        self._copy(self.copy, self._file)

    @staticmethod
    def _copy(source: Path, target: Path) -> None:
        here, there = sqlite3.connect(source), sqlite3.connect(target)
        here.backup(there)
        here.close()
        there.close()


@pytest.mark.parametrize("later", ["lower", "same", "higher"])
def test_a_restored_backup_shows_nothing_of_the_lost_history(
    database: Database, cid: int, tmp_path: Path, saves: SavedViews, later: str, caplog: pytest.LogCaptureFixture
) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    commit_documents(database, cid, learn_document("b", "Bram Oster."))
    backup = Backup(database, tmp_path)
    running = ViewCache(database, saves.folder.parent)
    for key in "xyz":
        commit_documents(database, cid, learn_document(key, f"Lost History likes {key.upper()}.", "Lost again."))
    forget_document(database, cid, "a")
    lost = running.current("memory")[1]
    assert save_collection(database, "memory", saves.folder)
    backup.restore()
    for number in range({"lower": 1, "same": lost.version - 2, "higher": lost.version}[later]):
        commit_documents(database, cid, learn_document(f"n{number}", "Cora Finch.", f"Dunmore {number}."))
    expected = canonical(fresh(database), passage_names(database))
    assert "lost history" not in expected["phrases"]
    restarted = ViewCache(database, saves.folder.parent)
    for views in (restarted, running):
        view = views.current("memory")[1]
        assert_up_to_date(view, database)
        assert canonical(view, passage_names(database)) == expected
    assert "another history" in caplog.text
    # What is saved next takes the place of what is lost, though its version may be a higher one.
    assert save_collection(database, "memory", saves.folder)
    caplog.clear()
    saved = saves.newest()
    assert saved is not None
    assert_up_to_date(saved, database)
    assert_up_to_date(ViewCache(database, saves.folder.parent).current("memory")[1], database)
    assert caplog.text == ""


def test_a_collection_is_saved_once_a_version(database: Database, cid: int, saves: SavedViews) -> None:
    assert not save_collection(database, "memory", saves.folder)  # nothing to save yet
    assert names_of(saves) == set()
    for version in (1, 2):
        commit_documents(database, cid, learn_document(str(version), f"Ada Quill saw Dunmore {version}."))
        assert save_collection(database, "memory", saves.folder)
        assert not save_collection(database, "memory", saves.folder)
        saved = saves.newest()
        assert saved is not None
        assert saved.version == version
        assert len(names_of(saves)) == 1
        assert_up_to_date(saved, database)


def test_what_was_forgotten_is_not_in_the_next_save(database: Database, cid: int, saves: SavedViews) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."), learn_document("b", "Bram Oster."))
    save_collection(database, "memory", saves.folder)
    forget_document(database, cid, "a")
    assert save_collection(database, "memory", saves.folder)
    assert not [path for path in saves.folder.rglob("*.npy") if b"ada quill" in path.read_bytes()]
    saved = saves.newest()
    assert saved is not None
    assert (len(saved.passages), phrases_of(saved)) == (1, ["bram oster"])


def test_only_the_holder_of_the_lease_saves(database: Database, cid: int, saves: SavedViews) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    with saves.lease():
        assert not save_collection(database, "memory", saves.folder)
        assert saves.newest() is None
    assert save_collection(database, "memory", saves.folder)


@pytest.mark.parametrize("what", ["a file", "the manifest", "its manifest's token"])
def test_a_damaged_save_is_rebuilt_and_saved_again(
    database: Database, cid: int, saves: SavedViews, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill likes Bram Oster."))
    assert save_collection(database, "memory", saves.folder)
    (place,) = saves.folder.glob("0*")
    if what == "a file":
        os.truncate(place / "graph_edges_targets.npy", 100)
    elif what == "the manifest":
        (place / "manifest.json").unlink()
    else:
        manifest = json.loads((place / "manifest.json").read_text())
        (place / "manifest.json").write_text(json.dumps(manifest | {"token": "f" * 32}))
    assert_up_to_date(ViewCache(database, saves.folder.parent).current("memory")[1], database)
    assert "is damaged" in caplog.text
    assert save_collection(database, "memory", saves.folder)
    assert {name.split("-")[0] for name in names_of(saves)} == {"damaged", f"{1:020d}"}
    saved = saves.newest()
    assert saved is not None
    assert_up_to_date(saved, database)


def test_a_save_of_another_history_of_the_same_version_is_replaced(
    database: Database, cid: int, saves: SavedViews
) -> None:
    from dataclasses import replace

    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    saves.save(replace(compacted(fresh(database)), token="f" * 32))
    assert save_collection(database, "memory", saves.folder)
    saved = saves.newest()
    assert saved is not None
    assert_up_to_date(saved, database)


def test_a_child_saves(database: Database, cid: int, saves: SavedViews) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill likes Bram Oster."))
    children = [save_in_child(database.url, "memory", saves.folder) for _ in range(2)]
    assert [child.wait(60) for child in children] == [0, 0]
    saved = saves.newest()
    assert saved is not None
    assert_up_to_date(saved, database)
    assert len(names_of(saves)) == 1


def test_a_child_ends_quietly_where_the_collection_is_gone(database: Database, saves: SavedViews) -> None:
    assert save_in_child(database.url, "nobody", saves.folder).wait(60) == 0
    assert saves.newest() is None


def test_a_child_that_cannot_write_says_so(database: Database, cid: int, tmp_path: Path) -> None:
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    (tmp_path / "views").write_text("a file where a folder belongs")
    script = "from retrieval.refreshing import _main; _main()"
    order = {"url": str(database.url), "name": "memory", "folder": str(tmp_path / "views" / "1")}
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]}
    child = subprocess.run(
        [sys.executable, "-c", script], input=json.dumps(order), capture_output=True, text=True, env=environment
    )
    assert child.returncode == 1
    assert child.stderr.startswith("the view of 'memory' was not saved: ")
    assert "Traceback" not in child.stderr


def test_a_child_that_is_gone_before_it_was_told_what_to_do(
    database: Database, saves: SavedViews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("true"))
    real = subprocess.Popen

    def start(*args: object, **kwargs: object) -> object:
        child = real(*args, **kwargs)  # type: ignore[call-overload]
        child.wait()
        return child

    monkeypatch.setattr(subprocess, "Popen", start)
    assert save_in_child(database.url, "memory", saves.folder).wait(60) == 0
