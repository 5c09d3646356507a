"""Every change through HTTP or the command line is written down, and ``GET /v1/audit`` and ``audit`` show it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from memory_graph.store.audit import document_target
from memory_graph.store.probing import every_value
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
    for wrong in ("x", "-1", "9" * 30, "²"):
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
