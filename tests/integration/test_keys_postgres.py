"""Keys on PostgreSQL: found, bound, and charged by several processes at once."""

from __future__ import annotations

from memory_graph.database import Database, upgrade_schema
from memory_graph.store.collections import create_collection, delete_collection
from memory_graph.store.keys import find_key
from memory_graph.store.rows import now
from memory_graph.store.spending import Spent, spent_on, take_bytes
from memory_graph.types import Usage
from service.access import ANYONE
from service.key_ring import KeyRing
from service.keys import WantedKey, make_key, revoke, rotate, visible
from tests.postgres import PostgresServer


def test_a_key_from_making_to_revoking(postgres: PostgresServer) -> None:
    database = Database(postgres.create_database())
    upgrade_schema(database)
    rings = [KeyRing(database, "") for _ in range(2)]
    assert not rings[0].is_closed()
    with database.write() as connection:
        create_collection(connection, "letters")
        wanted = WantedKey(name="k", scopes=frozenset({"read"}), collections=["letters"], tokens_per_day=100)
        key, made = make_key(connection, ANYONE, wanted)
    for ring in rings:
        caller = ring.find(key)
        assert caller is not None
        assert caller.collections == {"letters"}
        with ring.bill(caller) as bill:
            bill.usage = Usage(prompt_tokens=20, completion_tokens=10)
        ring.flush()
    with database.write() as connection:
        take_bytes(connection, made.id, 7, "documents")
    with database.read() as connection:
        assert spent_on(connection, now().date()) == {made.id: Spent(tokens=60, bytes=7)}
        row = find_key(connection, made.id)
        assert row is not None
        assert row.used_at is not None
        assert [one.id for one in visible(connection, ANYONE)] == [made.id]
    with database.write() as connection:
        delete_collection(connection, "letters")
        create_collection(connection, "letters")
        new, _ = rotate(connection, ANYONE, made.id, grace_s=60)
    for secret in (key, new):
        caller = rings[1].find(secret)
        assert caller is not None
        assert (caller.collections, caller.tokens_left) == (frozenset(), 40)
    with database.write() as connection:
        revoke(connection, ANYONE, made.id)
    assert [ring.find(secret) for ring in rings for secret in (key, new)] == [None] * 4
    database.close()
