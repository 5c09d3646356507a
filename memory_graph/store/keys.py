"""Keys: who may ask, for what, of which collections, and how much.

A key's secret is not here, only its hash. Keys are bound to collections by id; ``bound`` says that a key is, so that
one whose collections were all deleted reaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, exists, insert, or_, select, update

from memory_graph.errors import NotFound
from memory_graph.store.collections import get_collection
from memory_graph.store.rows import chunks, now
from memory_graph.tables import collections, key_collections, keys


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key as it stands; ``collections`` are the names that it is bound to, in order, None where it is not bound."""

    id: str
    name: str
    hash: str
    old_hash: str | None
    old_until: datetime | None
    scopes: frozenset[str]
    collections: tuple[str, ...] | None
    requests_per_minute: int | None
    tokens_per_day: int | None
    bytes_per_day: int | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None

    def holds(self, moment: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or moment < self.expires_at)

    def within(self, names: frozenset[str] | None) -> bool:
        """Whether it reaches nothing but collections among ``names`` (None: all), and at least one of them."""
        return names is None or (bool(self.collections) and names.issuperset(self.collections or ()))


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key to be made; ``collections`` None makes one that is not bound."""

    id: str
    name: str
    hash: str
    scopes: frozenset[str]
    collections: Sequence[str] | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    bytes_per_day: int | None = None
    expires_at: datetime | None = None


def add_key(connection: Connection, new: NewKey) -> Key:
    """Write a key. Errors: ``NotFound`` for a collection."""
    bound = new.collections is not None
    ids = sorted({get_collection(connection, name).id for name in new.collections or ()})
    connection.execute(
        insert(keys).values(
            id=new.id,
            name=new.name,
            hash=new.hash,
            scopes=sorted(new.scopes),
            bound=bound,
            requests_per_minute=new.requests_per_minute,
            tokens_per_day=new.tokens_per_day,
            bytes_per_day=new.bytes_per_day,
            created_at=now(),
            expires_at=new.expires_at,
        )
    )
    if ids:
        connection.execute(insert(key_collections), [{"key_id": new.id, "collection_id": one} for one in ids])
    return get_key(connection, new.id)


def find_key(connection: Connection, key_id: str) -> Key | None:
    """Return a key, or None; the same two statements for one that is there and one that is not."""
    row = connection.execute(select(keys).where(keys.c.id == key_id)).mappings().one_or_none()
    names = _names(connection, [key_id])
    return None if row is None else _key(row, names)


def get_key(connection: Connection, key_id: str) -> Key:
    """Return a key. Errors: ``NotFound``."""
    found = find_key(connection, key_id)
    if found is None:
        raise NotFound("key", key_id)
    return found


def list_keys(connection: Connection) -> list[Key]:
    """List the keys, the newest first, with those that are revoked."""
    rows = connection.execute(select(keys).order_by(keys.c.created_at.desc(), keys.c.id)).mappings().all()
    names = _names(connection, [row["id"] for row in rows])
    return [_key(row, names) for row in rows]


def has_keys(connection: Connection) -> bool:
    """Say whether a key was ever made, revoked or not."""
    return bool(connection.scalar(select(exists().select_from(keys))))


def rotate_key(connection: Connection, key_id: str, new_hash: str, old_until: datetime | None) -> Key:
    """Give a key another secret; that which it had holds until ``old_until``. Errors: ``NotFound``."""
    old = keys.c.hash if old_until is not None else None
    connection.execute(update(keys).where(keys.c.id == key_id).values(hash=new_hash, old_hash=old, old_until=old_until))
    return get_key(connection, key_id)


def revoke_key(connection: Connection, key_id: str) -> Key:
    """Revoke a key; one that is revoked already keeps its moment. Errors: ``NotFound``."""
    connection.execute(
        update(keys).where(keys.c.id == key_id, keys.c.revoked_at.is_(None)).values(revoked_at=now(), old_hash=None)
    )
    return get_key(connection, key_id)


def note_uses(connection: Connection, uses: Mapping[str, datetime]) -> None:
    """Write down when keys were last used; a later moment that another process wrote stays."""
    for key_id, moment in sorted(uses.items()):
        older = or_(keys.c.used_at.is_(None), keys.c.used_at < moment)
        connection.execute(update(keys).where(keys.c.id == key_id, older).values(used_at=moment))


def _names(connection: Connection, key_ids: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for some in chunks(list(key_ids)):
        bindings = (
            select(key_collections.c.key_id, collections.c.name)
            .join(collections, collections.c.id == key_collections.c.collection_id)
            .where(key_collections.c.key_id.in_(some))
            .order_by(collections.c.name)
        )
        for key_id, name in connection.execute(bindings):
            found.setdefault(key_id, []).append(name)
    return found


def _key(row: RowMapping, names: Mapping[str, Sequence[str]]) -> Key:
    values: dict[str, Any] = {name: value for name, value in row.items() if name != "bound"}
    bound = tuple(names.get(row["id"], ())) if row["bound"] else None
    return Key(**{**values, "scopes": frozenset(row["scopes"]), "collections": bound})
