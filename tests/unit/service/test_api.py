"""Every route of the HTTP API, in process, with the shipped doubles for the models."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from fastapi.testclient import TestClient

from ingest.extraction_pool import Extracted, PooledExtraction
from ingest.formats import ReadLimits
from ingest.pipeline import Learner
from ingest.splitter import SplitParams, Splitter
from memory_graph.errors import GeneratorTimeout, GeneratorUnavailable
from memory_graph.store import jobs as job_store
from memory_graph.text import hash_text
from memory_graph.types import Extraction, Mention
from retrieval.generator import Completion, Delta, Message
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.services import Services
from service.settings import Settings
from tests.unit.ingest.files import build_xlsx, build_zip
from tests.unit.ingest.test_readers import build_pdf

HARBOUR = {"id": "harbour", "title": "The harbour", "text": "Maren Quill built the harbour of Tessaly in 1871."}
MILL = {"id": "mill", "title": "The mill", "text": "Ivo Brandt built the mill at Ostrow. Its wheel broke in 1902."}
LAMP = {"id": "lamp", "title": "The lamp", "text": "The lamp of Tessaly burns oil from Ostrow."}
WORLD = (HARBOUR, MILL, LAMP)
BUILDER = json.dumps({"answer": "Maren Quill", "passages": [1, 2, 3]})
NAMES = ("Maren Quill", "Tessaly", "Ivo Brandt", "Ostrow")


class InlineExtraction:
    """Finds the world's names, at once and in this process, as ``ExtractionPool`` does in its own."""

    def submit(self, texts: Sequence[str]) -> Future[Extracted]:
        done: Future[Extracted] = Future()
        found = [Extraction(mentions=tuple(Mention(name, 1) for name in NAMES if name in text)) for text in texts]
        done.set_result((found, 0.0))
        return done

    def collect(self, texts: Sequence[str], future: Future[Extracted]) -> tuple[list[Extraction | None], float]:
        found, seconds = future.result()
        return [*found], seconds


class BrokenGenerator(ScriptedGenerator):
    """Fails in a way that nobody foresaw."""

    async def complete(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> Completion:
        raise RuntimeError("secret detail of the fault")

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        raise RuntimeError("secret detail of the fault")
        yield Delta()


@dataclass
class Service:
    """The service in process, and the worker's part of it by hand."""

    client: TestClient
    parts: Services
    generator: ScriptedGenerator
    learner: Learner

    def learn_waiting(self) -> None:
        with self.parts.database.read() as connection:
            waiting = [job.id for job in job_store.list_jobs(connection) if job.state == "queued"]
        for job_id in waiting:
            with self.learner.open(job_id) as learn_next:
                while learn_next():
                    pass
            with self.parts.database.write() as connection:
                job_store.end_job(connection, job_id, "succeeded")

    def job(self, job_id: str) -> dict[str, Any]:
        response = self.client.get(f"/v1/jobs/{job_id}")
        assert response.status_code == 200
        return dict(response.json())


@dataclass
class Memory:
    """A collection of one test."""

    name: str
    service: Service

    @property
    def path(self) -> str:
        return f"/v1/collections/{self.name}"

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.service.client.post(f"{self.path}/{path}", json=body)

    def get(self, path: str = "") -> httpx.Response:
        return self.service.client.get(f"{self.path}/{path}" if path else self.path)

    def learn(self, *documents: Mapping[str, Any]) -> str:
        response = self.post("documents", documents=list(documents))
        assert response.status_code == 202, response.text
        assert set(response.json()) == {"job_id"}
        self.service.learn_waiting()
        return str(response.json()["job_id"])


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[Service]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("service"), max_file_mb=1)
    generator = ScriptedGenerator([])
    app = create_app(settings, embedder=HashEmbedder(), generator=generator)
    with TestClient(app, base_url="http://localhost") as client:
        parts: Services = app.state.services
        yield Service(client, parts, generator, make_learner(parts, tokenizer_file))
    assert generator.closed


def make_learner(parts: Services, tokenizer_file: Path) -> Learner:
    return Learner(
        parts.database,
        HashEmbedder(),
        PooledExtraction(InlineExtraction()),  # type: ignore[arg-type]
        {mode: Splitter(tokenizer_file, SplitParams(mode=mode)) for mode in ("recursive", "none")},
        limits=ReadLimits(max_file_bytes=2**20),
    )


_numbers = count(1)


@pytest.fixture
def memory(service: Service) -> Memory:
    """An empty collection."""
    name = f"test-{next(_numbers)}"
    response = service.client.post("/v1/collections", json={"name": name})
    assert response.status_code == 201
    service.generator.replies.clear()
    return Memory(name, service)


@pytest.fixture
def world(memory: Memory) -> Memory:
    """A collection that knows the world."""
    memory.learn(*WORLD)
    return memory


def assert_problem(response: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """Check the whole of a problem document, and that it tells nothing of the code behind it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["type"] == f"urn:sharpwave:problem:{code}"
    assert (body["code"], body["status"]) == (code, status)
    assert body["title"]
    assert body["detail"]
    assert body.get("field") == field
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    return body


def read_events(response: httpx.Response) -> list[tuple[str, Any]]:
    """Parse server-sent events."""
    assert response.headers["content-type"].startswith("text/event-stream")
    events = []
    for block in response.text.replace("\r\n", "\n").split("\n\n"):
        lines = [line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(lines)
            events.append((fields["event"], json.loads(fields["data"])))
    return events


# Health


def test_health_and_readiness(service: Service, memory: Memory) -> None:
    alive = service.client.get("/healthz").json()
    assert alive["status"] == "ok"
    assert alive["instance"]
    response = service.client.get("/readyz")
    assert response.status_code == 200
    body = response.json()
    assert body["ready"] is True
    assert set(body["parts"]) == {"models", "store", "views", "generator"}
    # A generator that is away leaves search: ready all the same, and it says so.
    assert body["parts"]["generator"].startswith("unreachable")


# Collections


def test_collections_are_made_listed_and_deleted(service: Service) -> None:
    made = service.client.post("/v1/collections", json={"name": "letters", "description": "Old letters"})
    assert made.status_code == 201
    body = made.json()
    assert {key: body[key] for key in ("name", "description", "documents", "passages", "phrases", "facts")} == {
        "name": "letters",
        "description": "Old letters",
        "documents": 0,
        "passages": 0,
        "phrases": 0,
        "facts": 0,
    }
    assert service.client.get("/v1/collections/letters").json() == body
    assert body in service.client.get("/v1/collections").json()["collections"]
    assert_problem(service.client.post("/v1/collections", json={"name": "letters"}), 409, "conflict")
    assert service.client.delete("/v1/collections/letters").status_code == 204
    assert_problem(service.client.get("/v1/collections/letters"), 404, "not_found")
    assert_problem(service.client.delete("/v1/collections/letters"), 404, "not_found")


def test_the_default_collection_is_there(service: Service) -> None:
    assert service.client.get("/v1/collections/default").status_code == 200


def test_a_collection_made_again_under_its_name_is_empty(world: Memory) -> None:
    assert world.post("search", query="Who built the harbour?").json()["hits"]
    assert world.service.client.delete(world.path).status_code == 204
    assert_problem(world.post("search", query="Who built the harbour?"), 404, "not_found")
    world.service.client.post("/v1/collections", json={"name": world.name})
    assert world.post("search", query="Who built the harbour?").json()["hits"] == []


@pytest.mark.parametrize("name", ["", "Upper", "with space", "-dash", "a/b", "x" * 64, "ünder", "a\n"])
def test_bad_collection_names(service: Service, name: str) -> None:
    assert_problem(service.client.post("/v1/collections", json={"name": name}), 422, "invalid_input", "name")


# Documents


def test_documents_are_learned_and_counted(world: Memory) -> None:
    body = world.get().json()
    assert (body["documents"], body["passages"], body["phrases"]) == (3, 3, 4 + 3)  # the names, and the titles
    assert body["version"] == 1
    assert body["embedder"] == "hash-64"


def test_the_same_again_is_known_and_another_text_replaces(world: Memory) -> None:
    job_id = world.learn(*WORLD)
    progress = world.service.job(job_id)["progress"]
    assert (progress["documents"], progress["known"], progress["total"]) == (0, 3, 3)
    assert world.get().json()["version"] == 1
    world.learn({**HARBOUR, "text": "The harbour of Tessaly is silted up."})
    assert world.get().json()["documents"] == 3
    assert "silted" in world.get("documents/harbour").json()["contents"][0]["text"]


def test_a_document_keeps_what_it_was_given(memory: Memory) -> None:
    given = {
        "id": "a",
        "title": "T",
        "text": "Maren Quill.",
        "source": "letters",
        "metadata": {"year": 1871, "tags": ["x"], "ok": True},
        "occurred_at": "1871-05-01T12:00:00+02:00",
    }
    memory.learn(given)
    body = memory.get("documents/a").json()
    assert {key: body[key] for key in ("id", "title", "source", "metadata")} == {
        key: given[key] for key in ("id", "title", "source", "metadata")
    }
    assert body["occurred_at"] == "1871-05-01T10:00:00Z"
    assert body["passages"] == 1
    assert [(one["ordinal"], one["text"]) for one in body["contents"]] == [(0, "Maren Quill.")]


def test_a_document_given_again_tells_its_history(memory: Memory) -> None:
    given = {"id": "a", "title": "T", "text": "Maren Quill rows.", "source": "letters"}
    first = memory.service.job(memory.learn(given))
    assert first["changes"] == {"added": 1, "removed": 0, "kept": 0}
    kept = memory.get("documents/a").json()["contents"][0]["id"]
    second = memory.service.job(memory.learn({**given, "metadata": {"year": 1871}}))
    assert second["changes"] == {"added": 0, "removed": 0, "kept": 1}
    body = memory.get("documents/a").json()
    assert (body["metadata"], body["contents"][0]["id"]) == ({"year": 1871}, kept)
    third = memory.service.job(memory.learn({**given, "text": "Maren Quill swims."}))
    assert third["changes"] == {"added": 1, "removed": 1, "kept": 0}
    history = memory.get("documents/a").json()["history"]
    assert [(one["job_id"], one["added"], one["removed"], one["kept"]) for one in history] == [
        (third["id"], 1, 1, 0),
        (second["id"], 0, 0, 1),
        (first["id"], 1, 0, 0),
    ]
    assert [one["version"] for one in history] == [3, 2, 1]


def test_a_passage_is_shown_with_what_stands_beside_it(memory: Memory) -> None:
    for number in (2, 1):
        text = f"# Session {number}\n\nMaren Quill wrote letter {number}."
        moment = f"2024-05-0{number}T12:00:00Z"
        memory.learn({"id": f"s{number}", "text": text, "source": "chat", "occurred_at": moment})
    first, second = (memory.get(f"documents/s{number}").json()["contents"][0]["id"] for number in (1, 2))
    alone = memory.get(f"passages/{first}").json()
    assert (alone["id"], alone["document_id"], alone["heading"]) == (first, "s1", "Session 1")
    assert (alone["occurred_at"], alone["source"], alone["ordinal"]) == ("2024-05-01T12:00:00Z", "chat", 0)
    assert (alone["previous"], alone["next"], alone["before"], alone["after"]) == (None, None, [], [])
    told = memory.get(f"passages/{first}?context=2&episode=source").json()
    assert (told["previous"], told["next"], told["before"]) == (None, second, [])
    assert [(one["id"], one["document_id"]) for one in told["after"]] == [(second, "s2")]
    told = memory.get(f"passages/{second}?context=2&episode=source").json()
    assert [one["text"] for one in told["before"]] == [alone["text"]]
    assert_problem(memory.get("passages/999999"), 404, "not_found")
    assert_problem(memory.get(f"passages/{first}?context=51"), 422, "invalid_input", "context")
    assert_problem(memory.get(f"passages/{first}?episode=occurred_at"), 422, "invalid_input", "episode")
    (hit, _) = memory.post("search", query="Who wrote letter 1?").json()["hits"]
    assert (hit["passage_id"], hit["ordinal"], hit["heading"]) == (first, 0, "Session 1")
    assert hit["occurred_at"] == "2024-05-01T12:00:00Z"


def test_without_an_id_the_content_names_the_document(memory: Memory) -> None:
    memory.learn({"text": "Ivo Brandt."})
    memory.learn({"text": "Ivo Brandt."})
    (only,) = memory.get("documents").json()["documents"]
    assert only["id"].startswith("sha256:")


@pytest.mark.parametrize(
    "document_id",
    [
        "a/b/c.md",
        "/leading/and/trailing/",
        "mit Leerzeichen",
        "Žluťoučký kůň 🐎",
        "50%",
        "a?b#c&d=e",
        "..",
        "a//b",
        ".",
    ],
)
def test_ids_may_hold_any_character(memory: Memory, document_id: str) -> None:
    memory.learn({**HARBOUR, "id": document_id}, {**MILL, "id": "other"})
    path = f"documents/{quote(document_id, safe='').replace('.', '%2E')}"
    shown = memory.get(path)
    assert shown.status_code == 200, shown.text
    assert shown.json()["id"] == document_id
    hits = memory.post("search", query="Who built the harbour of Tessaly?").json()["hits"]
    assert hits[0]["document_id"] == document_id
    forgotten = memory.service.client.delete(f"{memory.path}/{path}")
    assert forgotten.json()["document_id"] == document_id
    assert_problem(memory.get(path), 404, "not_found")


def test_an_id_with_plain_slashes_in_the_path(memory: Memory) -> None:
    memory.learn({**HARBOUR, "id": "a/b/c.md"})
    assert memory.get("documents/a/b/c.md").json()["id"] == "a/b/c.md"


def test_pages_of_documents(memory: Memory) -> None:
    memory.learn(*({"id": f"d{n}", "text": f"Text number {n}."} for n in range(7)))
    seen, cursor = [], ""
    for size in (3, 3, 1):
        page = memory.get(f"documents?limit=3{cursor}").json()
        assert len(page["documents"]) == size
        seen += [one["id"] for one in page["documents"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert seen == [f"d{n}" for n in range(7)]


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "0", "9" * 40, "9" * 5000, "%ff", "ü", ""])
def test_bad_cursors(memory: Memory, cursor: str) -> None:
    assert_problem(memory.get(f"documents?cursor={cursor}"), 422, "invalid_input", "cursor")


@pytest.mark.parametrize("limit", ["0", "1001", "many"])
def test_bad_limits(memory: Memory, limit: str) -> None:
    assert_problem(memory.get(f"documents?limit={limit}"), 422, "invalid_input", "limit")


def test_forgetting_reports_and_a_dry_run_changes_nothing(world: Memory) -> None:
    before = world.get().json()
    trial = world.service.client.delete(f"{world.path}/documents/harbour?dry_run=true")
    assert trial.status_code == 200
    assert world.get().json() == before
    assert world.get("documents/harbour").status_code == 200
    done = world.service.client.delete(f"{world.path}/documents/harbour")
    assert trial.json() == {**done.json(), "dry_run": True, "version": None, "purge_id": None}
    after = world.get().json()
    # Tessaly lives on in the lamp; Maren Quill and the title go.
    assert done.json() == {
        "document_id": "harbour",
        "documents": 1,
        "passages": 1,
        "phrases": 2,
        "facts": 0,
        "notes": 0,
        "replies": 0,
        "queries": 0,
        "job_items": 1,
        "bytes": len(HARBOUR["text"]),
        "version": after["version"],
        "purge_id": done.json()["purge_id"],
        "dry_run": False,
    }
    assert (after["documents"], after["version"]) == (2, before["version"] + 1)
    hits = world.post("search", query="Who built the harbour?").json()["hits"]
    assert "harbour" not in [hit["document_id"] for hit in hits]
    assert_problem(world.service.client.delete(f"{world.path}/documents/harbour"), 404, "not_found")


def test_forgetting_by_source_filter_and_all(memory: Memory) -> None:
    memory.learn({**HARBOUR, "source": "ledger"}, {**MILL, "metadata": {"year": 1902}}, LAMP)
    left = 3
    for which in ({"source": "ledger"}, {"filter": {"year": {"gte": 1900}}}, {"all": True}):
        trial, done = (memory.post("forget", **which, dry_run=dry_run) for dry_run in (True, False))
        assert trial.status_code == done.status_code == 200, done.text
        assert trial.json() == {**done.json(), "dry_run": True, "version": None, "purge_id": None}
        assert (done.json()["documents"], done.json()["document_id"]) == (1, None)
        left -= 1
        assert memory.get().json()["documents"] == left
    nothing = memory.post("forget", source="ledger").json()
    assert (nothing["documents"], nothing["version"], nothing["purge_id"]) == (0, None, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "forget"),
        ({"source": "a", "all": True}, "forget"),
        ({"filter": {"year": {"near": 1}}}, "filter.year"),
        ({"titles": ["a"]}, "titles"),
        ({"documents": []}, "forget"),
        ({"documents": ["a"], "all": True}, "forget"),
    ],
)
def test_forgetting_what_is_not_said_clearly(world: Memory, body: dict[str, Any], field: str) -> None:
    assert_problem(world.post("forget", **body), 422, "invalid_input", field)
    assert world.get().json()["documents"] == 3


def test_a_purge_is_seen(world: Memory) -> None:
    client = world.service.client
    purge_id = client.delete(f"{world.path}/documents/harbour").json()["purge_id"]
    purge = client.get(f"/v1/purges/{purge_id}").json()
    assert (purge["state"], purge["collection"], purge["steps"]) == ("waiting", world.name, {})
    assert purge in client.get("/v1/purges").json()["purges"]
    assert_problem(client.get("/v1/purges/999999"), 404, "not_found")


def test_a_retention_rule_is_written_run_and_deleted(memory: Memory) -> None:
    client, path = memory.service.client, f"{memory.path}/retention/old"
    memory.learn({**HARBOUR, "metadata": {"kind": "mail"}}, MILL)
    put = client.put(path, json={"filter": {"kind": "mail"}})
    assert put.status_code == 200, put.text
    assert memory.get("retention").json() == {"rules": [put.json()], "next_cursor": None}
    assert client.post(f"{path}/run?dry_run=true").json()["documents"] == 1
    assert client.post(f"{path}/run").json()["documents"] == 1
    assert memory.get().json()["documents"] == 1
    assert memory.get("retention").json()["rules"][0]["forgotten"] == 1
    assert client.delete(path).status_code == 204
    assert_problem(client.delete(path), 404, "not_found")
    assert_problem(client.put(path, json={}), 422, "invalid_input", "max_age_days")


def test_learning_again_what_was_forgotten(world: Memory) -> None:
    world.service.client.delete(f"{world.path}/documents/harbour")
    world.learn(HARBOUR)
    assert world.post("search", query="Who built the harbour of Tessaly?").json()["hits"][0]["document_id"] == "harbour"


def nest(depth: int) -> dict[str, Any]:
    """Return an object in an object in an object…"""
    outer: dict[str, Any] = {}
    inner = outer
    for _ in range(depth):
        inner["k"] = inner = {}
    return outer


def test_metadata_may_be_nested(memory: Memory) -> None:
    memory.learn({**HARBOUR, "metadata": nest(90)})
    assert memory.get("documents/harbour").json()["metadata"] == nest(90)


def test_one_id_twice_names_the_second(memory: Memory) -> None:
    response = memory.post("documents", documents=[HARBOUR, {**MILL, "id": "harbour"}])
    assert "documents.0" in assert_problem(response, 422, "invalid_input", "documents.1.id")["detail"]
    assert memory.get().json()["documents"] == 0


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"text": ""}, "documents.0.text"),
        ({"text": " \n\t"}, "documents.0.text"),
        ({"text": "a\0b"}, "documents.0.text"),
        ({"text": "a\ud800b"}, "documents.0.text"),
        ({"title": "no text"}, "documents.0.text"),
        ({"text": "a", "title": "\ud800"}, "documents.0.title"),
        ({"text": "a", "id": ""}, "documents.0.id"),
        ({"text": "a", "id": "\0"}, "documents.0.id"),
        ({"text": "a", "id": "x" * 1001}, "documents.0.id"),
        ({"text": "a", "ID": "x"}, "documents.0.ID"),
        ({"text": "a", "metadata": [1]}, "documents.0.metadata"),
        ({"text": "a", "metadata": {"k": "\ud800"}}, "documents.0.metadata"),
        ({"text": "a", "metadata": {"k": ["\0"]}}, "documents.0.metadata"),
        ({"text": "a", "metadata": {"k": {"\0": 1}}}, "documents.0.metadata"),
        ({"text": "a", "metadata": nest(101)}, "documents.0.metadata"),
        ({"text": "a", "metadata": nest(900)}, "documents.0.metadata"),
        ({"text": "a", "occurred_at": "yesterday"}, "documents.0.occurred_at"),
        ({"text": "a", "occurred_at": "2026-01-31T12:00:00"}, "documents.0.occurred_at"),
    ],
)
def test_bad_documents(memory: Memory, document: dict[str, Any], field: str) -> None:
    body = json.dumps({"documents": [document]})
    response = memory.service.client.post(
        f"{memory.path}/documents", content=body, headers={"content-type": "application/json"}
    )
    assert_problem(response, 422, "invalid_input", field)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_metadata_that_json_cannot_hold(memory: Memory, number: str) -> None:
    body = '{"documents": [{"text": "a", "metadata": {"k": NUMBER}}]}'.replace("NUMBER", number)
    response = memory.service.client.post(
        f"{memory.path}/documents", content=body, headers={"content-type": "application/json"}
    )
    assert_problem(response, 422, "invalid_input", "documents.0.metadata")


def test_no_documents_and_too_many(memory: Memory) -> None:
    assert_problem(memory.post("documents", documents=[]), 422, "invalid_input", "documents")
    many = [{"text": str(n)} for n in range(1001)]
    assert_problem(memory.post("documents", documents=many), 422, "invalid_input", "documents")


def test_learning_into_no_collection(service: Service) -> None:
    response = service.client.post("/v1/collections/nowhere/documents", json={"documents": [HARBOUR]})
    assert_problem(response, 404, "not_found")


def test_waiting_without_a_worker_answers_at_once(memory: Memory) -> None:
    response = memory.post("documents", documents=[HARBOUR], wait=True)
    assert response.status_code == 202
    assert set(response.json()) == {"job_id"}
    memory.service.learn_waiting()


def test_waiting_gives_the_finished_job(memory: Memory) -> None:
    service = memory.service
    with service.parts.database.write() as connection:
        job_store.beat(connection, "a-test", "another-host", 1)
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            service.learn_waiting()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        response = memory.post("documents", documents=list(WORLD), wait=True, split="none")
    finally:
        stop.set()
        worker.join()
        with service.parts.database.write() as connection:
            job_store.remove_worker(connection, "a-test")
    assert response.status_code == 200
    job = response.json()
    assert (job["state"], job["collection"], job["split"], job["version"]) == ("succeeded", memory.name, "none", 1)
    assert {key: job["progress"][key] for key in ("documents", "passages", "total", "known", "failed")} == {
        "documents": 3,
        "passages": 3,
        "total": 3,
        "known": 0,
        "failed": 0,
    }
    # Its own write is there for whoever asks for that version.
    found = memory.post("search", query="Who built the mill?", min_version=job["version"])
    assert found.json()["hits"][0]["document_id"] == "mill"


# Files


def test_files_are_learned_and_those_that_cannot_be_are_listed(memory: Memory) -> None:
    files = [
        ("files", ("letters/märz.md", b"# March\n\nMaren Quill left Tessaly.")),
        ("files", ("notes.txt", b"Ivo Brandt stayed in Ostrow.")),
        ("files", ("picture.png", b"\x89PNG")),
        ("files", ("large.txt", b"x" * (2**20 + 1))),
        ("files", ("empty.txt", b"")),
        ("files", ("binary.txt", b"\x7fELF\0\0\0\0")),
    ]
    response = memory.service.client.post(f"{memory.path}/files", files=files)
    assert response.status_code == 202
    memory.service.learn_waiting()
    job = memory.service.job(response.json()["job_id"])
    assert job["progress"]["documents"] == 2
    assert {failure["name"]: failure["reason"] for failure in job["failures"]} == {
        "picture.png": "unsupported",
        "large.txt": "too_large",
        "empty.txt": "empty",
        "binary.txt": "binary",
    }
    assert all(failure["error"] for failure in job["failures"])
    learned = {one["id"]: one["title"] for one in memory.get("documents").json()["documents"]}
    assert learned == {"letters/märz.md": "March", "notes.txt": "notes"}


def test_a_job_tells_what_it_learned_and_how_fast(memory: Memory) -> None:
    files = [("files", (f"{number}.txt", b"Maren Quill left Tessaly.")) for number in range(3)]
    files.append(("files", ("empty.txt", b"")))
    job_id = memory.service.client.post(f"{memory.path}/files", files=files).json()["job_id"]
    path = f"/v1/jobs/{job_id}"
    assert memory.service.client.get(f"{path}/throughput").json() == {"step_s": None, "steps": []}
    memory.service.learn_waiting()
    told = memory.service.client.get(f"{path}/throughput").json()
    assert told["step_s"] == 10
    assert sum(step["passages"] for step in told["steps"]) == 3
    first = memory.service.client.get(f"{path}/documents?limit=2").json()
    rest = memory.service.client.get(f"{path}/documents?limit=2&cursor={first['next_cursor']}").json()
    assert [one["id"] for one in (*first["documents"], *rest["documents"])] == ["0.txt", "1.txt", "2.txt"]
    assert rest["next_cursor"] is None
    (failure,) = memory.service.job(job_id)["failures"]
    assert_problem(memory.service.client.post(f"{path}/retry?item=0"), 422, "invalid_input", "item")
    assert_problem(memory.service.client.post(f"{path}/retry?item={2**53}"), 409, "conflict")
    assert failure["retry_id"] is not None
    again = memory.service.client.post(f"{path}/retry?item={failure['retry_id']}")
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    memory.service.learn_waiting()
    for end in ("throughput", "documents"):
        assert_problem(memory.service.client.get(f"/v1/jobs/nothing/{end}"), 404, "not_found")


def test_archives_and_pages(memory: Memory) -> None:
    pages = build_pdf(["Maren Quill left Tessaly."] * 2 + ["The ferry sailed at nine."])
    packed = build_zip({"a/ferry.pdf": pages, "b.csv": b"who,where\nIvo,Ostrow", "c.docx": b"broken", "d.png": b""})
    files = [("files", ("all.zip", packed)), ("files", ("sheet.xlsx", build_xlsx({"S": [["a"], ["Ada"]]})))]
    response = memory.service.client.post(f"{memory.path}/files", files=files)
    memory.service.learn_waiting()
    job = memory.service.job(response.json()["job_id"])
    assert {failure["name"]: failure["reason"] for failure in job["failures"]} == {"all.zip!/c.docx": "damaged"}
    learned = {one["id"] for one in memory.get("documents").json()["documents"]}
    assert learned == {"all.zip!/a/ferry.pdf", "all.zip!/b.csv", "sheet.xlsx"}
    shown = memory.get("documents/all.zip!/a/ferry.pdf").json()
    assert shown["contents"][0]["page"] == 1
    found = memory.post("search", query="ferry", mode="dense").json()["hits"]
    assert {hit["document_id"]: hit["page"] for hit in found}["all.zip!/a/ferry.pdf"] == 1


def test_a_file_name_twice_and_no_file(memory: Memory) -> None:
    twice = [("files", ("a.txt", b"one")), ("files", ("a.txt", b"two"))]
    response = memory.service.client.post(f"{memory.path}/files", files=twice)
    assert_problem(response, 422, "invalid_input", "files")
    assert_problem(memory.service.client.post(f"{memory.path}/files"), 422, "invalid_input", "files")


def test_files_into_no_collection(service: Service) -> None:
    response = service.client.post("/v1/collections/nowhere/files", files=[("files", ("a.txt", b"one"))])
    assert_problem(response, 404, "not_found")


# Jobs


def test_jobs_are_listed_shown_and_cancelled(memory: Memory) -> None:
    job_id = memory.post("documents", documents=[HARBOUR]).json()["job_id"]
    client = memory.service.client
    assert job_id in [job["id"] for job in client.get("/v1/jobs").json()["jobs"]]
    assert memory.service.job(job_id)["state"] == "queued"
    assert_problem(client.post(f"/v1/jobs/{job_id}/resume"), 409, "conflict")
    cancelled = client.post(f"/v1/jobs/{job_id}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["state"] == "cancelled"
    assert_problem(client.post(f"/v1/jobs/{job_id}/cancel"), 409, "conflict")
    memory.service.learn_waiting()
    assert memory.get().json()["documents"] == 0


def test_a_failed_job_is_resumed(memory: Memory) -> None:
    job_id = memory.post("documents", documents=[HARBOUR]).json()["job_id"]
    with memory.service.parts.database.write() as connection:
        job_store.end_job(connection, job_id, "failed", "the disk was full")
    assert memory.service.job(job_id)["error"] == "the disk was full"
    resumed = memory.service.client.post(f"/v1/jobs/{job_id}/resume")
    assert (resumed.status_code, resumed.json()["state"], resumed.json()["error"]) == (200, "queued", None)
    memory.service.learn_waiting()
    assert memory.get().json()["documents"] == 1


def test_a_job_that_ended_is_retried_and_removed(memory: Memory) -> None:
    files = [("files", ("broken.jsonl", b"not json")), ("files", ("fine.txt", b"Maren Quill."))]
    job_id = memory.service.client.post(f"{memory.path}/files", files=files).json()["job_id"]
    path = f"/v1/jobs/{job_id}"
    assert_problem(memory.service.client.post(f"{path}/retry"), 409, "conflict")
    assert_problem(memory.service.client.delete(path), 409, "conflict")
    memory.service.learn_waiting()
    progress = memory.service.job(job_id)["progress"]
    assert (progress["documents"], progress["failed"], progress["retryable"]) == (1, 1, 1)
    retried = memory.service.client.post(f"{path}/retry")
    assert (retried.status_code, retried.json()["state"]) == (200, "queued")
    memory.service.learn_waiting()
    job = memory.service.job(job_id)
    assert (job["progress"]["documents"], job["progress"]["failed"]) == (1, 1)
    assert job["failures"][0]["reason"] == "not_json"
    assert memory.service.client.delete(path).status_code == 204
    assert_problem(memory.service.client.get(path), 404, "not_found")
    assert memory.get().json()["documents"] == 1


def test_a_job_says_its_priority(memory: Memory) -> None:
    given = memory.post("documents", documents=[HARBOUR], priority="high").json()["job_id"]
    files = [("files", ("a.txt", b"one"))]
    uploaded = memory.service.client.post(f"{memory.path}/files", files=files, data={"priority": "low"})
    plain = memory.post("documents", documents=[HARBOUR]).json()["job_id"]
    jobs = [memory.service.job(job_id) for job_id in (given, uploaded.json()["job_id"], plain)]
    assert [job["priority"] for job in jobs] == ["high", "low", "normal"]
    assert {tuple(job["workers"]) for job in jobs} == {()}
    assert_problem(memory.post("documents", documents=[HARBOUR], priority="top"), 422, "invalid_input", "priority")
    memory.service.learn_waiting()


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/resume"), ("POST", "/retry"), ("DELETE", "")],
)
def test_unknown_jobs(service: Service, method: str, path: str) -> None:
    assert_problem(service.client.request(method, f"/v1/jobs/none{path}"), 404, "not_found")


def test_the_events_of_a_job(memory: Memory) -> None:
    job_id = memory.post("documents", documents=[HARBOUR]).json()["job_id"]
    timer = threading.Timer(0.7, memory.service.learn_waiting)
    timer.start()
    events = read_events(memory.service.client.get(f"/v1/jobs/{job_id}/events"))
    timer.join()
    names = [name for name, _ in events]
    assert names[0] == "progress"
    assert names[-1] == "done"
    assert set(names[:-1]) == {"progress"}
    assert events[0][1]["state"] == "queued"
    assert events[-1][1] == memory.service.job(job_id)
    # A job that has ended has nothing left to follow.
    again = read_events(memory.service.client.get(f"/v1/jobs/{job_id}/events"))
    assert [name for name, _ in again] == ["done"]


def test_events_go_on_after_a_break_and_are_kept_open(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.events.KEEP_ALIVE_S", 0.05)
    job_id = memory.post("documents", documents=[HARBOUR]).json()["job_id"]
    seen = threading.Timer(0.7, memory.service.learn_waiting)
    seen.start()
    text = memory.service.client.get(f"/v1/jobs/{job_id}/events").text
    seen.join()
    assert ": ping" in text
    ids = [line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: ")]
    assert len(set(ids)) == len(ids) >= 2
    # The state that was told last is not told again, unless it is the end.
    waiting = memory.post("documents", documents=[MILL]).json()["job_id"]
    later = threading.Timer(0.7, memory.service.learn_waiting)
    first = hash_text(json.dumps(memory.service.job(waiting), sort_keys=True))
    later.start()
    rest = memory.service.client.get(f"/v1/jobs/{waiting}/events", headers={"Last-Event-ID": first}).text
    later.join()
    assert first not in rest
    assert "event: done" in rest


# Search


@pytest.mark.parametrize(
    "way",
    [{}, {"mode": "graph", "rerank": "chain"}, {"rerank": "none"}, {"mode": "dense"}, {"mode": "hybrid"}],
    ids=lambda way: "-".join(way.values()) or "default",
)
def test_search_finds_and_tells(world: Memory, way: dict[str, str]) -> None:
    response = world.post("search", query="Who built the harbour of Tessaly?", top_k=2, **way)
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"hits", "version", "fallback_reason", "timings_ms", "trace"}
    assert (body["version"], body["fallback_reason"], body["trace"]) == (1, None, None)
    assert len(body["hits"]) == 2
    best = body["hits"][0]
    episode = {"ordinal", "heading", "page", "source", "occurred_at", "duplicates"}
    assert set(best) == {"passage_id", "document_id", "title", "text", "score", "rank"} | episode
    assert (best["document_id"], best["title"], best["rank"]) == ("harbour", "The harbour", 1)
    assert best["text"] == HARBOUR["text"]
    assert body["hits"][0]["score"] >= body["hits"][1]["score"]
    assert body["timings_ms"]["total"] > 0


def test_the_trace_of_a_search(world: Memory) -> None:
    trace = world.post("search", query="What did Maren Quill build?", trace=True).json()["trace"]
    names = [stage["name"] for stage in trace["stages"]]
    assert names == ["view", "embed", "dense", "lexical", "walk", "chain", "read", "flow"]
    assert all(stage["ms"] >= 0 for stage in trace["stages"])
    plain = world.post("search", query="What did Maren Quill build?", rerank="none", trace=True).json()["trace"]
    assert [stage["name"] for stage in plain["stages"]] == [
        "view", "embed", "dense", "lexical", "walk", "read", "flow"
    ]  # fmt: skip


def test_an_empty_collection_answers_with_no_hits(memory: Memory) -> None:
    body = memory.post("search", query="Anything?").json()
    assert (body["hits"], body["version"]) == ([], 0)
    answer = memory.post("query", question="Anything?").json()
    assert (answer["found"], answer["hits"], answer["citations"]) == (False, [], [])


def test_a_filter_limits_what_is_returned(memory: Memory) -> None:
    years = {"harbour": 1871, "mill": 1902, "lamp": 1910}
    memory.learn(
        *({**one, "metadata": {"year": years[one["id"]], "kind": "place"}, "source": one["id"]} for one in WORLD)
    )

    def find(**conditions: Any) -> set[str]:
        response = memory.post("search", query="Who built the harbour of Tessaly?", filter=conditions)
        assert response.status_code == 200, response.text
        return {hit["document_id"] for hit in response.json()["hits"]}

    assert find(year=1871) == {"harbour"}
    assert find(year={"gte": 1902}) == {"mill", "lamp"}
    assert find(year={"gte": 1871, "lt": 1910}) == {"harbour", "mill"}
    assert find(source={"in": ["mill", "lamp"]}) == {"mill", "lamp"}
    assert find(kind="place", year={"gt": 1902}) == {"lamp"}
    assert find(kind="person") == set()
    assert find(never="there") == set()


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"year": {"near": 3}}, "filter.year"),
        ({"year": {}}, "filter.year"),
        ({"year": {"in": []}}, "filter.year.in"),
        ({"year": {"in": 3}}, "filter.year.in"),
        ({"year": None}, "filter.year"),
        ({"year": [1]}, "filter.year"),
        ({"source": 3}, "filter.source"),
        ({"occurred_at": "soon"}, "filter.occurred_at"),
        ({"occurred_at": {"gte": "2026-01-01"}}, "filter.occurred_at"),
        ({"source": "\ud800"}, "filter"),
        ({"kind": "a\0b"}, "filter"),
        ({"\ud800": 1}, "filter"),
        ({"kind": nest(200)}, "filter"),
    ],
)
def test_bad_filters(world: Memory, conditions: dict[str, Any], field: str) -> None:
    body = json.dumps({"query": "Who?", "filter": conditions})
    response = world.service.client.post(
        f"{world.path}/search", content=body, headers={"content-type": "application/json"}
    )
    answer = assert_problem(response, 422, "invalid_input", response.json().get("field"))
    assert answer["field"].startswith(field)


def test_a_field_name_that_no_database_can_ask_for(world: Memory) -> None:
    response = world.post("search", query="Who?", filter={'a"b': 1})
    assert_problem(response, 422, "invalid_input", 'filter.a"b')


@pytest.mark.parametrize("field", ["a.b", "a b", "$", "a'b", "[0]", "ключ", "", "x" * 5000])
def test_odd_field_names_in_a_filter_find_their_own(memory: Memory, field: str) -> None:
    memory.learn({**HARBOUR, "metadata": {field: 1}}, MILL)
    response = memory.post("search", query="Who built?", filter={field: 1})
    assert response.status_code == 200, response.text
    assert [hit["document_id"] for hit in response.json()["hits"]] == ["harbour"]


@pytest.mark.parametrize("value", [10**30, -(10**30), 10**400])
def test_numbers_beyond_the_database_in_a_filter(world: Memory, value: int) -> None:
    response = world.post("search", query="Who?", filter={"year": {"gte": value}})
    assert response.status_code in (200, 422), response.text


@pytest.mark.parametrize("path", ["search", "query"])
@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": 1_000_000}, "top_k"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": "many"}, "top_k"),
        ({"mode": "magic"}, "mode"),
        ({"rerank": "best"}, "rerank"),
        ({"mode": "dense", "rerank": "chain"}, "rerank"),
        ({"mode": "hybrid", "rerank": "chain"}, "rerank"),
        ({"min_version": -1}, "min_version"),
        ({"filter": [1]}, "filter"),
        ({"topk": 3}, "topk"),
    ],
)
def test_bad_options(world: Memory, path: str, options: dict[str, Any], field: str) -> None:
    asked = {"search": "query", "query": "question"}[path]
    assert_problem(world.post(path, **{asked: "Who?"}, **options), 422, "invalid_input", field)


@pytest.mark.parametrize(("path", "field"), [("search", "query"), ("query", "question")])
@pytest.mark.parametrize("text", ["", "  \n", "a" * 100_000, "a\0b", "a\ud800b", None, 3])
def test_bad_questions(world: Memory, path: str, field: str, text: Any) -> None:
    response = world.service.client.post(
        f"{world.path}/{path}", content=json.dumps({field: text}), headers={"content-type": "application/json"}
    )
    assert_problem(response, 422, "invalid_input", field)


def test_a_question_may_be_8000_characters_of_anything(world: Memory) -> None:
    for text in ("ž" * 8000, "🐎 " * 4000, "?", "' OR 1=1 --", '"; DROP TABLE passages; --', "\u202e\u0301"):
        assert world.post("search", query=text).status_code == 200


@pytest.mark.parametrize("path", ["search", "query", "documents"])
def test_bodies_that_are_no_json(world: Memory, path: str) -> None:
    client, url, head = world.service.client, f"{world.path}/{path}", {"content-type": "application/json"}
    for content in (b"{", b"", b"\xff\xfe", b"[" * 100_000):
        response = client.post(url, content=content, headers=head)
        assert response.status_code in (400, 422), content[:10]
        assert response.headers["content-type"] == "application/problem+json"
        assert "Traceback" not in response.text
    for content in (b"[]", b"3", b'"x"', b"null"):
        assert client.post(url, content=content, headers=head).status_code == 422
    wrong = client.post(url, content=b'{"query": "Who?"}', headers={"content-type": "text/plain"})
    assert wrong.status_code == 422
    assert wrong.headers["content-type"] == "application/problem+json"


def test_a_field_whose_name_cannot_be_written(world: Memory) -> None:
    response = world.service.client.post(
        f"{world.path}/search", content='{"query": "Who?", "\\ud800": 1}', headers={"content-type": "application/json"}
    )
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "field"), [("search", "query"), ("query", "question")])
@pytest.mark.parametrize(
    ("collection", "status"), [("nowhere", 404), ("%00", 422), ("%ff", 404), ("UPPER", 404), ("..%2f", 404)]
)
def test_unknown_collections(service: Service, path: str, field: str, collection: str, status: int) -> None:
    response = service.client.post(f"/v1/collections/{collection}/{path}", json={field: "Who?"})
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"


def test_unknown_routes_and_methods(service: Service) -> None:
    assert_problem(service.client.get("/v2/nothing"), 404, "no_such_route")
    assert_problem(service.client.put("/v1/collections"), 405, "method_not_allowed")


# Query


def test_an_answer_with_its_citation(world: Memory) -> None:
    world.service.generator.replies.append(BUILDER)
    response = world.post("query", question="Who built the harbour of Tessaly?", trace=True)
    assert response.status_code == 200
    body = response.json()
    assert set(body) >= {
        "answer", "citations", "hits", "notes", "query_id", "strategy", "usage", "timings_ms", "fallback_reason",
    }  # fmt: skip
    assert (body["answer"], body["found"], body["extractive"]) == ("Maren Quill", True, False)
    assert (body["strategy"], body["fallback_reason"], body["notes"]) == ("direct", None, [])
    first = body["citations"][0]
    assert set(first) == {"n", "passage_id", "document_id", "title", "quote", "supported"}
    assert (first["document_id"], first["quote"], first["supported"]) == ("harbour", HARBOUR["text"], True)
    assert body["usage"]["calls"] == 1
    assert body["usage"]["prompt_tokens"] > 0
    assert [stage["name"] for stage in body["trace"]["stages"]][-1] == "answer"
    assert sorted(body["trace"]["order"]) == sorted(hit["passage_id"] for hit in body["hits"])


def test_the_trace_is_there_right_after_the_answer(world: Memory) -> None:
    world.service.generator.replies.append(BUILDER)
    answered = world.post("query", question="Who built the harbour?").json()
    assert answered["trace"] is None
    kept = world.service.client.get(f"/v1/queries/{answered['query_id']}").json()
    assert (kept["question"], kept["answer"], kept["collection"]) == (
        "Who built the harbour?",
        "Maren Quill",
        world.name,
    )
    assert {"stages", "version", "order"} <= set(kept["trace"])
    listed = world.service.client.get("/v1/queries?limit=1").json()["queries"]
    assert [one["id"] for one in listed] == [answered["query_id"]]
    assert "trace" not in listed[0]
    assert_problem(world.service.client.get("/v1/queries/none"), 404, "not_found")


@pytest.mark.parametrize("order", ["edges", "best_first", "document"])
def test_the_order_of_the_passages(world: Memory, order: str) -> None:
    world.service.generator.replies.append(BUILDER)
    body = world.post("query", question="Who built the harbour?", order=order).json()
    assert body["answer"] == "Maren Quill"
    assert_problem(world.post("query", question="Who?", order="random"), 422, "invalid_input", "order")


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (GeneratorUnavailable("connection refused"), "generator_unavailable"),
        (GeneratorTimeout("no answer in 60 s"), "generator_timeout"),
        ("not JSON", "generator_output_invalid"),
    ],
)
def test_a_failing_generator_is_answered_around(world: Memory, reply: Any, code: str) -> None:
    world.service.generator.replies.append(reply)
    body = world.post("query", question="Who built the harbour of Tessaly?").json()
    assert body["extractive"] is True
    assert body["fallback_reason"].startswith(f"{code}: ")
    assert "Maren Quill" in body["answer"]
    assert body["citations"][0]["quote"] in HARBOUR["text"]


def test_several_questions_in_one_search(world: Memory) -> None:
    questions = ["Who built the harbour of Tessaly?", "What of Ostrow?", "Who built the harbour of Tessaly?"]
    results = world.post("search", query=questions, top_k=2).json()["results"]
    assert len(results) == 3
    for question, result in zip(questions, results, strict=True):
        alone = world.post("search", query=question, top_k=2).json()
        assert [hit["passage_id"] for hit in result["hits"]] == [hit["passage_id"] for hit in alone["hits"]]
        assert result["version"] == alone["version"]
    assert list(world.post("search", query=["Ostrow"]).json()) == ["results"]


@pytest.mark.parametrize("query", [[], ["a"] * 101, ["a", " "], ["a", 7], [["a"]], 7, None, {"a": 1}, ["x" * 8_001]])
def test_lists_of_questions_that_make_no_sense(memory: Memory, query: Any) -> None:
    assert_problem(memory.post("search", query=query), 422, "invalid_input", "query")


def test_the_stream_of_an_answer(world: Memory) -> None:
    world.service.generator.replies.append(BUILDER)
    events = read_events(world.post("query", question="Who built the harbour of Tessaly?", stream=True))
    names = [name for name, _ in events]
    assert names[0] == "hits"
    assert names[-1] == "done"
    assert set(names[1:-1]) == {"token"}
    hits, done = events[0][1], events[-1][1]
    assert hits["version"] == 1
    assert hits["hits"][0]["document_id"] == "harbour"
    assert "".join(data["text"] for name, data in events if name == "token") == "Maren Quill" == done["answer"]
    assert done["hits"] == hits["hits"]
    assert done["citations"][0]["document_id"] == "harbour"
    kept = world.service.client.get(f"/v1/queries/{done['query_id']}")
    assert kept.json()["answer"] == "Maren Quill"


def test_a_strategy_and_its_notes(world: Memory) -> None:
    sentence = {"passage": 1, "sentence": HARBOUR["text"]}
    world.service.generator.replies += [json.dumps({"evidence": [sentence]}), BUILDER]
    question = {"question": "Who built the harbour of Tessaly?", "strategy": "extract"}
    events = read_events(world.post("query", **question, stream=True))
    names = [name for name, _ in events]
    assert names[:2] == ["hits", "note"]
    assert set(names[2:-1]) == {"token"}
    done = events[-1][1]
    assert (done["strategy"], done["answer"], done["usage"]["calls"]) == ("extract", "Maren Quill", 2)
    assert done["notes"] == [events[1][1]]
    assert_problem(world.post("query", question="Who?", strategy="guess"), 422, "invalid_input", "strategy")


@pytest.mark.parametrize("reply", [GeneratorUnavailable("refused"), BUILDER[:20] + ScriptedGenerator.BREAK])
def test_a_stream_whose_generator_fails(world: Memory, reply: Any) -> None:
    world.service.generator.replies.append(reply)
    events = read_events(world.post("query", question="Who built the harbour of Tessaly?", stream=True))
    assert events[-1][0] == "done"
    done = events[-1][1]
    assert done["fallback_reason"].startswith("generator_unavailable: ")
    assert done["extractive"] is True
    assert "Maren Quill" in done["answer"]


def test_a_stream_over_an_empty_collection(memory: Memory) -> None:
    events = read_events(memory.post("query", question="Anything?", stream=True))
    assert [name for name, _ in events] == ["hits", "token", "done"]
    assert events[-1][1]["found"] is False


def test_a_stream_for_no_collection_has_a_status(service: Service) -> None:
    response = service.client.post("/v1/collections/nowhere/query", json={"question": "Who?", "stream": True})
    assert_problem(response, 404, "not_found")


# Faults


@pytest.fixture
def faulty(tmp_path: Path, tokenizer_file: Path) -> Iterator[Service]:
    """A service whose generator has a fault, and a client that sees what a user would."""
    generator = BrokenGenerator(["unused"])
    app = create_app(Settings(data_dir=tmp_path), embedder=HashEmbedder(), generator=generator)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        parts: Services = app.state.services
        yield Service(client, parts, generator, make_learner(parts, tokenizer_file))


def test_an_unforeseen_fault_ends_a_stream_with_an_event(faulty: Service, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory("default", faulty)
    memory.learn(*WORLD)
    events = read_events(memory.post("query", question="Who built the harbour?", stream=True))
    assert [name for name, _ in events] == ["hits", "error"]
    assert (events[-1][1]["code"], events[-1][1]["status"]) == ("internal_error", 500)
    assert "secret" not in json.dumps(events)
    assert "secret detail of the fault" in caplog.text


def test_an_unforeseen_fault_tells_only_where_to_look(faulty: Service, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory("default", faulty)
    memory.learn(*WORLD)
    response = memory.post("query", question="Who built the harbour?")
    body = assert_problem(response, 500, "internal_error")
    assert "secret" not in response.text
    reference = body["detail"].split()[-1]
    assert any(reference in record.getMessage() for record in caplog.records)
    assert memory.post("search", query="Who built the harbour?").status_code == 200


def test_a_store_that_fails_has_a_code(faulty: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty.parts.database.close()
    path = faulty.parts.database.path
    assert path is not None
    for file in path.parent.glob("sharpwave.db*"):
        file.unlink()
    path.write_bytes(b"this is no database " * 1000)
    response = faulty.client.get("/v1/collections")
    assert response.status_code in (500, 503)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"].startswith("store_")
    assert faulty.client.get("/healthz").status_code == 200
    assert faulty.client.get("/readyz").status_code == 503


def test_the_documentation_of_the_api_is_served(service: Service) -> None:
    paths = service.client.get("/openapi.json").json()["paths"]
    assert "/v1/collections/{collection}/query" in paths
    assert service.client.get("/docs").status_code == 200


# Notes


def test_the_note_behind_an_answer_is_kept_listed_and_goes_with_its_passage(world: Memory) -> None:
    fact = "Mara Venn founded the Lantern Guild in 1902."
    world.learn({"id": "guild", "title": "Guild", "text": fact})
    asked = "In what year did Mara Venn found the Lantern Guild?"
    hits = world.post("search", query=asked, top_k=1).json()["hits"]
    assert [hit["document_id"] for hit in hits] == ["guild"]
    note = json.dumps({"facts": [{"fact": fact, "passages": [1]}]})
    for _ in range(2):
        world.service.generator.replies += [note, '{"questions": []}', '{"answer": "1902", "passages": [1]}']
        answered = world.post("query", question=asked, strategy="notes", top_k=1).json()
        assert (answered["answer"], answered["fallback_reason"]) == ("1902", None)
    newest, oldest = world.get("notes").json()["notes"]
    assert (newest["text"], newest["question"], newest["query_id"]) == (fact, asked, answered["query_id"])
    assert newest["passage_ids"] == oldest["passage_ids"] == [hits[0]["passage_id"]]
    assert world.get(f"notes?before={newest['id']}").json()["notes"] == [oldest]
    path = f"/v1/collections/{world.name}/notes/{newest['id']}"
    assert world.service.client.delete(path).status_code == 204
    assert_problem(world.service.client.delete(path), 404, "not_found")
    assert world.get("notes").json()["notes"] == [oldest]
    assert world.service.client.delete(f"/v1/collections/{world.name}/documents/guild").status_code == 200
    assert world.get("notes").json()["notes"] == []


def test_other_strategies_leave_no_notes(world: Memory) -> None:
    world.service.generator.replies += ['{"answer": "NOT IN MEMORY", "passages": []}']
    assert world.post("query", question="What is the guild?").status_code == 200
    assert world.get("notes").json() == {"notes": [], "next_cursor": None}
