"""The database's own files, rewritten so that no page holds what was deleted.

Deleting marks space as free. SQLite is told to overwrite it with zeros, but moves rows between pages without clearing
where they stood, and keeps older pages in its log: so the file is rewritten whole and the log cut to nothing.
PostgreSQL writes its tables anew.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, inspect, text

from memory_graph.database import BUSY_TIMEOUT_S, Database
from memory_graph.errors import StoreBusy
from memory_graph.tables import metadata

_LOG_PATIENCE_MS = 2000
_LOCK_PATIENCE_S = 5
_POLL_S = 0.1


def rewrite(database: Database) -> None:
    """Write the live rows anew, without what stood between them; the old space goes back to the file system.

    Readers of SQLite go on; writers wait as long as it takes. On PostgreSQL readers of a table wait while that table
    is written. Errors: ``StoreBusy`` where another transaction is in the way, ``StoreFull``.
    """
    with database.outside() as connection:
        if database.is_sqlite:
            connection.exec_driver_sql("VACUUM")
            return
        connection.execute(text(f"SET lock_timeout = '{_LOCK_PATIENCE_S}s'"))
        try:
            _wait_for_older_transactions(connection)
            for schema, name in _server_tables(connection):
                connection.execute(text(f'VACUUM (FULL) "{schema}"."{name}"'))
        finally:
            connection.execute(text("RESET lock_timeout"))


def empty_log(database: Database) -> None:
    """Bring what SQLite's log holds into the file, and cut the log to nothing; PostgreSQL recycles its own.

    Errors: ``StoreBusy`` while someone reads a state that stands in the log.
    """
    if not database.is_sqlite:
        return
    with database.outside() as connection:
        # Short, since writers wait for whoever waits here.
        connection.exec_driver_sql(f"PRAGMA busy_timeout={_LOG_PATIENCE_MS}")
        try:
            busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout={BUSY_TIMEOUT_S * 1000}")
    if busy:
        raise StoreBusy("another process still reads from the database's log")


def size_of(database: Database) -> int:
    """Return the bytes of the database's file, or of the database on a server."""
    with database.outside() as connection:
        if not database.is_sqlite:
            return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar_one())


def _wait_for_older_transactions(connection: Connection) -> None:
    """Wait for transactions that began before now: what they may still see, a rewritten table keeps."""
    since = connection.scalar(text("SELECT clock_timestamp()"))
    older = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < :since"
    )
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while connection.scalar(older, {"since": since}):
        if time.monotonic() > deadline:
            raise StoreBusy("an older transaction on the server still sees what was forgotten")
        time.sleep(_POLL_S)


def _server_tables(connection: Connection) -> list[tuple[str, str]]:
    found = inspect(connection)
    ours = [(found.default_schema_name or "public", name) for name in metadata.tables]
    return ours + [("dbos", name) for name in found.get_table_names(schema="dbos")]
