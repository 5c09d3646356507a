"""Keys: make, list, rotate, revoke; with a key that is bound to collections, those within its own binding."""

from __future__ import annotations

from fastapi import APIRouter

from memory_graph.store.rows import now
from memory_graph.store.spending import spent_by, spent_on
from service.access import ADMINS, Acting, Asking
from service.auditing import audited, describe_key, key_target
from service.key_schemas import KeyIn, KeyOut, KeysOut, NewKeyOut, RotateIn
from service.keys import make_key, revoke, rotate, visible
from service.services import Parts

router = APIRouter(prefix="/v1/keys", tags=["keys"])


@router.get("", dependencies=[ADMINS])
def list_all(parts: Parts, caller: Asking) -> KeysOut:
    """List the keys, the newest first, with those that are revoked; without their secrets, which nobody has."""
    parts.keys.flush()
    with parts.database.read() as connection:
        spent = spent_on(connection, now().date())
        return KeysOut(keys=[KeyOut.of(key, spent.get(key.id)) for key in visible(connection, caller)])


@router.post("", status_code=201, dependencies=[ADMINS])
def create(body: KeyIn, parts: Parts, caller: Asking, actor: Acting) -> NewKeyOut:
    """Make a key, which is shown this once."""
    with audited(parts.database, actor, "key.create") as change:
        made = make_key(change.connection, caller, body.wanted())
        describe_key(change, made[1])
        return NewKeyOut.made(made)


@router.post("/{key_id}/rotate", dependencies=[ADMINS])
def renew(key_id: str, parts: Parts, caller: Asking, actor: Acting, body: RotateIn | None = None) -> NewKeyOut:
    """Give a key a new secret, which is shown this once; the one before may hold for a while."""
    grace_s = body.grace_s if body else 0
    with audited(parts.database, actor, "key.rotate", target=key_target(key_id)) as change:
        made = rotate(change.connection, caller, key_id, grace_s)
        change.detail = {"grace_s": grace_s}
        describe_key(change, made[1])
        return NewKeyOut.made(made, spent_by(change.connection, key_id, now().date()))


@router.delete("/{key_id}", status_code=204, dependencies=[ADMINS])
def end(key_id: str, parts: Parts, caller: Asking, actor: Acting) -> None:
    """Revoke a key: from its next request on it is refused, by every process."""
    with audited(parts.database, actor, "key.revoke", target=key_target(key_id)) as change:
        describe_key(change, revoke(change.connection, caller, key_id))
