"""Every change through HTTP or the command line is written down, and ``GET /v1/audit`` and ``audit`` show it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from typer.testing import CliRunner

from memory_graph.store.audit import document_target
from memory_graph.store.probing import every_value
from memory_graph.tables import phrases
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import Caller, get_caller
from service.app import create_app
from service.cli import app as cli
from service.services import Services
from service.settings import Settings
from tests.unit.service.test_api import assert_problem, make_learner

KEY = "sk-canary-key"
DOCUMENT = {"id": "zorblax", "title": "T", "text": "Maren Quill built the harbour."}
runner = CliRunner()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(
        Settings(data_dir=tmp_path, admin_key=KEY),  # type: ignore[arg-type]
        embedder=HashEmbedder(),
        generator=ScriptedGenerator([]),
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        yield client


def parts_of(client: TestClient) -> Services:
    parts: Services = client.app.state.services  # type: ignore[attr-defined]
    return parts


def learn(client: TestClient, tokenizer_file: Path, *documents: dict[str, Any]) -> str:
    job_id = str(client.post("/v1/collections/default/documents", json={"documents": documents}).json()["job_id"])
    with make_learner(parts_of(client), tokenizer_file).open(job_id) as learn_next:
        while learn_next():
            pass
    return job_id


def entries(client: TestClient, **which: Any) -> list[dict[str, Any]]:
    response = client.get("/v1/audit", params=which)
    assert response.status_code == 200, response.text
    return list(response.json()["entries"])


def test_what_is_changed_is_written_down_with_who_did_it(client: TestClient, tokenizer_file: Path) -> None:
    client.post("/v1/collections", json={"name": "letters", "description": "words that stay out"})
    client.delete("/v1/collections/letters")
    job_id = learn(client, tokenizer_file, DOCUMENT, {**DOCUMENT, "id": "two"})
    path = "/v1/collections/default"
    client.post(f"{path}/files", files=[("files", ("a.txt", b"Ivo Brandt."))])
    client.delete(f"{path}/documents/zorblax?dry_run=true")
    client.delete(f"{path}/documents/zorblax")
    client.post(f"{path}/forget", json={"all": True, "dry_run": True})
    client.put(f"{path}/retention/old", json={"max_age_days": 9})
    client.post(f"{path}/retention/old/run")
    client.delete(f"{path}/retention/old")
    told = [(one["action"], one["collection"], one["target"], one["outcome"]) for one in reversed(entries(client))]
    upload = told.pop(3)
    assert (upload[0], upload[2].startswith("job:")) == ("documents.submit", True)
    assert told == [
        ("collection.create", "letters", "", "done"),
        ("collection.delete", "letters", "", "done"),
        ("documents.submit", "default", f"job:{job_id}", "done"),
        ("documents.forget", "default", document_target("default", "zorblax"), "done"),
        ("retention.put", "default", "old", "done"),
        ("retention.run", "default", "old", "done"),
        ("retention.delete", "default", "old", "done"),
    ]
    assert {(one["actor_id"], one["actor_name"]) for one in entries(client)} == {("first", "SHARPWAVE_ADMIN_KEY")}
    (forgotten,) = entries(client, collection="default", document_id="zorblax")
    assert (forgotten["detail"]["documents"], forgotten["detail"]["passages"]) == (1, 1)
    (submitted, _) = entries(client, action="documents.submit")[::-1]
    assert submitted["detail"] == {"items": 2}


def test_a_refusal_is_written_down_with_its_code(client: TestClient) -> None:
    assert client.post("/v1/collections", json={"name": "default"}).status_code == 409
    assert client.delete("/v1/collections/Not a name, at all").status_code == 404
    assert client.delete("/v1/collections/default/documents/nobody").status_code == 404
    assert client.delete("/v1/collections/default/notes/99").status_code == 404
    assert [(one["action"], one["collection"], one["outcome"]) for one in entries(client)] == [
        ("note.forget", "default", "not_found"),
        ("documents.forget", "default", "not_found"),
        ("collection.delete", None, "not_found"),
        ("collection.create", "default", "conflict"),
    ]


def test_nothing_of_what_was_learned_or_of_the_key_is_in_the_log(client: TestClient, tokenizer_file: Path) -> None:
    learn(client, tokenizer_file, {**DOCUMENT, "source": "vantongeren"})
    client.post("/v1/collections/default/forget", json={"source": "vantongeren"})
    client.delete("/v1/collections/default/documents/zorblax")
    assert len(entries(client)) == 3
    with parts_of(client).database.read() as connection:
        log = b"\n".join(data for table, data in every_value(connection) if table == "audit")
    assert b"documents.forget" in log
    for secret in (b"zorblax", b"vantongeren", b"Maren", KEY.encode()):
        assert secret not in log


def test_pages_follow_each_other_without_gap_or_double(client: TestClient) -> None:
    for number in range(5):
        client.post("/v1/collections", json={"name": f"c{number}"})
    seen, cursor = [], None
    while True:
        body = client.get("/v1/audit", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [one["collection"] for one in body["entries"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert seen == ["c4", "c3", "c2", "c1", "c0"]
    for wrong in ("x", "-1", "9" * 30, "²", "3"):
        assert_problem(client.get("/v1/audit", params={"cursor": wrong}), 422, "invalid_input", "cursor")
    assert_problem(client.get("/v1/audit?document_id=a"), 422, "invalid_input", "collection")


def test_a_key_bound_to_collections_sees_theirs_alone(client: TestClient) -> None:
    for name in ("mine", "yours"):
        client.post("/v1/collections", json={"name": name})
    bound = Caller(id="k2", name="bound", scopes=frozenset({"admin"}), collections=frozenset({"mine"}))
    client.app.dependency_overrides[get_caller] = lambda: bound  # type: ignore[attr-defined]
    assert [one["collection"] for one in entries(client)] == ["mine"]
    assert_problem(client.get("/v1/audit?collection=yours"), 404, "not_found")
    reader = Caller(id="k3", name="reader", scopes=frozenset({"read", "write"}))
    client.app.dependency_overrides[get_caller] = lambda: reader  # type: ignore[attr-defined]
    assert_problem(client.get("/v1/audit"), 403, "forbidden")


def test_the_command_line_writes_down_and_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "maren")
    monkeypatch.setenv("COLUMNS", "200")
    assert "Nothing was changed" in runner.invoke(cli, ["audit"]).output
    assert runner.invoke(cli, ["collections", "create", "letters"]).exit_code == 0
    assert runner.invoke(cli, ["retention", "put", "old", "-c", "letters", "--max-age-days", "9"]).exit_code == 0
    assert runner.invoke(cli, ["forget", "nobody", "-c", "letters", "--yes"]).exit_code != 0
    assert runner.invoke(cli, ["collections", "delete", "letters", "--yes"]).exit_code == 0
    body = json.loads(runner.invoke(cli, ["audit", "--json", "--limit", "3"]).output)
    assert [(one["actor_id"], one["actor_name"], one["action"], one["outcome"]) for one in body["entries"]] == [
        ("cli", "maren", "collection.delete", "done"),
        ("cli", "maren", "documents.forget", "not_found"),
        ("cli", "maren", "retention.put", "done"),
    ]
    older = json.loads(runner.invoke(cli, ["audit", "--json", "--before", body["next_cursor"]]).output)
    assert [one["action"] for one in older["entries"]] == ["collection.create"]
    shown = runner.invoke(cli, ["audit", "-c", "letters", "--document", "nobody"]).output
    assert "documents.forget" in shown
    assert "retention.put" not in shown


def actions(client: TestClient) -> list[tuple[Any, ...]]:
    return [
        (one["action"], one["collection"], one["target"], one["outcome"]) for one in entries(client, limit=1000)[::-1]
    ]


def test_keys_are_written_down_without_their_secrets(client: TestClient) -> None:
    made = client.post("/v1/keys", json={"name": "robot", "scopes": ["read"], "collections": ["default"]}).json()
    other = client.post("/v1/keys", json={"name": "wide", "scopes": ["read"]}).json()
    renewed = client.post(f"/v1/keys/{made['id']}/rotate", json={"grace_s": 60}).json()
    assert client.delete(f"/v1/keys/{made['id']}").status_code == 204
    assert client.delete(f"/v1/keys/{renewed['key']}").status_code == 404
    assert client.post("/v1/keys", json={"name": "x", "scopes": ["read"], "collections": ["no"]}).status_code == 404
    assert actions(client) == [
        ("key.create", "default", f"key:{made['id']}", "done"),
        ("key.create", None, f"key:{other['id']}", "done"),
        ("key.rotate", "default", f"key:{made['id']}", "done"),
        ("key.revoke", "default", f"key:{made['id']}", "done"),
        ("key.revoke", None, "key", "not_found"),
        ("key.create", None, "", "not_found"),
    ]
    told = entries(client, action="key.rotate")[0]["detail"]
    assert told == {"grace_s": 60, "name": "robot", "scopes": ["read"], "collections": ["default"]}
    with parts_of(client).database.read() as connection:
        log = b"\n".join(data for table, data in every_value(connection) if table == "audit")
    assert b"robot" in log
    for key in (made["key"], other["key"], renewed["key"]):
        assert key.rpartition("_")[2].encode() not in log


def test_corrections_are_written_down_without_their_words(client: TestClient, tokenizer_file: Path) -> None:
    path = "/v1/collections/default/corrections"
    learn(client, tokenizer_file, DOCUMENT)
    with parts_of(client).database.read() as connection:
        key = connection.scalars(select(phrases.c.key)).first()
    made = client.post(path, json={"kind": "merge", "names": [key], "into": "Zorblina", "reason": "vantongeren"})
    assert made.status_code == 201, made.text
    assert client.delete(f"{path}/{made.json()['id']}").status_code == 200
    assert client.delete(f"{path}/{made.json()['id']}").status_code == 409
    target = f"correction:{made.json()['id']}"
    assert actions(client)[1:] == [
        ("correction.make", "default", target, "done"),
        ("correction.undo", "default", target, "done"),
        ("correction.undo", "default", target, "conflict"),
    ]
    (entry,) = entries(client, action="correction.make")
    assert entry["detail"] == {"kind": "merge", "version": 2, "passages": 1}
    with parts_of(client).database.read() as connection:
        log = b"\n".join(data for table, data in every_value(connection) if table == "audit")
    assert b"Zorblina" not in log
    assert b"vantongeren" not in log


def test_changes_of_jobs_are_written_down(client: TestClient) -> None:
    body = client.post("/v1/collections/default/documents", json={"documents": [DOCUMENT]}).json()
    job = f"/v1/jobs/{body['job_id']}"
    told = [client.post(f"{job}/{verb}").status_code for verb in ("resume", "retry", "cancel", "cancel")]
    told.append(client.delete(job).status_code)
    assert told == [409, 409, 200, 409, 204]
    target = f"job:{body['job_id']}"
    assert actions(client)[1:] == [
        ("job.resume", "default", target, "conflict"),
        ("job.retry", "default", target, "conflict"),
        ("job.cancel", "default", target, "done"),
        ("job.cancel", "default", target, "conflict"),
        ("job.remove", "default", target, "done"),
    ]


def test_an_export_is_written_down(client: TestClient) -> None:
    assert client.get("/v1/collections/default/export").status_code == 200
    assert client.get("/v1/collections/nobodys/export").status_code == 404
    assert actions(client) == [
        ("collection.export", "default", "", "done"),
        ("collection.export", "nobodys", "", "not_found"),
    ]


def test_the_command_line_writes_down_keys_jobs_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_DATA_DIR", str(tmp_path / "data"))
    made = json.loads(runner.invoke(cli, ["keys", "create", "--json"]).output)
    assert runner.invoke(cli, ["keys", "revoke", made["id"]]).exit_code == 0
    assert runner.invoke(cli, ["collections", "create", "letters"]).exit_code == 0
    job_id = "00000000-0000-4000-8000-000000000000"
    file = str(tmp_path / "letters.jsonl")
    assert runner.invoke(cli, ["export", "letters", "--out", file]).exit_code == 0
    assert runner.invoke(cli, ["import", file, "-c", "again"]).exit_code == 0
    for refused in (["jobs", "cancel", job_id], ["corrections", "undo", "7", "-c", "letters"], ["import", "nowhere"]):
        assert runner.invoke(cli, refused).exit_code != 0
    body = json.loads(runner.invoke(cli, ["audit", "--json"]).output)
    assert [(one["action"], one["collection"], one["target"], one["outcome"]) for one in body["entries"][::-1]] == [
        ("key.create", None, f"key:{made['id']}", "done"),
        ("key.revoke", None, f"key:{made['id']}", "done"),
        ("collection.create", "letters", "", "done"),
        ("collection.export", "letters", "", "done"),
        ("collection.import", "again", "", "done"),
        ("job.cancel", None, f"job:{job_id}", "not_found"),
        ("correction.undo", "letters", "correction:7", "not_found"),
        ("collection.import", None, "", "invalid_input"),
    ]
