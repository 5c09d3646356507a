"""The migrations make the schema of tables.py, once, whoever else is at it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from memory_graph import database as database_module
from memory_graph.database import Database, check_schema, schema_state, upgrade_schema
from memory_graph.errors import StoreVersionMismatch
from memory_graph.store.collections import create_collection, list_collections
from memory_graph.tables import metadata


def _ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
    """Leave out tables that are not ours: DBOS keeps its own in the same database."""
    return kind != "table" or name in metadata.tables


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _ours, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_comparison_would_see_a_difference(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("ALTER TABLE workers ADD COLUMN extra TEXT"))
        connection.execute(text("DROP INDEX ix_mentions_phrase_id_passage_id"))
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _ours})
        differences = {difference[0] for difference in compare_metadata(context, metadata)}
    assert differences == {"remove_column", "add_index"}


def test_ids_are_never_reused_by_the_schema(database: Database) -> None:
    ours = {name for name, table in metadata.tables.items() if table.dialect_options["sqlite"]["autoincrement"]}
    with database.read() as connection:
        made = connection.execute(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")).scalars()
        assert set(made) == ours >= {"collections", "documents", "passages", "phrases", "facts"}


def test_the_four_states_of_a_schema(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sharpwave.db'}")
    assert schema_state(database) == "empty"
    upgrade_schema(database)
    assert schema_state(database) == "current"
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema_state(database) == "newer"
    with database.write() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    assert schema_state(database) == "older"
    with pytest.raises(StoreVersionMismatch, match="sharpwave db upgrade"):
        check_schema(database)
    database.close()


def test_an_empty_database_is_no_current_one(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sharpwave.db'}")
    with pytest.raises(StoreVersionMismatch, match="needs an upgrade"):
        check_schema(database)
    database.close()


def _dump(database: Database) -> list[Any]:
    with database.read() as connection:
        tables = connection.execute(text("SELECT sql FROM sqlite_master ORDER BY name")).all()
        return [*tables, *connection.execute(text("SELECT * FROM alembic_version")), *list_collections(connection)]


def test_a_newer_schema_is_refused_and_left_alone(database: Database) -> None:
    with database.write() as connection:
        create_collection(connection, "kept")
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = _dump(database)
    with pytest.raises(StoreVersionMismatch, match="newer version of sharpwave"):
        upgrade_schema(database)
    with pytest.raises(StoreVersionMismatch, match="nothing was changed"):
        check_schema(database)
    assert _dump(database) == before


def test_upgrading_again_keeps_what_is_there(database: Database) -> None:
    with database.write() as connection:
        create_collection(connection, "kept")
    before = _dump(database)
    upgrade_schema(database)
    assert _dump(database) == before


def test_threads_may_upgrade_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'sharpwave.db'}"
    together, errors = Barrier(6), []

    def upgrade() -> None:
        database = Database(url)
        together.wait(30)
        try:
            upgrade_schema(database)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)
        database.close()

    threads = [Thread(target=upgrade) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    with closing(Database(url)) as database:
        assert schema_state(database) == "current"


def test_processes_may_open_and_upgrade_at_once(tmp_path: Path) -> None:
    """As the product opens it: each looks at the state first, then upgrades what is empty."""
    script = (
        "import sys\n"
        "from memory_graph.database import Database, check_schema, schema_state, upgrade_schema\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "database = Database(sys.argv[1])\n"
        "if schema_state(database) == 'empty': upgrade_schema(database)\n"
        "check_schema(database)\n"
    )
    url = f"sqlite:///{tmp_path / 'sharpwave.db'}"
    repository = Path(database_module.__file__).parent.parent
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, url],
            cwd=repository,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outcomes = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], outcomes
    with closing(Database(url)) as database:
        assert schema_state(database) == "current"
