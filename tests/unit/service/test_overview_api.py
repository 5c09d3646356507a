"""``GET /v1/overview``: what it tells of collections and of the last hour, and to whom."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from memory_graph.database import Database
from memory_graph.store.collections import Counts, list_collections
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service import tally as tally_module
from service.app import create_app
from service.settings import Settings
from service.tally import SHARE, Tally
from service.usage import DiskUse, read_processes
from tests.unit.factories import commit_documents, find_collection, learn_document, new_collection
from tests.unit.service.test_api import BUILDER, assert_problem

KEY = "sk-overview"
GIB = 2**30


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(
        Settings(data_dir=tmp_path, admin_key=KEY),  # type: ignore[arg-type]
        embedder=HashEmbedder(16),
        generator=ScriptedGenerator([BUILDER]),
    )
    with TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


def database_of(client: TestClient) -> Database:
    database: Database = client.app.state.services.database  # type: ignore[attr-defined]
    return database


def look(client: TestClient, headers: dict[str, str] | None = None, **query: str) -> dict[str, Any]:
    """Ask until everything was counted, which takes place beside the requests."""
    deadline = time.monotonic() + 30
    while True:
        response = client.get("/v1/overview", params=query, headers=headers)
        assert response.status_code == 200, response.text
        seen = dict(response.json())
        if all(one["counted_version"] == one["version"] for one in seen["collections"]) and seen["growth"]:
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.02)


def test_collections_are_counted_with_their_growth(client: TestClient) -> None:
    database = database_of(client)
    commit_documents(database, find_collection(database, "default").id, learn_document("a", "Ada likes Bram.", "Two."))
    other = new_collection(database, "other")
    commit_documents(database, other.id, learn_document("b", "Cleo likes Dov."))
    seen = look(client)
    held = {one["name"]: one for one in seen["collections"]}
    assert [held["default"][name] for name in ("documents", "passages", "phrases", "facts")] == [1, 2, 3, 1]
    assert (held["other"]["documents"], held["other"]["version"], held["other"]["counted_version"]) == (1, 1, 1)
    # The view may have caught up meanwhile.
    assert held["default"]["view_lag"] == 1 - held["default"]["view_version"]
    assert (held["other"]["view_lag"], held["other"]["view_version"]) == (None, None)  # nobody searched it yet
    assert sum(one["documents"] for one in seen["growth"]["steps"]) == 2
    assert sum(one["passages"] for one in seen["growth"]["steps"]) == 3
    alone = look(client, growth_of="other")["growth"]
    assert [(one["documents"], one["passages"]) for one in alone["steps"]] == [(1, 1)]
    assert_problem(client.get("/v1/overview", params={"growth_of": "nowhere"}), 404, "not_found")


def test_the_last_hour_is_told_by_the_minute_and_by_stage(client: TestClient) -> None:
    database = database_of(client)
    commit_documents(database, find_collection(database, "default").id, learn_document("a", "Ada likes Bram."))
    client.post("/v1/collections/default/search", json={"query": "Ada", "min_version": 1})
    client.post("/v1/collections/default/query", json={"question": "Who likes Bram?"})
    client.post("/v1/collections/default/query", json={"question": "Who likes Bram?"})  # the script has ended
    client.get("/v1/collections/nowhere")
    hour = look(client)["installation"]["hour"]
    assert len(hour["minutes"]) == 60
    assert sum(one["searches"] for one in hour["minutes"]) == 3
    assert sum(one["answers"] for one in hour["minutes"]) == 2
    assert any(one["search_p95_ms"] >= one["search_p50_ms"] > 0 for one in hour["minutes"] if one["searches"])
    assert hour["search"]["count"] == 3
    stages = {one["name"]: one["count"] for one in hour["stages"]}
    assert (stages["walk"], stages["answer"]) == (3, 2)
    assert {"part": "answer", "reason": "generator_unavailable", "count": 1} in hour["fallbacks"]
    assert hour["refusals"] == [{"status": 404, "count": 1}]
    generator = hour["generator"]
    assert generator["calls"] >= 2
    assert generator["failed"] == generator["calls"] - 1
    assert generator["completion_tokens"] > 0
    assert generator["reachable"] is False


def test_what_is_taken_up_is_told(client: TestClient, tmp_path: Path) -> None:
    seen = look(client)["installation"]
    assert seen["disk"]["folder"] == str(tmp_path)
    parts = {one["name"]: one["bytes"] for one in seen["disk"]["parts"]}
    assert parts["database"] > 0
    assert 0 < seen["disk"]["free"] <= seen["disk"]["total"]
    (api,) = seen["processes"]
    assert (api["role"], api["pid"]) == ("api", os.getpid())
    assert 2**24 < api["resident"] < 64 * GIB


def test_a_bound_key_is_told_of_its_collections_alone(client: TestClient) -> None:
    database = database_of(client)
    commit_documents(database, new_collection(database, "own").id, learn_document("a", "Ada likes Bram."))
    commit_documents(database, find_collection(database, "default").id, learn_document("b", "Cleo likes Dov.", "Two."))
    made = client.post("/v1/keys", json={"name": "k", "scopes": ["admin"], "collections": ["own"]}).json()
    headers = {"Authorization": f"Bearer {made['key']}"}
    seen = look(client, headers)
    assert [one["name"] for one in seen["collections"]] == ["own"]
    assert [(one["documents"], one["passages"]) for one in seen["growth"]["steps"]] == [(1, 1)]
    assert (seen["installation"], seen["left_out"]) == (None, 0)
    refused = client.get("/v1/overview", params={"growth_of": "default"}, headers=headers)
    assert refused.json()["detail"] == client.get(
        "/v1/overview", params={"growth_of": "nowhere"}, headers=headers
    ).json()["detail"].replace("nowhere", "default")


def test_counting_waits_for_its_share_of_the_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    here = new_collection(database)
    clock = [0.0]
    counted: list[int] = []
    real = tally_module.count_contents

    def slow(connection: Any, collection_id: int) -> Counts:
        counted.append(collection_id)
        clock[0] += 1.0
        return real(connection, collection_id)

    monkeypatch.setattr(tally_module, "count_contents", slow)
    tally = Tally(database, lambda: clock[0])

    def read() -> Any:
        with database.read() as connection:
            found = tally.read(list_collections(connection))
        for thread in threading.enumerate():
            if thread.name == "tally":
                thread.join()
        return found[here.id]

    assert read().version == 0
    read()
    assert len(counted) == 1  # nothing was committed
    commit_documents(database, here.id, learn_document("a", "Ada likes Bram."))
    clock[0] += 0.5 / SHARE
    assert read().version == 0
    assert len(counted) == 1  # too soon after a count of a second
    clock[0] += 0.6 / SHARE
    read()
    found = read()
    assert (len(counted), found.version, found.counts.documents) == (2, 1, 1)
    tally.stop()


def test_the_parts_of_the_data_folder_add_up(database: Database, tmp_path: Path) -> None:
    views = tmp_path / "views" / "own"
    views.mkdir(parents=True)
    (views / "a").write_bytes(b"x" * 5_000)
    (tmp_path / "dashboard.secret").write_bytes(b"x" * 70)
    disk = DiskUse(tmp_path, views, database).read()
    everything = sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file())
    assert (disk.parts["views"], sum(disk.parts.values())) == (5_000, everything)
    assert disk.parts["other"] >= 70


def test_processes_that_are_elsewhere_or_gone_have_no_memory() -> None:
    found = read_processes([os.getpid()], [("another-host", 1), (os.uname().nodename, 2**22 + 1)])
    assert [(one.role, one.resident is None) for one in found] == [("api", False), ("worker", True), ("worker", True)]


def test_tokens_are_told_by_kind_of_call_within_reach(client: TestClient) -> None:
    database = database_of(client)
    commit_documents(database, find_collection(database, "default").id, learn_document("a", "Ada likes Bram."))
    new_collection(database, "other")
    assert client.get("/v1/overview/tokens").json()["spent"] == []
    asked = client.post("/v1/collections/default/query", json={"question": "Who likes Bram?"}).json()
    told = client.get("/v1/overview/tokens", params={"collection": "default"}).json()
    assert (told["questions"], told["left_out"]) == (1, False)
    (answer,) = told["spent"]
    assert (answer.pop("kind"), answer.pop("strategy")) == ("answer", "direct")
    assert answer == {name: asked["usage"][name] for name in ("calls", "prompt_tokens", "completion_tokens")}
    assert client.get("/v1/overview/tokens", params={"collection": "other"}).json()["spent"] == []
    made = client.post("/v1/keys", json={"name": "bound", "scopes": ["admin"], "collections": ["other"]}).json()
    bound = {"Authorization": f"Bearer {made['key']}"}
    assert client.get("/v1/overview/tokens", headers=bound).json()["questions"] == 0
    refused = client.get("/v1/overview/tokens", params={"collection": "default"}, headers=bound)
    assert_problem(refused, 404, "not_found")
    assert_problem(client.get("/v1/overview/tokens", params={"hours": 0}), 422, "invalid_input", field="hours")
