"""A database is opened, and made where there is none: all of it, whenever that is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import inspect

from ingest.queue_tables import prepare_queue
from memory_graph.database import Database, schema_state
from memory_graph.errors import StoreUnavailable, StoreVersionMismatch
from service import opening
from service.opening import make_schema, open_database
from service.settings import Settings

QUEUE = "workflow_status"


def has_queue(database: Database) -> bool:
    with database.read() as connection:
        return inspect(connection).has_table(QUEUE)


def test_a_start_that_was_interrupted_between_the_two_schemas_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)

    def interrupted(_database: Database) -> None:
        raise KeyboardInterrupt

    for step in ("upgrade_schema", "prepare_queue"):
        with monkeypatch.context() as patch:
            patch.setattr(opening, step, interrupted)
            with pytest.raises(KeyboardInterrupt):
                open_database(settings)
    database = open_database(settings)
    assert schema_state(database) == "current"
    assert has_queue(database)
    database.close()


def test_who_finds_the_schema_finds_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade, found = opening.upgrade_schema, []

    def watched(database: Database) -> None:
        found.append((schema_state(database), has_queue(database)))
        upgrade(database)

    monkeypatch.setattr(opening, "upgrade_schema", watched)
    open_database(Settings(data_dir=tmp_path)).close()
    assert found == [("empty", True)]


def test_tables_of_the_queue_that_cannot_be_made_are_an_error_with_a_name(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"cannot be used: unable to open database file"):
        prepare_queue(Database(f"sqlite:///{tmp_path}"))  # a folder


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new' / 'data' / 'sharpwave.db'}")
    make_schema(database)
    assert schema_state(database) == "current"
    database.close()
    with pytest.raises(StoreUnavailable, match="Name another with SHARPWAVE_DATA_DIR"):
        make_schema(Database(f"sqlite:///{tmp_path / 'new' / 'data' / 'sharpwave.db' / 'sharpwave.db'}"))


def test_of_a_newer_schema_nothing_is_changed(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreVersionMismatch, match="newer version of sharpwave"):
        make_schema(database)
    assert not has_queue(database)
