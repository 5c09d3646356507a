"""Backups made as docs/operations.md says, put back, and what saved views do then."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import inspect

from ingest.queue_tables import prepare_queue
from memory_graph.database import Database, upgrade_schema
from retrieval.refreshing import save_collection
from retrieval.views import ViewCache
from tests.postgres import PostgresServer, find_binaries
from tests.unit.factories import (
    commit_documents,
    content_of,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
)
from tests.unit.views import assert_up_to_date


def begin(database: Database, folder: Path) -> None:
    """Learn something, and save a view of it."""
    upgrade_schema(database)
    prepare_queue(database)
    cid = new_collection(database).id
    commit_documents(
        database, cid, learn_document("a", "Ada Quill likes Bram Oster."), learn_document("b", "Lake Orrin.")
    )
    assert save_collection(database, "memory", folder / str(cid))


def go_on(database: Database, folder: Path) -> None:
    """Change what was backed up, and save a view of that."""
    cid = find_collection(database).id
    commit_documents(database, cid, learn_document("lost", "Lost History likes Ada Quill."))
    assert forget_document(database, cid, "b")
    assert save_collection(database, "memory", folder / str(cid))


def assert_restored(restored: Database, expected: object, folder: Path, log: pytest.LogCaptureFixture) -> None:
    """Check that all is as it was when it was backed up, for a search through the saved views too, and goes on."""
    assert content_of(restored) == expected
    cache = ViewCache(restored, folder)
    assert_up_to_date(cache.current("memory")[1], restored)
    assert "another history" in log.text
    commit_documents(restored, find_collection(restored).id, learn_document("c", "Cora Finch saw Lake Orrin."))
    assert_up_to_date(cache.current("memory")[1], restored)
    cache.close()


@pytest.mark.parametrize("way", [".backup", "VACUUM INTO"])
def test_sqlite(tmp_path: Path, way: str, caplog: pytest.LogCaptureFixture) -> None:
    if shutil.which("sqlite3") is None:
        pytest.skip("the command sqlite3 is not installed: `apt-get install sqlite3`")
    path, copy, views = tmp_path / "sharpwave.db", tmp_path / "copy.db", tmp_path / "views"
    database = Database(f"sqlite:///{path}")
    begin(database, views)
    expected = content_of(database)
    with database.write():  # while someone writes
        command = f".backup {copy}" if way == ".backup" else f"VACUUM INTO '{copy}'"
        subprocess.run(["sqlite3", str(path), command], check=True, capture_output=True)
    go_on(database, views)
    assert content_of(database) != expected
    database.close()
    for name in ("sharpwave.db-wal", "sharpwave.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(copy, path)
    restored = Database(f"sqlite:///{path}")
    assert_restored(restored, expected, views, caplog)
    restored.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


@pytest.fixture
def tools() -> Path:
    """The folder of pg_dump and pg_restore that belong to the server."""
    binaries = find_binaries()
    if binaries is None or not all((binaries / name).exists() for name in ("pg_dump", "pg_restore")):
        pytest.skip("pg_dump is not installed: `apt-get install postgresql`")
    return binaries


def test_postgresql(postgres: PostgresServer, tools: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url, views = postgres.create_database(), tmp_path / "views"
    database = Database(url)
    begin(database, views)
    expected = content_of(database)
    with database.write():
        subprocess.run([tools / "pg_dump", "-Fc", "-d", url, "-f", tmp_path / "dump"], check=True, capture_output=True)
    go_on(database, views)
    assert content_of(database) != expected
    database.close()
    other = postgres.create_database()
    restore = [tools / "pg_restore", "--no-owner", "-d", other, tmp_path / "dump"]
    subprocess.run(restore, check=True, capture_output=True)
    restored = Database(other)
    with restored.read() as connection:
        assert "dbos" in inspect(connection).get_schema_names()
    assert_restored(restored, expected, views, caplog)
    restored.close()
