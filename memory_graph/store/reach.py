"""Whether a job, a logged question or a purge lies within some collections.

One statement each, the same for a row that is not there and for one of another collection: neither what is told nor the
time that it takes tells the two apart.
"""

from __future__ import annotations

from collections.abc import Set

from sqlalchemy import Connection, Table, select

from memory_graph.errors import NotFound
from memory_graph.tables import collections, jobs, purges, queries


def check_job(connection: Connection, job_id: str, among: Set[str] | None) -> None:
    """Refuse a job outside of the collections named ``among`` (None: all). Errors: ``NotFound``."""
    _check(connection, jobs, "job", job_id, job_id, among)


def check_query(connection: Connection, query_id: str, among: Set[str] | None) -> None:
    """Refuse a logged question outside of the collections named ``among`` (None: all). Errors: ``NotFound``."""
    _check(connection, queries, "query", query_id, query_id, among)


def check_purge(connection: Connection, purge_id: int, among: Set[str] | None) -> None:
    """Refuse a purge outside of the collections named ``among`` (None: of deleted ones too). Errors: ``NotFound``."""
    _check(connection, purges, "purge", str(purge_id), purge_id, among)


def _check(
    connection: Connection, table: Table, kind: str, name: str, row_id: str | int, among: Set[str] | None
) -> None:
    found = select(table.c.id).where(table.c.id == row_id)
    if among is not None:
        here = select(collections.c.id).where(collections.c.name.in_(sorted(among)))
        found = found.where(table.c.collection_id.in_(here))
    if connection.scalar(found) is None:
        raise NotFound(kind, name)
