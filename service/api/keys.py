"""Keys: make, list, rotate, revoke; with a key that is bound to collections, those within its own binding."""

from __future__ import annotations

from fastapi import APIRouter

from memory_graph.store.keys import tokens_on, tokens_spent
from memory_graph.store.rows import now
from service.access import ADMINS, Asking
from service.key_schemas import KeyIn, KeyOut, KeysOut, NewKeyOut, RotateIn
from service.keys import make_key, revoke, rotate, visible
from service.services import Parts

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", dependencies=[ADMINS])
def list_all(parts: Parts, caller: Asking) -> KeysOut:
    """List the keys, the newest first, with those that are revoked; without their secrets, which nobody has."""
    parts.keys.flush()
    with parts.database.read() as connection:
        spent = tokens_on(connection, now().date())
        return KeysOut(keys=[KeyOut.of(key, spent.get(key.id, 0)) for key in visible(connection, caller)])


@router.post("", status_code=201, dependencies=[ADMINS])
def create(body: KeyIn, parts: Parts, caller: Asking) -> NewKeyOut:
    """Make a key, which is shown this once."""
    with parts.database.write() as connection:
        return NewKeyOut.made(make_key(connection, caller, body.wanted()))


@router.post("/{key_id}/rotate", dependencies=[ADMINS])
def renew(key_id: str, parts: Parts, caller: Asking, body: RotateIn | None = None) -> NewKeyOut:
    """Give a key a new secret, which is shown this once; the one before may hold for a while."""
    grace_s = body.grace_s if body else 0
    with parts.database.write() as connection:
        made = rotate(connection, caller, key_id, grace_s)
        return NewKeyOut.made(made, tokens_spent(connection, key_id, now().date()))


@router.delete("/{key_id}", status_code=204, dependencies=[ADMINS])
def end(key_id: str, parts: Parts, caller: Asking) -> None:
    """Revoke a key: from its next request on it is refused, by every process."""
    with parts.database.write() as connection:
        revoke(connection, caller, key_id)
