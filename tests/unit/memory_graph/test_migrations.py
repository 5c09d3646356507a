"""The migrations make the schema of tables.py, once, whoever else is at it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

from memory_graph import database as database_module
from memory_graph.database import Database, check_schema, schema_state, upgrade_schema
from memory_graph.errors import StoreVersionMismatch
from memory_graph.store.collections import create_collection, list_collections
from memory_graph.tables import document_changes, metadata, passages


def _ours(_object: Any, name: str | None, kind: str, _reflected: bool, _compared: Any) -> bool:
    """Leave out tables that are not ours: DBOS keeps its own in the same database."""
    return kind != "table" or name in metadata.tables


def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": _ours, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_last_file_is_the_newest_revision(database: Database) -> None:
    """What ``schema_state`` reads off the files' names is what Alembic reads in them."""
    scripts = ScriptDirectory.from_config(database_module._config())
    assert schema_state(database) == "current"
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")
        with database.write() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": script.revision})
        assert schema_state(database) == ("current" if script.revision == scripts.get_current_head() else "older")


def test_the_comparison_would_see_a_difference(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("ALTER TABLE workers ADD COLUMN extra TEXT"))
        connection.execute(text("DROP INDEX ix_mentions_phrase_id_passage_id_count"))
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


def test_twins_and_histories_are_made_for_what_is_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sharpwave.db'}")
    config = database_module._config()
    then = "2026-01-31 12:00:00"
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
        connection.execute(
            text("INSERT INTO collections VALUES (1, 'kept', '', 2, 0, '', :then)"),
            {"then": then},
        )
        for number, job in ((1, "job-1"), (2, None)):
            connection.execute(
                text(
                    "INSERT INTO documents (id, collection_id, key, title, metadata, content_hash, job_id, version, "
                    "created_at) VALUES (:n, 1, :n, '', '{}', 'h', :job, :n, :then)"
                ),
                {"n": number, "job": job, "then": then},
            )
        hashes = ((1, 0, "a"), (1, 1, "b"), (1, 2, "a"), (1, 3, "a"), (2, 0, "a"))
        for document, ordinal, text_hash in hashes:
            connection.execute(
                text(
                    'INSERT INTO passages (collection_id, document_id, ordinal, text, heading, start, "end", '
                    "text_hash, version) VALUES (1, :document, :ordinal, 'x', '', 0, 1, :text_hash, 1)"
                ),
                {"document": document, "ordinal": ordinal, "text_hash": text_hash},
            )
    upgrade_schema(database)
    with database.read() as connection:
        found = connection.execute(select(passages.c.twin, passages.c.made_by).order_by(passages.c.id)).all()
        names = ("document_id", "version", "job_id", "added", "removed", "kept")
        history = connection.execute(select(*(document_changes.c[name] for name in names))).all()
        moments = set(connection.scalars(select(document_changes.c.at)))
    assert [tuple(row) for row in found] == [(0, ""), (0, ""), (1, ""), (2, ""), (0, "")]
    assert [tuple(row) for row in history] == [(1, 1, "job-1", 4, 0, 0), (2, 2, None, 1, 0, 0)]
    assert moments == {datetime(2026, 1, 31, 12, tzinfo=UTC)}
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0007")
    database.close()


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
