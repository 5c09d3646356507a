"""Keys: made, shown once, bound, limited, rotated, revoked; over HTTP, in the store, and in two processes' rings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from ingest.jobs import document_items
from memory_graph.database import Database
from memory_graph.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaSpent, StoreBusy
from memory_graph.store.collections import create_collection, delete_collection
from memory_graph.store.jobs import list_jobs
from memory_graph.store.keys import find_key, has_keys
from memory_graph.store.rows import now
from memory_graph.store.spending import Spent, check_bytes, spent_by, spent_on, take_bytes
from memory_graph.tables import key_collections, keys
from memory_graph.types import Document, Usage
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service import key_ring
from service.access import ANYONE, FIRST, Caller
from service.app import create_app
from service.key_ring import ABANDONED_TOKENS, KeyRing
from service.keys import WantedKey, make_key, revoke, rotate, split_key, visible
from service.settings import Settings
from service.submitting import submit

READER = WantedKey(name="reader", scopes=frozenset({"read"}))
FORM = re.compile(r"sw_[0-9a-f]{16}_[0-9a-f]{64}")


def make(database: Database, wanted: WantedKey = READER, caller: Caller = ANYONE) -> str:
    with database.write() as connection:
        return make_key(connection, caller, wanted)[0]


def new_collections(database: Database, *names: str) -> None:
    with database.write() as connection:
        for name in names:
            create_collection(connection, name)


def find(database: Database, key: str) -> Caller | None:
    return KeyRing(database, "").find(key)


def found(database: Database, key: str) -> Caller:
    caller = find(database, key)
    assert caller is not None
    return caller


def test_a_key_opens_with_its_own_secret_alone(database: Database) -> None:
    key, other = make(database), make(database)
    key_id, secret = split_key(key)
    assert FORM.fullmatch(key)
    assert found(database, key).id == key_id
    for wrong in ("", "sw_", key[:-1], key + "0", f"sw_{key_id}_{split_key(other)[1]}", f"sw_{'0' * 16}_{secret}", "ü"):
        assert find(database, wrong) is None


def test_the_secret_is_not_in_the_database(database: Database) -> None:
    secret = split_key(make(database))[1]
    with database.read() as connection:
        rows = str(connection.execute(select(keys)).mappings().all())
    assert secret not in rows


def test_an_unknown_id_takes_the_statements_of_a_wrong_secret(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy import event

    key = make(database)
    ring, done = KeyRing(database, ""), list[str]()
    event.listen(database.engine, "before_cursor_execute", lambda *args: done.append(args[2]))
    compared: list[int] = []
    compare = key_ring.hmac.compare_digest
    monkeypatch.setattr(key_ring.hmac, "compare_digest", lambda a, b: (compared.append(len(b)), compare(a, b))[1])

    def work(given: str) -> tuple[list[str], list[int]]:
        done.clear(), compared.clear()
        assert ring.find(given) is None
        return [*done], [*compared]

    wrong = work(f"sw_{split_key(key)[0]}_{'0' * 64}")
    assert work(f"sw_{'0' * 16}_{'0' * 64}") == wrong
    assert wrong[0]
    assert len(wrong[1]) == 2


def test_what_another_process_does_holds_at_once(database: Database) -> None:
    here, there = KeyRing(database, ""), database
    assert not here.is_closed()
    key = make(there)
    assert here.is_closed()
    assert here.find(key) is not None
    with there.write() as connection:
        revoke(connection, ANYONE, split_key(key)[0])
    assert here.find(key) is None
    assert here.is_closed()  # a revoked key does not open the service again
    with database.read() as connection:
        assert has_keys(connection)


def test_an_expired_key_is_refused(database: Database) -> None:
    key = make(database, replace(READER, expires_at=now() + timedelta(days=1)))
    assert found(database, key).expires_at is not None
    with database.write() as connection:
        connection.execute(keys.update().values(expires_at=now() - timedelta(microseconds=1)))
    assert find(database, key) is None


def test_a_rotated_key_keeps_its_old_secret_for_the_grace_alone(database: Database) -> None:
    old = make(database)
    key_id = split_key(old)[0]
    with database.write() as connection:
        new, _ = rotate(connection, ANYONE, key_id, grace_s=60)
    assert (found(database, old).id, found(database, new).id) == (key_id, key_id)
    with database.write() as connection:
        connection.execute(keys.update().values(old_until=now() - timedelta(microseconds=1)))
    assert find(database, old) is None
    with database.write() as connection:
        newest, row = rotate(connection, ANYONE, key_id)
    assert (row.old_hash, find(database, new)) == (None, None)
    with database.write() as connection:
        rotate(connection, ANYONE, key_id, grace_s=60)
        revoke(connection, ANYONE, key_id)
    assert find(database, newest) is None  # revoking ends the grace
    with pytest.raises(Conflict, match="revoked"), database.write() as connection:
        rotate(connection, ANYONE, key_id)


def test_a_binding_goes_with_its_collection_and_never_widens(database: Database) -> None:
    new_collections(database, "a", "b")
    key = make(database, replace(READER, collections=["b", "a", "b"]))
    assert found(database, key).collections == {"a", "b"}
    with database.write() as connection:
        delete_collection(connection, "a")
        create_collection(connection, "a")
    assert found(database, key).collections == {"b"}
    with database.write() as connection:
        delete_collection(connection, "b")
    assert found(database, key).collections == frozenset()
    with database.read() as connection:
        assert connection.execute(select(key_collections)).all() == []
    assert not found(database, key).sees("a")


def test_a_bound_admin_manages_keys_within_its_binding_alone(database: Database) -> None:
    new_collections(database, "a", "b")
    admin = WantedKey(name="admin", scopes=frozenset({"admin"}))
    caller = found(database, make(database, replace(admin, collections=["a"])))
    inside = split_key(make(database, replace(READER, collections=["a"]), caller))[0]
    outside = [split_key(make(database, replace(READER, collections=given)))[0] for given in (["b"], ["a", "b"], None)]
    with pytest.raises(NotFound, match="collection 'b' does not exist"):
        make(database, replace(READER, collections=["a", "b"]), caller)
    with pytest.raises(NotFound, match="collection 'none' does not exist"):
        make(database, replace(READER, collections=["none"]), caller)
    with pytest.raises(Forbidden, match="name those of the new one"):
        make(database, READER, caller)
    with database.write() as connection:
        assert {one.id for one in visible(connection, caller)} == {inside, caller.id}
        for key_id in (*outside, "f" * 16, "first"):
            for act in (rotate, revoke):
                with pytest.raises(NotFound, match=f"key '{key_id}' does not exist"):
                    act(connection, caller, key_id)
        rotate(connection, caller, inside)
        revoke(connection, caller, inside)


def test_a_limited_admin_makes_and_rotates_nothing_wider(database: Database) -> None:
    ends = now() + timedelta(days=9)
    limits = {"expires_at": ends, "requests_per_minute": 10, "tokens_per_day": 1_000, "bytes_per_day": 500}
    admin = WantedKey(name="admin", scopes=frozenset({"admin"}), **limits)  # type: ignore[arg-type]
    caller = found(database, make(database, admin))
    for wider in (
        {"expires_at": ends + timedelta(days=1)},
        {"requests_per_minute": 11},
        {"tokens_per_day": 1_001},
        {"bytes_per_day": 501},
    ):
        with pytest.raises(Forbidden, match=next(iter(wider))):
            make(database, replace(READER, **wider), caller)  # type: ignore[arg-type]
    unlimited = split_key(make(database))[0]
    with pytest.raises(Forbidden), database.write() as connection:
        rotate(connection, caller, unlimited)
    inherits = found(database, make(database, READER, caller))
    assert (inherits.expires_at, inherits.requests_per_minute, inherits.tokens_per_day) == (ends, 10, 1_000)
    assert (inherits.bytes_per_day, inherits.bytes_left) == (500, 500)


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (replace(READER, collections=[]), "collections"),
        (replace(READER, expires_at=datetime(2020, 1, 1, tzinfo=UTC)), "expires_at"),
    ],
)
def test_a_key_that_opens_nothing_is_refused(database: Database, wanted: WantedKey, field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        make(database, wanted)
    assert raised.value.field == field


def test_uses_and_spending_are_written_in_batches(database: Database) -> None:
    key = make(database, replace(READER, tokens_per_day=100))
    one, other = KeyRing(database, ""), KeyRing(database, "")
    caller = one.find(key)
    assert caller is not None
    for ring, tokens in ((one, 30), (one, 30), (other, 30)):
        with ring.bill(caller) as bill:
            bill.usage = Usage(prompt_tokens=tokens - 5, completion_tokens=5)
    with database.read() as connection:
        assert find_key(connection, caller.id).used_at is None  # type: ignore[union-attr]
        assert spent_by(connection, caller.id, now().date()) == Spent()
    assert one.find(key).tokens_left == 40  # type: ignore[union-attr]
    one.flush(), other.flush(), one.flush()
    with database.read() as connection:
        assert find_key(connection, caller.id).used_at is not None  # type: ignore[union-attr]
        assert spent_on(connection, now().date()) == {caller.id: Spent(tokens=90)}
    assert other.find(key).tokens_left == 10  # type: ignore[union-attr]


def test_what_is_written_while_a_key_is_looked_up_is_not_overlooked(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, ring = make(database, replace(READER, tokens_per_day=100)), KeyRing(database, "")
    caller = ring.find(key)
    assert caller is not None
    with ring.bill(caller) as bill:
        bill.usage = Usage(prompt_tokens=30)

    def read_and_flush(*given: Any) -> Spent:
        before = spent_by(*given)
        ring.flush()
        return before

    monkeypatch.setattr(key_ring, "spent_by", read_and_flush)
    assert ring.find(key).tokens_left == 70  # type: ignore[union-attr]


def test_an_answer_whose_client_left_has_a_price_and_one_that_failed_has_none(database: Database) -> None:
    ring = KeyRing(database, "")
    caller = ring.find(make(database))
    assert caller is not None
    with ring.bill(caller):
        pass
    with pytest.raises(ZeroDivisionError), ring.bill(caller):
        raise ZeroDivisionError
    for free in (ANYONE, FIRST):
        with ring.bill(free):
            pass
    ring.flush()
    with database.read() as connection:
        assert spent_on(connection, now().date()) == {caller.id: Spent(tokens=ABANDONED_TOKENS)}


def test_what_cannot_be_written_waits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(database, "")
    caller = ring.find(make(database))
    assert caller is not None
    with ring.bill(caller):
        pass

    def refuse(*_arguments: object) -> None:
        raise StoreBusy("held")

    with monkeypatch.context() as patch:
        patch.setattr(key_ring, "add_spending", refuse)
        ring.flush()
    ring.flush()
    with database.read() as connection:
        assert spent_by(connection, caller.id, now().date()).tokens == ABANDONED_TOKENS


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TestClient]:
    answer = json.dumps({"answer": "Nobody", "passages": []})
    app = create_app(Settings(data_dir=tmp_path), embedder=HashEmbedder(), generator=ScriptedGenerator([answer] * 20))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def post_key(client: TestClient, key: str | None = None, **body: Any) -> httpx.Response:
    given = {"name": "k", "scopes": ["admin"]} | body
    return client.post("/v1/keys", json=given, headers=bearer(key) if key else None)


def test_the_first_key_ends_the_open_mode(service: TestClient) -> None:
    made = post_key(service)
    assert made.status_code == 201
    key = made.json()["key"]
    assert FORM.fullmatch(key)
    assert service.get("/v1/collections").status_code == 401
    assert service.get("/healthz").status_code == 200
    listed = service.get("/v1/keys", headers=bearer(key)).json()["keys"]
    assert [one["id"] for one in listed] == [made.json()["id"]]
    assert listed[0]["used_at"] is not None
    assert split_key(key)[1] not in json.dumps(listed)


def test_a_key_over_http_from_making_to_revoking(service: TestClient) -> None:
    admin = post_key(service).json()["key"]
    made = post_key(service, admin, scopes=["read"], collections=["default"], requests_per_minute=50).json()
    assert (made["collections"], made["scopes"], made["requests_per_minute"]) == (["default"], ["read"], 50)
    path = f"/v1/keys/{made['id']}"
    rotated = service.post(f"{path}/rotate", json={"grace_s": 60}, headers=bearer(admin)).json()
    for key in (made["key"], rotated["key"]):
        assert service.get("/v1/collections", headers=bearer(key)).status_code == 200
        assert service.get("/v1/keys", headers=bearer(key)).status_code == 403
    assert service.delete(path, headers=bearer(admin)).status_code == 204
    assert service.delete(path, headers=bearer(admin)).status_code == 204
    for key in (made["key"], rotated["key"]):
        assert service.get("/v1/collections", headers=bearer(key)).status_code == 401
    refused = service.post(f"{path}/rotate", headers=bearer(admin))
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"collections": []}, "collections"),
        ({"collections": ["No Name"]}, "collections.0"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_day": -1}, "tokens_per_day"),
        ({"bytes_per_day": 0}, "bytes_per_day"),
        ({"name": " "}, "name"),
        ({"scope": "read"}, "scope"),
    ],
)
def test_a_wrong_body_names_the_field_and_makes_nothing(service: TestClient, body: dict[str, Any], field: str) -> None:
    refused = post_key(service, **body)
    assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert service.get("/v1/keys").json() == {"keys": []}


def test_a_limit_of_requests_is_told_and_kept(service: TestClient) -> None:
    admin = post_key(service).json()["key"]
    key = post_key(service, admin, scopes=["read"], requests_per_minute=2).json()["key"]
    answers = [service.get("/v1/collections", headers=bearer(key)) for _ in range(3)]
    assert [one.status_code for one in answers] == [200, 200, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    assert re.fullmatch(r'"requests";r=1;t=(29|30)', answers[0].headers["RateLimit"])
    refused = answers[2]
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 30
    assert refused.headers["RateLimit"].startswith('"requests";r=0;')
    other = service.get("/v1/collections", headers=bearer(admin))
    assert (other.status_code, "RateLimit" in other.headers) == (200, False)


def test_a_quota_of_tokens_ends_answers_and_nothing_else(service: TestClient) -> None:
    admin = post_key(service).json()["key"]
    made = post_key(service, admin, scopes=["read"], tokens_per_day=1).json()
    parts, path = service.app.state.services, "/v1/collections/default"  # type: ignore[attr-defined]
    caller = parts.keys.find(made["key"])
    with parts.keys.bill(caller) as bill:
        bill.usage = Usage(prompt_tokens=1)
    refused = service.post(f"{path}/query", json={"question": "Who?"}, headers=bearer(made["key"]))
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_spent")
    assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    assert refused.headers["RateLimit-Policy"] == '"tokens";q=1;w=86400'
    assert refused.headers["RateLimit"].startswith('"tokens";r=0;t=')
    searched = service.post(f"{path}/search", json={"query": "Who?"}, headers=bearer(made["key"]))
    assert searched.status_code == 200


def test_bytes_are_counted_where_they_are_stored(database: Database) -> None:
    keys_made = [make(database, replace(READER, bytes_per_day=limit)) for limit in (10, None)]
    limited, free = (split_key(key)[0] for key in keys_made)
    with database.write() as connection:
        take_bytes(connection, limited, 6, "documents")
        take_bytes(connection, free, 10**9, "documents")
    for refuse in (take_bytes, check_bytes):
        for more in (5, 10):
            with pytest.raises(QuotaSpent, match="4 of 10 are left"), database.write() as connection:
                refuse(connection, limited, more, "documents")
    with pytest.raises(InvalidInput, match="more than this key may give in a day"), database.write() as connection:
        take_bytes(connection, limited, 11, "documents")
    with database.write() as connection:
        take_bytes(connection, limited, 0, "documents")
        take_bytes(connection, limited, 4, "documents")
    with pytest.raises(QuotaSpent, match="0 of 10 are left"), database.write() as connection:
        take_bytes(connection, limited, 0, "documents")  # as of an address, whose bytes are not known yet
    with database.read() as connection:
        assert spent_on(connection, now().date()) == {limited: Spent(bytes=10), free: Spent(bytes=10**9)}
    assert [found(database, key).bytes_left for key in keys_made] == [0, None]


def test_a_quota_of_bytes_is_told_and_kept(service: TestClient) -> None:
    admin = post_key(service).json()["key"]
    made = post_key(service, admin, scopes=["read", "write"], bytes_per_day=40).json()
    headers, path = bearer(made["key"]), "/v1/collections/default"

    def learn(text: str, **more: Any) -> httpx.Response:
        return service.post(f"{path}/documents", json={"documents": [{"text": text, **more}]}, headers=headers)

    taken = learn("x" * 20, title="title", metadata={"é": 1})  # 20, 5 and 9 bytes
    assert taken.status_code == 202
    answer = service.get("/v1/collections", headers=headers)
    assert answer.headers["RateLimit-Policy"] == '"bytes";q=40;w=86400'
    assert answer.headers["RateLimit"].startswith('"bytes";r=6;t=')
    given = {"headers": headers, "files": [("files", ("a.txt", b"1234567")), ("files", ("b.exe", b"not taken"))]}
    for refused in (learn("x" * 7), service.post(f"{path}/files", **given)):
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_spent")
        assert 1 <= int(refused.headers["Retry-After"]) <= 86_400
    too_large = learn("x" * 41)
    assert (too_large.status_code, too_large.json()["field"]) == (422, "documents")
    with service.app.state.services.database.read() as connection:  # type: ignore[attr-defined]
        assert len(list_jobs(connection)) == 1  # nothing is stored of what was refused
    given["files"][0] = ("files", ("a.txt", b"123456"))  # type: ignore[index]
    assert service.post(f"{path}/files", **given).status_code == 202
    (shown,) = [one for one in service.get("/v1/keys", headers=bearer(admin)).json()["keys"] if one["id"] == made["id"]]
    assert (shown["bytes_per_day"], shown["bytes_today"]) == (40, 40)


def test_a_key_without_tokens_submits_nothing_that_a_model_reads(service: TestClient) -> None:
    admin = post_key(service).json()["key"]
    made = post_key(service, admin, scopes=["write"], tokens_per_day=1).json()
    parts = service.app.state.services  # type: ignore[attr-defined]
    with parts.keys.bill(parts.keys.find(made["key"])) as bill:
        bill.usage = Usage(prompt_tokens=1)
    caller, items = parts.keys.find(made["key"]), document_items([Document(id="a", title="", text="The ferry.")])
    submit(parts, caller, "default", items)  # no model reads it
    modelled = replace(parts, settings=parts.settings.model_copy(update={"extractor": "llm"}))
    with pytest.raises(QuotaSpent):
        submit(modelled, caller, "default", items)


def test_who_has_no_row_of_keys_has_no_quota(service: TestClient) -> None:
    body = {"documents": [{"text": "The ferry leaves at nine."}]}
    assert service.post("/v1/collections/default/documents", json=body).status_code == 202
    with service.app.state.services.database.read() as connection:  # type: ignore[attr-defined]
        assert spent_on(connection, now().date()) == {}
