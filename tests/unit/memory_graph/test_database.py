"""The connection: snapshots, one writer at a time, and errors that say what to do."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import ClassVar

import pytest
from sqlalchemy import func, insert, select, text

from memory_graph import database as database_module
from memory_graph.database import Database, check_schema, schema_state, upgrade_schema
from memory_graph.errors import InvalidInput, StoreBusy, StoreError, StoreFull, StoreUnavailable
from memory_graph.store.collections import create_collection, get_collection
from memory_graph.store.rows import now
from memory_graph.tables import collections, documents, workers


def _add_worker(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(insert(workers).values(id=name, host="h", pid=1, beat_at=now()))


def _count(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(workers)) or 0


def test_sqlite_is_set_up_for_safety(database: Database) -> None:
    with database.read() as connection:
        settings = {
            name: connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "foreign_keys", "synchronous")
        }
    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}


def test_a_row_that_points_nowhere_is_refused_and_named_a_refusal(database: Database) -> None:
    row = {"collection_id": 999, "key": "k", "title": "", "metadata": {}, "content_hash": "", "version": 1}
    with pytest.raises(StoreError, match="refused: FOREIGN KEY") as caught, database.write() as connection:
        connection.execute(insert(documents).values(**row, created_at=now()))
    # Not "unavailable": that is tried again.
    assert type(caught.value) is StoreError


def test_a_read_transaction_keeps_its_snapshot(database: Database) -> None:
    other = Database(database.url)
    with database.read() as connection:
        count = select(func.count()).select_from(workers)
        before = connection.scalar(count)
        _add_worker(other, "w")
        assert connection.scalar(count) == before == 0
    assert _count(database) == 1
    other.close()


def test_writers_take_turns(database: Database) -> None:
    """Two threads read, think and write: without turns one of the increments would be lost."""
    with database.write() as connection:
        create_collection(connection, "c")
    entered = Event()

    def increment() -> None:
        for _ in range(20):
            with database.write() as connection:
                entered.set()
                version = get_collection(connection, "c").version
                connection.execute(collections.update().values(version=version + 1))

    threads = [Thread(target=increment) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert entered.is_set()
    with database.read() as connection:
        assert get_collection(connection, "c").version == 40


def test_a_writer_does_not_stop_readers(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(workers).values(id="w", host="h", pid=1, beat_at=now()))
        assert _count(database) == 0
    assert _count(database) == 1


def test_an_error_rolls_the_whole_transaction_back(database: Database) -> None:
    def half() -> None:
        with database.write() as connection:
            connection.execute(insert(workers).values(id="w", host="h", pid=1, beat_at=now()))
            raise KeyError("x")

    with pytest.raises(KeyError):
        half()
    assert _count(database) == 0


def test_a_database_that_another_holds_is_busy(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memory_graph.database.BUSY_TIMEOUT_S", 0.05)
    impatient = Database(database.url)
    with database.write(), pytest.raises(StoreBusy, match="another process held"), impatient.write():
        pass
    impatient.close()


def test_moments_come_back_in_utc_and_need_a_zone(database: Database) -> None:
    from datetime import datetime, timedelta, timezone

    noon = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as connection:
        connection.execute(insert(workers).values(id="w", host="h", pid=1, beat_at=noon))
        found = connection.scalar(select(workers.c.beat_at))
    assert found == noon
    assert found.utcoffset() == timedelta(0)
    with pytest.raises(Exception, match="time zone"), database.write() as connection:
        connection.execute(insert(workers).values(id="x", host="h", pid=1, beat_at=datetime(2024, 5, 1)))


def _fill(database: Database) -> None:
    for number in range(200):
        with database.write() as connection:
            connection.execute(insert(workers).values(id=str(number), host="h" * 250, pid=1, beat_at=now()))
            connection.execute(
                collections.insert().values(
                    name=str(number),
                    description="d" * 100_000,
                    version=0,
                    compacted_version=0,
                    embedder="",
                    created_at=now(),
                )
            )


def test_a_database_at_its_limit_is_full_and_keeps_nothing_of_the_step(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 400")
    with pytest.raises(StoreFull, match="Free some space"):
        _fill(database)
    with database.read() as connection:
        rows = connection.scalar(select(func.count()).select_from(workers))
        assert rows == connection.scalar(select(func.count()).select_from(collections))
        assert rows


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_what_was_committed_stays(small_disk: Path) -> None:
    database = Database(f"sqlite:///{small_disk / 'sharpwave.db'}")
    upgrade_schema(database)
    with pytest.raises(StoreFull, match=r"no space left for the database at .*sharpwave\.db"):
        _fill(database)
    with database.read() as connection:
        rows = connection.scalar(select(func.count()).select_from(workers))
        assert rows == connection.scalar(select(func.count()).select_from(collections))
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    database.close()


def test_a_path_that_is_a_folder_cannot_be_used(tmp_path: Path) -> None:
    with (
        closing(Database(f"sqlite:///{tmp_path}")) as database,
        pytest.raises(StoreUnavailable, match="cannot be used: unable to open database file"),
    ):
        schema_state(database)


def test_a_path_under_a_file_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        closing(Database(f"sqlite:///{tmp_path / 'file' / 'sharpwave.db'}")) as database,
        pytest.raises(StoreUnavailable, match="cannot write to"),
    ):
        upgrade_schema(database)


def test_a_file_that_is_no_database_is_named_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are notes, not a database. " * 100)
    with closing(Database(f"sqlite:///{path}")) as database, pytest.raises(StoreUnavailable) as caught:
        schema_state(database)
    assert caught.value.message == f"the database at {path} cannot be used: file is not a database"
    assert path.read_text().startswith("These are notes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_cannot_be_used(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        closing(Database(f"sqlite:///{tmp_path / 'sharpwave.db'}")) as database,
        pytest.raises(StoreUnavailable, match="cannot write to"),
    ):
        upgrade_schema(database)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "mysql://localhost/x",
        "sqlite+nodriver:///x",
        "postgresql://localhost:port/x",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_a_url_that_cannot_be_used_names_the_setting(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Database(url)
    assert caught.value.field == "SHARPWAVE_DATABASE_URL"


def test_a_plain_postgresql_url_gets_our_driver_and_hides_its_password() -> None:
    database = Database("postgresql://ann:secret@127.0.0.1:1/x")
    assert database.url.drivername == "postgresql+psycopg"
    assert database.path is None
    with pytest.raises(StoreUnavailable) as caught:
        check_schema(database)
    assert "127.0.0.1" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "sharpwave.db"
    database = Database(f"sqlite:///{path}")
    upgrade_schema(database)
    database.close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    data = bytearray(path.read_bytes())
    data[100:8192] = bytes(8092)
    path.write_bytes(data)
    with closing(Database(f"sqlite:///{path}")) as database, pytest.raises(StoreUnavailable, match="cannot be used"):
        schema_state(database)


def test_who_opens_a_new_database_beside_another_waits_for_the_log() -> None:
    """Turning SQLite's log on fails at once where another does the same; a cursor that is told so stands for it."""

    class Late:
        told: ClassVar[list[str]] = []

        def execute(self, statement: str) -> None:
            self.told.append(statement)
            if len(self.told) < 3:
                raise sqlite3.OperationalError("database is locked")

    database_module._write_ahead(Late())
    assert Late.told == ["PRAGMA journal_mode=WAL"] * 3

    class Broken:
        def execute(self, statement: str) -> None:
            raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(sqlite3.OperationalError, match="disk"):
        database_module._write_ahead(Broken())
