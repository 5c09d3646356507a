"""The database of an installation is opened; nothing of what learns or searches is imported for that."""

from __future__ import annotations

from contextlib import suppress

from ingest.queue_tables import prepare_queue
from memory_graph.database import Database, check_schema, schema_state, upgrade_schema
from memory_graph.errors import Conflict, InvalidInput, StoreUnavailable
from memory_graph.store.collections import create_collection
from memory_graph.store.keys import has_keys
from service.hosts import is_loopback
from service.settings import Settings

DEFAULT_COLLECTION = "default"


def open_database(settings: Settings) -> Database:
    """Open the database, creating an empty one's schema.

    Errors: ``StoreVersionMismatch`` for another schema, ``StoreUnavailable`` where it cannot be opened or written.
    """
    database = Database(settings.resolved_database_url)
    _make_folder(database)
    if schema_state(database) == "empty":
        make_schema(database)
    check_schema(database)
    return database


def make_schema(database: Database) -> None:
    """Create the tables, the queue's included, or bring them up to this program's.

    The queue's come first: who finds ours, in another process or after a kill, finds all. Errors:
    ``StoreVersionMismatch`` for a schema that is newer than this program, of which nothing is changed;
    ``StoreUnavailable`` where there is no place for it.
    """
    _make_folder(database)
    if schema_state(database) == "newer":
        check_schema(database)
    prepare_queue(database)
    upgrade_schema(database)


def _make_folder(database: Database) -> None:
    if database.path is None:
        return
    try:
        database.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(
            f"cannot make the folder {database.path.parent}: {error.strerror}. Name another with SHARPWAVE_DATA_DIR"
        ) from error


def ensure_default_collection(database: Database) -> None:
    """Create the default collection if it is not there."""
    with suppress(Conflict), database.write() as connection:
        create_collection(connection, DEFAULT_COLLECTION, "Where documents go unless told otherwise.")


def check_address(settings: Settings, database: Database | None = None) -> None:
    """Refuse to open the service to a network without a key, set or in the database. Errors: ``InvalidInput``."""
    if not settings.is_open or is_loopback(settings.host):
        return
    if database is not None:
        with database.read() as connection:
            if has_keys(connection):
                return
    raise InvalidInput(
        "SHARPWAVE_HOST",
        f"{settings.host} can be reached by others: set SHARPWAVE_ADMIN_KEY or make a key with "
        "`sharpwave keys create` first, or use 127.0.0.1",
    )
