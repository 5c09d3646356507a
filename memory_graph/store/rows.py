"""Small parts that the statements share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

# Below the limit on bound parameters of every database that we support.
IN_LIMIT = 500
_AT_ONCE = 20_000  # rows


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


def database_now(connection: Connection) -> datetime:
    """Return the present moment by the clock that all hosts share: the database server's, or SQLite's own host's."""
    if connection.dialect.name == "sqlite":
        return now()
    moment: datetime = connection.execute(select(func.now())).scalar_one()
    return moment


def chunks(values: Sequence[T], size: int = IN_LIMIT) -> Iterator[Sequence[T]]:
    """Cut ``values`` into pieces short enough for one IN (…)."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def older_than(
    moment: ColumnElement[Any], row_id: ColumnElement[Any], key: tuple[datetime, str]
) -> ColumnElement[bool]:
    """Say that a row comes after that with ``key`` in the order (moment descending, id)."""
    # Twice over, because the first half alone finds its place in an index.
    return and_(moment <= key[0], or_(moment < key[0], row_id > key[1]))


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, leaving alone those whose key is there already."""
    if not rows:
        return
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), list(rows))


def read_parts(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    """Read rows some at a time: as Python objects, millions of them would take gigabytes."""
    return connection.execute(query, execution_options={"stream_results": True}).partitions(_AT_ONCE)


def join_parts(parts: Sequence[NDArray[np.int64]], width: int) -> NDArray[np.int64]:
    """Return the rows of all parts (n, width), of none too."""
    return np.concatenate(parts) if parts else np.zeros((0, width), dtype=np.int64)
