"""``GET /metrics``: what is counted, whom it is shown to, that it stays bounded, and that it is documented."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from memory_graph.database import Database
from memory_graph.store.jobs import NewItem, beat
from memory_graph.store.rows import now
from memory_graph.tables import commits
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import Caller, get_caller
from service.app import create_app
from service.metrics import MAX_VALUES, Metrics, write_text
from service.metrics_folder import FOLDER_VARIABLE, share_metrics, unshare_metrics
from service.metrics_store import HELD_S, StoreMetrics
from service.pulse import Pulse
from service.services import Services
from service.settings import Settings
from tests.unit.factories import commit_documents, learn_document, new_collection, new_job
from tests.unit.service.test_api import BUILDER, HARBOUR, assert_problem, make_learner

REPOSITORY = Path(__file__).parents[3]
KEY = "sk-metrics"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(
        Settings(data_dir=tmp_path, admin_key=KEY),  # type: ignore[arg-type]
        embedder=HashEmbedder(),
        generator=ScriptedGenerator([BUILDER]),
    )
    headers = {"Authorization": f"Bearer {KEY}"}
    with TestClient(app, base_url="http://localhost", headers=headers) as client:
        yield client


def services(client: TestClient) -> Services:
    parts: Services = client.app.state.services  # type: ignore[attr-defined]
    return parts


def read_samples(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: TestClient) -> Samples:
    response = client.get("/metrics")
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return read_samples(response.text)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def collect(store: StoreMetrics) -> Samples:
    return read_samples(write_text(store.collect(store.read()), lambda _: True).decode())


def test_every_metric_is_documented_and_promtool_finds_no_fault(client: TestClient) -> None:
    client.post("/v1/collections/default/query", json={"question": "Who built it?"})
    text = client.get("/metrics").text
    named = {family.name for family in text_string_to_metric_families(text)}
    counters = {family.name for family in text_string_to_metric_families(text) if family.type == "counter"}
    shown = {f"{name}_total" if name in counters else name for name in named}
    page = (REPOSITORY / "docs" / "observability.md").read_text("utf-8")
    documented = re.findall(r"^\| `((?:sharpwave|process)_[a-z_]+)` \|", page, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == shown
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (it comes with Prometheus): its checks were left out")
    ran = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_the_documented_labels_are_those_of_the_metrics(client: TestClient, tokenizer_file: Path) -> None:
    learn(client, tokenizer_file)
    client.post("/v1/collections/default/query", json={"question": "Who built the harbour of Tessaly?"})
    page = (REPOSITORY / "docs" / "observability.md").read_text("utf-8")
    rows = re.findall(r"^\| `((?:sharpwave|process)_[a-z_]+)` \| \w+ \| (.*?) \|", page, re.MULTILINE)
    documented = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    for name, labels in scrape(client):
        family = re.sub(r"_(bucket|sum|count)$", "", name)
        assert {label for label, _ in labels} - {"le"} == documented[family if family in documented else name], name


def learn(client: TestClient, tokenizer_file: Path) -> None:
    sent = client.post("/v1/collections/default/documents", json={"documents": [HARBOUR]})
    with make_learner(services(client), tokenizer_file).open(sent.json()["job_id"]) as learn_next:
        while learn_next():
            pass


def test_searches_answers_and_calls_are_counted(client: TestClient, tokenizer_file: Path) -> None:
    learn(client, tokenizer_file)
    path = "/v1/collections/default"
    client.post(f"{path}/search", json={"query": "Tessaly", "mode": "dense"})
    client.post(f"{path}/query", json={"question": "Who built the harbour of Tessaly?"})
    client.post(f"{path}/query", json={"question": "Who built the harbour of Tessaly?"})  # the script has ended
    got = scrape(client)
    assert value(got, "sharpwave_searches_total", mode="dense", rerank="default") == 1
    assert value(got, "sharpwave_searches_total", mode="graph", rerank="default") == 2
    assert value(got, "sharpwave_search_seconds_count", mode="graph") == 2
    assert value(got, "sharpwave_stage_seconds_count", stage="walk") == 2
    assert value(got, "sharpwave_stage_seconds_count", stage="answer") == 2
    answered = sum(count for (name, _), count in got.items() if name == "sharpwave_answers_total")
    assert answered == 2
    assert value(got, "sharpwave_generator_calls_total", kind="complete", outcome="ok") == 1
    assert value(got, "sharpwave_generator_calls_total", kind="complete", outcome="generator_unavailable") >= 1
    assert value(got, "sharpwave_fallbacks_total", part="answer", reason="generator_unavailable") == 1
    assert value(got, "sharpwave_generator_tokens_total", kind="completion") > 0
    assert value(got, "sharpwave_generator_up") == 0
    assert value(got, "sharpwave_rows", collection="default", kind="documents") == 1
    assert value(got, "sharpwave_view_version", collection="default") == 1
    route = "/v1/collections/{collection}/query"
    assert value(got, "sharpwave_http_requests_total", method="POST", route=route, status="200") == 2
    assert value(got, "sharpwave_http_request_seconds_count", method="POST", route=route) == 2
    assert value(got, "process_resident_memory_bytes") > 2**20


def test_what_callers_send_makes_no_new_series(client: TestClient) -> None:
    for number in range(20):
        client.get(f"/no/such/{number}")
        client.get(f"/v1/collections/none-{number}")
        client.delete(f"/v1/collections/default/documents/secret-{number}")
        client.request(f"VERB{number}", "/healthz")
        client.get("/v1/collections", headers={"Authorization": f"Bearer wrong-{number}"})
    got = scrape(client)
    requests = [dict(labels) for (name, labels) in got if name == "sharpwave_http_requests_total"]
    assert {(one["method"], one["route"], one["status"]) for one in requests} == {
        ("GET", "unmatched", "404"),
        ("GET", "unmatched", "401"),
        ("GET", "/v1/collections/{collection}", "404"),
        ("DELETE", "/v1/collections/{collection}/documents/{document_id:path}", "404"),
        ("OTHER", "/healthz", "405"),
    }


def test_words_of_a_label_are_bounded() -> None:
    metrics = Metrics()
    for number in range(3 * MAX_VALUES):
        metrics._fall_back("search", f"reason_{number}")
    metrics._fall_back("search", "Not a code: with words of the question")
    samples = read_samples(write_text(metrics.collect(), lambda _: True).decode())
    reasons = [labels for (name, labels) in samples if name == "sharpwave_fallbacks_total"]
    assert len(reasons) == MAX_VALUES + 1
    assert value(samples, "sharpwave_fallbacks_total", part="search", reason="other") == 2 * MAX_VALUES + 1


def test_only_admin_keys_read_it_and_bound_ones_see_their_collections(client: TestClient) -> None:
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 401
    for name in ("mine", "yours"):
        client.post("/v1/collections", json={"name": name})
        client.post(f"/v1/collections/{name}/search", json={"query": "x"})
    app: Any = client.app
    app.dependency_overrides[get_caller] = lambda: Caller(id="r", name="r", scopes=frozenset({"read", "write"}))
    assert_problem(client.get("/metrics"), 403, "forbidden")
    bound = Caller(id="b", name="b", scopes=frozenset({"admin"}), collections=frozenset({"mine"}))
    app.dependency_overrides[get_caller] = lambda: bound
    got = scrape(client)
    assert {dict(labels)["collection"] for _, labels in got} == {"mine"}
    assert value(got, "sharpwave_view_version", collection="mine") == 0


def test_a_deleted_collection_has_no_series(client: TestClient) -> None:
    client.post("/v1/collections", json={"name": "brief"})
    client.post("/v1/collections/brief/search", json={"query": "x"})
    assert any(("collection", "brief") in labels for _, labels in scrape(client))
    client.delete("/v1/collections/brief")
    assert not any(("collection", "brief") in labels for _, labels in scrape(client))


def test_what_the_database_knows(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada likes Bram."))
    new_job(database, [NewItem(kind="document", name=name, size=9) for name in ("n", "m")])
    with database.write() as connection:
        beat(connection, "w1", "host", 1)
    got = collect(StoreMetrics(database))
    assert value(got, "sharpwave_store_up") == 1
    assert value(got, "sharpwave_collection_version", collection="memory") == 1
    assert value(got, "sharpwave_rows", collection="memory", kind="passages") == 1
    assert value(got, "sharpwave_jobs", collection="memory", state="queued") == 1
    assert value(got, "sharpwave_queue_jobs") == 1
    assert value(got, "sharpwave_queue_items") == 2
    assert value(got, "sharpwave_items", state="pending", reason="") == 2
    assert value(got, "sharpwave_workers_alive") == 1
    assert 0 <= value(got, "sharpwave_worker_beat_age_seconds") < 10


def test_rows_are_counted_once_a_minute(database: Database) -> None:
    moment = 0.0
    store = StoreMetrics(database, clock=lambda: moment)
    cid = new_collection(database).id
    assert value(collect(store), "sharpwave_rows", collection="memory", kind="documents") == 0
    commit_documents(database, cid, learn_document("a", "Ada likes Bram."))
    moment = HELD_S - 1
    assert value(collect(store), "sharpwave_rows", collection="memory", kind="documents") == 0
    moment = HELD_S
    assert value(collect(store), "sharpwave_rows", collection="memory", kind="documents") == 1


def test_a_database_that_is_away_leaves_the_rest(tmp_path: Path) -> None:
    got = collect(StoreMetrics(Database(f"sqlite:///{tmp_path / 'none' / 'x.db'}")))
    assert got == {("sharpwave_store_up", frozenset()): 0.0}


def test_a_view_that_lags_says_by_how_much(database: Database) -> None:
    cid = new_collection(database).id
    for key in ("a", "b", "c"):
        commit_documents(database, cid, learn_document(key, f"Ada likes {key}."))
    with database.write() as connection:
        connection.execute(update(commits).values(created_at=now() - timedelta(seconds=90)))
    views = SimpleNamespace(versions=lambda: {"memory": 1}, nbytes=lambda: {"memory": {"vectors": 7, "graph": 5}})
    metrics = Metrics()
    parts: Any = SimpleNamespace(
        database=database, views=views, metrics=metrics, query_log=SimpleNamespace(dropped=4), generator=None
    )
    Pulse(parts).beat()
    Pulse(parts).beat()
    got = read_samples(write_text(metrics.collect(), lambda _: True).decode())
    assert value(got, "sharpwave_view_lag_versions", collection="memory") == 2
    assert 90 <= value(got, "sharpwave_view_lag_seconds", collection="memory") < 600
    assert value(got, "sharpwave_view_bytes", collection="memory") == 12
    assert value(got, "sharpwave_query_log_dropped_total") == 4


SIBLINGS = """
import os, sys
from service.metrics import Metrics, write_text

def serve(lag):
    metrics = Metrics()
    metrics.note_request("GET", "/x", 200, 0.5)
    metrics.view_lag.labels("c").set(lag)
    metrics.view_bytes.labels("c").set(10)
    return metrics

pids = []
for lag in (3, 8):
    told, tell = os.pipe()
    go, end = os.pipe()
    if not (pid := os.fork()):
        serve(lag)
        os.write(tell, b"1")
        os.read(go, 1)
        os._exit(0)
    os.read(told, 1)
    pids.append((pid, end))
asked = serve(1)
sys.stdout.write(write_text(asked.collect(), lambda _: True).decode() + "# ---\\n")
for pid, end in pids:
    os.write(end, b"1")
    os.waitpid(pid, 0)
sys.stdout.write(write_text(asked.collect(), lambda _: True).decode())
"""


def test_server_processes_of_one_host_answer_for_each_other() -> None:
    folder = share_metrics()
    try:
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), FOLDER_VARIABLE: str(folder)}
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", SIBLINGS],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        unshare_metrics(folder)
    assert ran.returncode == 0, ran.stderr
    alive, after = (read_samples(part) for part in ran.stdout.split("# ---\n"))
    assert value(alive, "sharpwave_http_requests_total", method="GET", route="/x", status="200") == 3
    assert value(alive, "sharpwave_view_lag_versions", collection="c") == 8
    assert value(alive, "sharpwave_view_bytes", collection="c") == 30
    # Of those that ended, what they counted stays and what they held is gone.
    assert value(after, "sharpwave_http_requests_total", method="GET", route="/x", status="200") == 3
    assert value(after, "sharpwave_view_lag_versions", collection="c") == 1
    assert value(after, "sharpwave_view_bytes", collection="c") == 10
    assert not folder.exists()
