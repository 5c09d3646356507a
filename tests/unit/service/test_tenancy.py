"""What one tenant's keys tell of another tenant: nothing, on any route.

Every route of the app is in one table here, with the scopes that it needs. Each is asked by every kind of key for what
another tenant has and for what nobody has, and the two answers must be the same. A route that is not in the table
fails the test: classify it, and name its scopes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import insert, select

from memory_graph.database import Database
from memory_graph.store.correcting import NewCorrection, correct
from memory_graph.store.jobs import NewItem
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.purges import request_purge
from memory_graph.store.retention import Rule, put_rule
from memory_graph.store.rows import now
from memory_graph.tables import facts, metadata, notes, passages, phrases, queries
from memory_graph.tables import keys as keys_table
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import ANYONE, Scope
from service.app import create_app
from service.keys import WantedKey, make_key, revoke, split_key
from service.settings import Settings
from tests.unit.factories import commit_documents, learn_document, new_collection, new_job

OWN, OTHER = "tenant-own", "tenant-other"
SECRET = "Zebulon"  # stands in every text of the other tenant


@dataclass(frozen=True, kw_only=True)
class Ask:
    """How a route is asked; ``{…}`` in strings of the body stand for ids, as in the path."""

    scopes: tuple[Scope, ...]
    body: Any = None
    query: Mapping[str, str] | None = None
    files: bool = False
    unbound: bool = False  # not for keys that are bound
    endless: bool = False  # the response goes on until a job ends


LOOK, WRITE, FOLLOW, ADMIN = (
    Ask(scopes=("read",)),
    Ask(scopes=("write",)),
    Ask(scopes=("read", "write")),
    Ask(scopes=("admin",)),
)
PUBLIC = {"GET /healthz", "GET /readyz"}
HIDDEN = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/static-offline-docs", "/mcp"}  # test_mcp.py has the last
IN = "/v1/collections/{collection}"
ROUTES: dict[str, Ask] = {
    "GET /v1/collections": FOLLOW,
    "POST /v1/collections": Ask(scopes=("write",), body={"name": "{collection}"}, unbound=True),
    f"GET {IN}": FOLLOW,
    f"DELETE {IN}": ADMIN,
    f"POST {IN}/documents": Ask(scopes=("write",), body={"documents": [{"id": "{document_id}", "text": "new"}]}),
    f"POST {IN}/files": Ask(scopes=("write",), files=True),
    f"POST {IN}/urls": Ask(scopes=("write",), body={"urls": ["https://docs.example.org/"]}),
    f"GET {IN}/documents": LOOK,
    f"GET {IN}/documents/{{document_id}}": LOOK,
    f"DELETE {IN}/documents/{{document_id}}": WRITE,
    f"POST {IN}/forget": Ask(scopes=("write",), body={"all": True}),
    f"GET {IN}/retention": LOOK,
    f"PUT {IN}/retention/{{name}}": Ask(scopes=("admin",), body={"max_age_days": 1}),
    f"DELETE {IN}/retention/{{name}}": ADMIN,
    f"POST {IN}/retention/{{name}}/run": ADMIN,
    f"POST {IN}/search": Ask(scopes=("read",), body={"query": SECRET}),
    f"POST {IN}/query": Ask(scopes=("read",), body={"question": SECRET}),
    f"GET {IN}/notes": LOOK,
    f"DELETE {IN}/notes/{{note_id}}": WRITE,
    f"GET {IN}/passages": Ask(scopes=("read",), query={"document": "{document_id}"}),
    f"GET {IN}/passages/{{passage_id}}": LOOK,
    "GET /v1/purges": FOLLOW,
    "GET /v1/purges/{purge_id}": FOLLOW,
    "GET /v1/jobs": FOLLOW,
    "GET /v1/jobs/{job_id}": FOLLOW,
    "GET /v1/jobs/{job_id}/throughput": FOLLOW,
    "GET /v1/jobs/{job_id}/documents": LOOK,
    "GET /v1/jobs/{job_id}/events": Ask(scopes=("read", "write"), endless=True),
    "POST /v1/jobs/{job_id}/cancel": WRITE,
    "POST /v1/jobs/{job_id}/resume": WRITE,
    "POST /v1/jobs/{job_id}/retry": WRITE,
    "DELETE /v1/jobs/{job_id}": WRITE,
    "GET /v1/queries": LOOK,
    "GET /v1/queries/{query_id}": LOOK,
    "GET /v1/keys": ADMIN,
    "POST /v1/keys": Ask(scopes=("admin",), body={"name": "k", "scopes": ["read"], "collections": ["{collection}"]}),
    "POST /v1/keys/{key_id}/rotate": ADMIN,
    "DELETE /v1/keys/{key_id}": ADMIN,
    "POST /v1/queries/{query_id}/feedback": Ask(scopes=("read",), body={"rating": 1}),
    f"GET {IN}/export": LOOK,
    f"GET {IN}/phrases": LOOK,
    f"GET {IN}/phrases/{{phrase_id}}": LOOK,
    f"GET {IN}/facts": LOOK,
    f"GET {IN}/facts/{{fact_id}}": LOOK,
    f"GET {IN}/graph": Ask(scopes=("read",), query={"phrase": "{phrase_id}"}),
    f"GET {IN}/neighbourhood": Ask(scopes=("read",), query={"phrase": "{phrase_id}"}),
    f"GET {IN}/path": Ask(scopes=("read",), query={"from": "{phrase}", "to": "{phrase} Oster"}),
    f"GET {IN}/communities": LOOK,
    f"GET {IN}/stats": LOOK,
    f"POST {IN}/corrections": Ask(scopes=("write",), body={"kind": "merge", "names": ["Bram"], "into": "Bram Oster"}),
    f"POST {IN}/corrections/preview": Ask(
        scopes=("write",), body={"kind": "merge", "names": ["Bram"], "into": "Bram Oster"}
    ),
    f"GET {IN}/corrections": LOOK,
    f"DELETE {IN}/corrections/{{correction_id}}": WRITE,
    "GET /v1/audit": ADMIN,
    "GET /metrics": ADMIN,
    "GET /v1/overview": ADMIN,
    "GET /v1/overview/tokens": ADMIN,
    "GET /v1/installation": Ask(scopes=("admin",), unbound=True),
    "POST /v1/doctor": Ask(scopes=("admin",), query={"check": "python"}, unbound=True),
    "GET /v1/models": LOOK,
    "GET /v1/models/{model}": LOOK,
    "POST /v1/chat/completions": Ask(
        scopes=("read",), body={"model": "{model}", "messages": [{"role": "user", "content": SECRET}]}
    ),
}
UNKNOWN = {
    "collection": "tenant-none",
    "document_id": "no-document",
    "job_id": "5bd1b8f0-0000-4000-8000-000000000000",
    "query_id": "6bd1b8f0-0000-4000-8000-000000000000",
    "purge_id": "987654321",
    "passage_id": "987654322",
    "note_id": "987654323",
    "name": "no-rule",
    "key_id": "f" * 16,
    "phrase": "nobody at all",
    "phrase_id": "987654324",
    "fact_id": "987654325",
    "correction_id": "987654326",
    "model": "sharpwave/tenant-none",
}


@dataclass(kw_only=True)
class World:
    """Two tenants, their ids, and keys by kind."""

    client: TestClient
    database: Database
    own: dict[str, str]
    other: dict[str, str]
    keys: dict[str, str | None]

    def ask(self, route: str, ids: Mapping[str, str], key: str | None) -> httpx.Response:
        method, path = route.split(" ")
        how = ROUTES[route]
        return self.client.request(
            method,
            _fill(path, ids),
            json=_fill(how.body, ids),
            params=_fill(how.query, ids),
            files=[("files", ("a.txt", b"text"))] if how.files else None,
            headers={"X-Request-Id": "same"} | ({} if key is None else {"Authorization": f"Bearer {key}"}),
        )


def _fill(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _fill(one, ids) for name, one in value.items()}
    if isinstance(value, list):
        return [_fill(one, ids) for one in value]
    return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], value) if isinstance(value, str) else value


def _seen(response: httpx.Response, ids: Mapping[str, str]) -> tuple[int, str, dict[str, str]]:
    """Return what a client sees, without the ids that it sent itself, and without when it was seen."""
    text = re.sub(r'"used_at":("[^"]*"|null)', "", response.text)
    for name, value in ids.items():
        text = text.replace(f"'{value}'", f"<{name}>")
    others = ("content-length", "ratelimit", "etag")
    headers = {name: value for name, value in response.headers.items() if name not in others}
    return response.status_code, text, headers


def _settle(database: Database, name: str, secret: str) -> dict[str, str]:
    """Make a tenant with a row of everything; return the ids."""
    collection = new_collection(database, name)
    commit_documents(database, collection.id, learn_document(f"{name}-document", f"{secret} likes Bram.", title=secret))
    new_job(database, [NewItem(kind="document", name=secret, size=1)], job_id=f"{name}-job", collection=name)
    query_id = f"{name}-query"
    with database.write() as connection:
        passage_id = connection.scalar(select(passages.c.id).where(passages.c.collection_id == collection.id))
        assert passage_id is not None
        written = {"collection_id": collection.id, "version": 1, "created_at": now(), "question": secret}
        answered = {"id": query_id, "answer": secret, "found": True, "milliseconds": 1, "trace": {}}
        connection.execute(insert(queries).values(answered | written))
        add_notes(connection, [NewNote(query_id=query_id, text=secret, passage_ids=[passage_id], **written)])
        phrase_id = connection.scalar(select(phrases.c.id).where(phrases.c.collection_id == collection.id))
        what = {"names": ["Bram"], "into": f"{secret} Oster"}
        correction = correct(
            connection, collection.id, NewCorrection(kind="merge", what=what, reason=secret, made_by=secret)
        )
        fact_id = connection.scalar(select(facts.c.id).where(facts.c.collection_id == collection.id))
        note_id = connection.scalar(select(notes.c.id).where(notes.c.collection_id == collection.id))
        purge_id = request_purge(connection, collection.id, 1)
        put_rule(connection, collection.id, Rule(name=f"{name}-rule", max_age_days=9_000))
        wanted = WantedKey(name=secret, scopes=frozenset({"read"}), collections=[name])
        key = make_key(connection, ANYONE, wanted)[1]
    return {
        "collection": name,
        "document_id": f"{name}-document",
        "job_id": f"{name}-job",
        "query_id": query_id,
        "purge_id": str(purge_id),
        "passage_id": str(passage_id),
        "note_id": str(note_id),
        "name": f"{name}-rule",
        "key_id": key.id,
        "phrase": secret,
        "phrase_id": str(phrase_id),
        "fact_id": str(fact_id),
        "correction_id": str(correction.id),
        "model": f"sharpwave/{name}",
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("tenants"), admin_key=SecretStr("root"), url_hosts="docs.example.org"
    )
    app = create_app(settings, embedder=HashEmbedder(16), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        database = app.state.services.database
        own, other = _settle(database, OWN, "Ada"), _settle(database, OTHER, SECRET)

        def make(scope: Scope, *collections: str) -> str:
            wanted = WantedKey(name=scope, scopes=frozenset({scope}), collections=collections or None)
            with database.write() as connection:
                return make_key(connection, ANYONE, wanted)[0]

        scopes: tuple[Scope, ...] = ("read", "write", "admin")
        keys: dict[str, str | None] = {"none": None, "wrong": f"sw_{own['key_id']}_{'0' * 64}", "unknown": "nothing"}
        keys |= {f"{scope} bound": make(scope, OWN) for scope in scopes}
        keys |= {f"{scope} unbound": make(scope) for scope in scopes}
        keys["revoked"], keys["expired"] = revoked, expired = make("admin"), make("admin")
        with database.write() as connection:
            revoke(connection, ANYONE, split_key(revoked)[0])
            past = now() - timedelta(seconds=1)
            connection.execute(
                keys_table.update().where(keys_table.c.id == split_key(expired)[0]).values(expires_at=past)
            )
        yield World(client=client, database=database, own=own, other=other, keys=keys)


def _rows(database: Database) -> dict[str, list[Any]]:
    with database.read() as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in metadata.sorted_tables
            # The moments of last use, and the refusals that are written down.
            if table.name not in ("keys", "key_spending", "workers", "audit")
        }


def test_every_route_is_in_the_table(world: World) -> None:
    paths = world.client.get("/openapi.json").json()["paths"]
    routes = {f"{method.upper()} {path.replace(':path', '')}" for path, methods in paths.items() for method in methods}
    assert routes == set(ROUTES) | PUBLIC
    app: Any = world.client.app
    mounted = {route.path for route in app.routes if getattr(route, "path", None)}
    assert mounted - set(paths) - {path for path in mounted if path.endswith(":path}")} == HIDDEN


@pytest.mark.parametrize("route", ROUTES)
def test_another_tenant_is_as_nobody(world: World, route: str) -> None:
    before, how = _rows(world.database), ROUTES[route]
    for kind, key in world.keys.items():
        holds = kind.startswith("admin") or any(kind.startswith(scope) for scope in how.scopes)
        if kind.endswith("unbound") and holds:
            continue  # it may
        answer = world.ask(route, world.other, key)
        said = _seen(answer, world.other)
        assert said == _seen(world.ask(route, UNKNOWN, key), UNKNOWN), kind
        leaked = [one for one in (SECRET, OTHER, world.other["key_id"]) if one in said[1]]
        assert leaked == [], kind
        if not kind.endswith("bound"):
            assert said[0] == 401, kind
        elif not holds or how.unbound:
            assert said[0] == 403, kind
        elif "{" in route:
            assert said[0] == 404, kind
    assert _rows(world.database) == before


@pytest.mark.parametrize("route", [route for route in ROUTES if not ROUTES[route].unbound])
def test_a_scope_that_is_lacking_is_told_of_ones_own(world: World, route: str) -> None:
    before, how = _rows(world.database), ROUTES[route]
    for kind, key in world.keys.items():
        scope = kind.split(" ")[0]
        if scope in ("read", "write") and scope not in how.scopes:
            assert world.ask(route, world.own, key).status_code == 403, kind
        elif kind.endswith("bound") and route.startswith("GET") and not how.endless:
            answer = world.ask(route, world.own, key)
            assert answer.status_code == 200, (kind, answer.text)
            if not kind.endswith("unbound"):
                assert SECRET not in answer.text, kind
                assert OTHER not in answer.text, kind
    assert _rows(world.database) == before


def test_listings_are_full_pages_after_the_filter(world: World) -> None:
    for path, list_name in (("jobs", "jobs"), ("queries", "queries"), ("purges", "purges")):
        answer = world.client.get(
            f"/v1/{path}", params={"limit": 1}, headers={"Authorization": f"Bearer {world.keys['read bound']}"}
        )
        # The other tenant's are newer; they must not take this one's place on the page.
        assert [one["collection"] for one in answer.json()[list_name]] == [OWN], path


def test_a_deleted_collection_s_purge_is_for_unbound_keys(world: World) -> None:
    with world.database.write() as connection:
        gone = request_purge(connection, 10**6, 1)
    path = f"/v1/purges/{gone}"
    for kind, status in (("read bound", 404), ("read unbound", 200)):
        assert world.client.get(path, headers={"Authorization": f"Bearer {world.keys[kind]}"}).status_code == status
