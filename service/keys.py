"""Keys: made, shown once, rotated, revoked, by whoever may.

A key is ``sw_ID_SECRET``. The id finds the row; of the secret, 32 random bytes, the row has the SHA-256 (ADR 0033).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from sqlalchemy import Connection

from memory_graph.errors import Conflict, Forbidden, InvalidInput, NotFound
from memory_graph.store import keys as store
from memory_graph.store.keys import Key, NewKey
from memory_graph.store.rows import now
from service.access import Caller, Scope

# What no key gives another more of than it has itself.
LIMITS = ("expires_at", "requests_per_minute", "tokens_per_day", "bytes_per_day")
_FORM = re.compile(r"sw_([0-9a-f]{16})_([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class WantedKey:
    """A key that somebody asks for; what is None is as with the key that asks."""

    name: str
    scopes: frozenset[Scope]
    collections: Sequence[str] | None = None
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    bytes_per_day: int | None = None


def split_key(given: str) -> tuple[str, str]:
    """Return id and secret of a key; an id of no key where it has not the form of one."""
    found = _FORM.fullmatch(given)
    return (found[1], found[2]) if found else ("", given)


def hash_secret(secret: str) -> str:
    """Return what is stored of a secret."""
    return sha256(secret.encode()).hexdigest()


def make_key(connection: Connection, caller: Caller, wanted: WantedKey) -> tuple[str, Key]:
    """Make a key within what ``caller`` may; return it in full, which nobody can a second time, and its row.

    Errors: ``NotFound`` for a collection that is not there or out of reach; ``Forbidden`` for a key that would reach
    further than its maker; ``InvalidInput`` for one that reaches nothing.
    """
    if wanted.collections is not None and not wanted.collections:
        raise InvalidInput("collections", "name at least one, or leave it out for a key that is bound to none")
    if wanted.expires_at is not None and wanted.expires_at <= now():
        raise InvalidInput("expires_at", "lies in the past")
    for name in wanted.collections or ():
        caller.check("admin", collection=name)
    if wanted.collections is None and caller.collections is not None:
        raise Forbidden("this key is bound to collections: name those of the new one among them")
    # A limit of 0 cannot be asked for: what is missing is as with the maker.
    wanted = replace(wanted, **{limit: getattr(wanted, limit) or getattr(caller, limit) for limit in LIMITS})
    _refuse_wider(caller, wanted)
    key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
    new = NewKey(
        id=key_id,
        name=wanted.name,
        hash=hash_secret(secret),
        scopes=frozenset(wanted.scopes),
        collections=wanted.collections,
        expires_at=wanted.expires_at,
        requests_per_minute=wanted.requests_per_minute,
        tokens_per_day=wanted.tokens_per_day,
        bytes_per_day=wanted.bytes_per_day,
    )
    return f"sw_{key_id}_{secret}", store.add_key(connection, new)


def rotate(connection: Connection, caller: Caller, key_id: str, grace_s: int = 0) -> tuple[str, Key]:
    """Give a key a new secret, and return it in full; that which it had holds for ``grace_s`` more seconds.

    Errors: ``NotFound``; ``Conflict`` for one that is revoked or expired; ``Forbidden`` for one with more than
    ``caller`` has.
    """
    key = reachable(connection, caller, key_id)
    moment = now()
    if not key.holds(moment):
        raise Conflict(f"key {key_id} is {'revoked' if key.revoked_at else 'expired'}; make another one")
    _refuse_wider(caller, key)
    secret = secrets.token_hex(32)
    until = moment + timedelta(seconds=grace_s) if grace_s else None
    return f"sw_{key_id}_{secret}", store.rotate_key(connection, key_id, hash_secret(secret), until)


def revoke(connection: Connection, caller: Caller, key_id: str) -> Key:
    """Revoke a key with all its secrets; once more changes nothing. Errors: ``NotFound``."""
    return store.revoke_key(connection, reachable(connection, caller, key_id).id)


def visible(connection: Connection, caller: Caller) -> list[Key]:
    """List the keys that ``caller`` manages, the newest first."""
    return [key for key in store.list_keys(connection) if key.within(caller.collections)]


def reachable(connection: Connection, caller: Caller, key_id: str) -> Key:
    """Return a key that ``caller`` manages. Errors: ``NotFound``."""
    key = store.find_key(connection, key_id)
    if key is None or not key.within(caller.collections):
        raise NotFound("key", key_id)
    return key


def _refuse_wider(caller: Caller, key: WantedKey | Key) -> None:
    for field in LIMITS:
        own, other = getattr(caller, field), getattr(key, field)
        if own is not None and (other is None or other > own):
            raise Forbidden(f"{field} may not go beyond this key's own, which is {own}")
