"""What keys have spent, by days in UTC: tokens of language models, and bytes given to be learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from memory_graph.errors import InvalidInput, QuotaSpent
from memory_graph.store.rows import chunks, now
from memory_graph.tables import job_items, jobs, key_spending, keys

KEPT_DAYS = 400


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a key has spent on one day."""

    tokens: int = 0
    bytes: int = 0


def spent_by(connection: Connection, key_id: str, day: date) -> Spent:
    """Return what a key has spent on a day (UTC)."""
    found = select(key_spending.c.tokens, key_spending.c.bytes)
    row = connection.execute(found.where(key_spending.c.key_id == key_id, key_spending.c.day == day)).one_or_none()
    return Spent() if row is None else Spent(tokens=row.tokens, bytes=row.bytes)


def spent_on(connection: Connection, day: date) -> dict[str, Spent]:
    """Return what each key has spent on a day (UTC), by id; those that spent nothing are not there."""
    rows = connection.execute(select(key_spending).where(key_spending.c.day == day))
    return {row.key_id: Spent(tokens=row.tokens, bytes=row.bytes) for row in rows}


def add_spending(connection: Connection, spent: Mapping[tuple[str, date], int]) -> None:
    """Add to the tokens that keys have spent by (id, day), and drop what lies far back; ids of no key are left out."""
    known: set[str] = set()
    for some in chunks(sorted({key_id for key_id, _ in spent})):
        known.update(connection.scalars(select(keys.c.id).where(keys.c.id.in_(some))))
    for (key_id, day), tokens in sorted(spent.items()):
        if key_id in known:
            connection.execute(_adding(connection, key_id, day, tokens=tokens))
    old = now().date() - timedelta(days=KEPT_DAYS)
    connection.execute(delete(key_spending).where(key_spending.c.day < old))


def check_bytes(connection: Connection, key_id: str, size: int, field: str) -> None:
    """Refuse bytes that a key may not give today (UTC), before anything is written. Errors: those of ``take_bytes``."""
    _refuse_beyond(connection, key_id, spent_by(connection, key_id, now().date()).bytes + size, size, field)


def take_bytes(connection: Connection, key_id: str, size: int, field: str) -> None:
    """Count bytes that a key gives to be learned today (UTC); of none it is seen whether there may be more.

    Counted in the transaction that stores them: keys keep their limit with any number of processes. It is best the last
    statement of it, since the row is locked from here on.
    Errors: ``QuotaSpent`` beyond its ``bytes_per_day``; ``InvalidInput`` for more than that at once.
    """
    adding = _adding(connection, key_id, now().date(), bytes=size).returning(key_spending.c.bytes)
    _refuse_beyond(connection, key_id, connection.scalar(adding) or 0, size, field)


def payer_of(connection: Connection, item_id: int) -> str | None:
    """Return the key that submitted the job of an item, None where it was no row of keys."""
    of = select(jobs.c.key_id).join(job_items, job_items.c.job_id == jobs.c.id).where(job_items.c.id == item_id)
    return connection.scalar(of)


def tokens_left(connection: Connection, job_id: str) -> int | None:
    """Return the tokens that the key which submitted a job has left today (UTC); None where nothing limits them."""
    of = select(keys.c.id, keys.c.tokens_per_day).join(jobs, jobs.c.key_id == keys.c.id).where(jobs.c.id == job_id)
    row = connection.execute(of).one_or_none()
    if row is None or row.tokens_per_day is None:
        return None
    return int(row.tokens_per_day) - spent_by(connection, row.id, now().date()).tokens


def _refuse_beyond(connection: Connection, key_id: str, total: int, size: int, field: str) -> None:
    limit = connection.scalar(select(keys.c.bytes_per_day).where(keys.c.id == key_id))
    if limit is None:
        return
    if size > limit:
        raise InvalidInput(field, f"{size:,} bytes are more than this key may give in a day, which is {limit:,}")
    if total > limit or (total == limit and not size):
        left = max(0, limit - total + size)
        raise QuotaSpent(f"{size:,} bytes go beyond what this key may give today (UTC): {left:,} of {limit:,} are left")


def _adding(connection: Connection, key_id: str, day: date, tokens: int = 0, bytes: int = 0) -> Any:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    adding = dialect.insert(key_spending).values(key_id=key_id, day=day, tokens=tokens, bytes=bytes)
    return adding.on_conflict_do_update(
        index_elements=[key_spending.c.key_id, key_spending.c.day],
        set_={
            "tokens": key_spending.c.tokens + adding.excluded.tokens,
            "bytes": key_spending.c.bytes + adding.excluded.bytes,
        },
    )
