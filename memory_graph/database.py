"""The connection to the database: settings of each engine, transactions, and the schema's version.

SQLite runs in WAL mode: readers see a snapshot and never wait; a writer announces itself with ``BEGIN IMMEDIATE`` and
waits its turn. PostgreSQL is used through psycopg.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError

from memory_graph.errors import (
    InvalidInput,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreVersionMismatch,
)

if TYPE_CHECKING:  # imported late: most processes find their schema current and need none of it
    from alembic.config import Config

BUSY_TIMEOUT_S = 30
_WRITE = "sharpwave_write"
_OUTSIDE = "sharpwave_outside"
_MIGRATION_LOCK_KEY = 0x5AA2_77A7  # any constant: names PostgreSQL's advisory lock for schema changes
_ALMOST_FULL_BYTES = 8 * 2**20


class Database:
    """One database and its two kinds of transaction.

    ``url`` is an SQLAlchemy URL of SQLite or PostgreSQL. Errors: ``InvalidInput`` for a URL that cannot be used.
    """

    def __init__(self, url: str | URL) -> None:
        try:
            self.url = make_url(url)
            if self.url.drivername == "postgresql":
                self.url = self.url.set(drivername="postgresql+psycopg")
            if self.url.get_backend_name() not in ("sqlite", "postgresql"):
                raise InvalidInput("SHARPWAVE_DATABASE_URL", "must begin with sqlite:/// or postgresql://")
            if self.url.get_backend_name() == "sqlite" and self.url.database in (None, "", ":memory:"):
                raise InvalidInput("SHARPWAVE_DATABASE_URL", "must name a file, as in sqlite:////path/to.db")
            self.engine = _create_engine(self.url)
        except (ArgumentError, NoSuchModuleError, ValueError) as error:  # ValueError: a port that is not a number
            raise InvalidInput("SHARPWAVE_DATABASE_URL", f"is not a database URL ({error})") from error

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The SQLite file, or None on a server."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a read transaction: everything in it sees the same state."""
        # PostgreSQL's default shows each statement a newer state; SQLite's snapshot lasts as long as the transaction.
        engine = self.engine if self.is_sqlite else self.engine.execution_options(isolation_level="REPEATABLE READ")
        with self.named_errors(), engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Open a write transaction; commits at the end, rolls back on any error."""
        with self.named_errors(), self.engine.execution_options(**{_WRITE: True}).begin() as connection:
            yield connection

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """Open a connection outside of any transaction, for statements that cannot stand in one."""
        options: dict[str, Any] = {_OUTSIDE: True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
        with self.named_errors(), self.engine.execution_options(**options).connect() as connection:
            yield connection

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Raise what goes wrong with the database, by whichever connection, as a ``StoreError``."""
        try:
            yield
        except DBAPIError as error:
            raise self._name(error) from error

    def _name(self, error: DBAPIError) -> StoreError:
        reason = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        where = str(self.path) if self.path else self.url.render_as_string(hide_password=True)
        if "is full" in reason or "No space left" in reason or ("disk I/O" in reason and self._disk_is_full()):
            return StoreFull(
                f"no space left for the database at {where}; nothing of this step was kept. Free some space"
            )
        if "locked" in reason:
            return StoreBusy(f"another process held the database at {where} for over {BUSY_TIMEOUT_S} s; try again")
        if error.connection_invalidated or (
            isinstance(error.orig, _connection_errors()) and not isinstance(error, IntegrityError)
        ):
            return StoreUnavailable(f"the database at {where} cannot be used: {reason}")
        return StoreError(f"the database at {where} refused: {reason}")

    def _disk_is_full(self) -> bool:
        return self.path is not None and shutil.disk_usage(self.path.parent).free < _ALMOST_FULL_BYTES


def _write_ahead(cursor: Any) -> None:
    """Turn SQLite's log on; unlike others this statement does not wait for who opens the new database as well."""
    import sqlite3

    by = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > by:
                raise
            time.sleep(0.01)


def _connection_errors() -> tuple[type[BaseException], ...]:
    import sqlite3

    import psycopg

    return (sqlite3.OperationalError, sqlite3.DatabaseError, psycopg.OperationalError)


def _write_json(value: Any) -> str:
    # As it is, not escaped: SQLite compares the names of fields as they are written.
    return json.dumps(value, ensure_ascii=False)


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        # A worker that stops inside a transaction must not hold the collection's lock for ever.
        options = "-c idle_in_transaction_session_timeout=30000"
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={"options": options},
            json_serializer=_write_json,
            hide_parameters=True,
        )
    # Without their parameters: an error's words go into logs, and parameters are the texts of documents.
    engine = create_engine(
        url, connect_args={"timeout": BUSY_TIMEOUT_S}, json_serializer=_write_json, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        dbapi_connection.isolation_level = None  # transactions are begun by _begin below, not by the driver
        cursor = dbapi_connection.cursor()
        _write_ahead(cursor)
        # FULL: a commit that was acknowledged survives a power cut, not only a kill.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        # What is deleted or replaced is overwritten with zeros; what still slips through, a purge rewrites.
        cursor.execute("PRAGMA secure_delete=ON")
        cursor.execute("PRAGMA cache_size=-65536")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get(_OUTSIDE, False):
            return
        writes = options.get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


_MIGRATIONS = Path(__file__).parent / "migrations"


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def schema_state(database: Database) -> str:
    """Say how the database's schema stands: ``empty``, ``current``, ``older`` or ``newer``.

    ``newer`` is any revision that this program does not know.
    """
    revision = schema_revision(database)
    if revision is None:
        with database.read() as connection:
            return "older" if inspect(connection).has_table("collections") else "empty"
    # The files are named by their revisions, which follow one another.
    known = sorted(path.name.split("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    if revision == known[-1]:
        return "current"
    return "older" if revision in known else "newer"


def schema_revision(database: Database) -> str | None:
    """Return the revision of the database's schema, None where it has none yet."""
    with database.read() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def check_schema(database: Database) -> None:
    """Refuse a schema that this program does not work with.

    Errors: ``StoreVersionMismatch`` with what to do about it.
    """
    state = schema_state(database)
    where = database.path or database.url.render_as_string(hide_password=True)
    if state == "newer":
        raise StoreVersionMismatch(
            f"the database at {where} was made by a newer version of sharpwave. Upgrade sharpwave, or name another "
            "folder with SHARPWAVE_DATA_DIR; nothing was changed"
        )
    if state != "current":
        raise StoreVersionMismatch(f"the database at {where} needs an upgrade: run `sharpwave db upgrade`")


def upgrade_schema(database: Database) -> None:
    """Create the schema, or bring it to this program's revision; safe when several processes do it at once.

    Errors: ``StoreVersionMismatch`` when the schema is newer than this program.
    """
    with _migration_lock(database):
        if schema_state(database) == "newer":
            check_schema(database)
        from alembic import command

        config = _config()
        with database.write() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


@contextmanager
def _migration_lock(database: Database) -> Iterator[None]:
    if database.path is not None:
        try:
            database.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{database.path}.migration.lock"):
                yield
        except (PermissionError, NotADirectoryError, FileExistsError) as error:
            raise StoreUnavailable(f"cannot write to {database.path.parent}: {error.strerror}") from error
        return
    with database.read() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK_KEY})
        yield
