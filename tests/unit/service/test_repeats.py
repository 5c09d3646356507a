"""A write with a key is carried out once, whoever repeats it, and whatever dies in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from memory_graph.errors import Conflict
from memory_graph.store.answers import CLAIM_FOR, KEPT_FOR, drop_answers
from memory_graph.store.rows import now
from memory_graph.tables import kept_answers
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import ANYONE, Caller
from service.app import create_app
from service.repeats import is_repeatable
from service.services import Services
from service.settings import Settings

DOCUMENTS = {"documents": [{"text": "The ferry to Fennay leaves Lissenholt at nine."}]}


class Counter:
    """Routes that say how often they were carried out."""

    def __init__(self, app: FastAPI) -> None:
        self.count = 0
        self.arrived = threading.Event()
        self.go_on = threading.Event()

        @app.post("/v1/count")
        async def add(request: Request) -> dict[str, int]:
            await request.body()
            self.count += 1
            return {"count": self.count}

        @app.post("/v1/ignore-body")
        def ignore() -> dict[str, int]:
            self.count += 1
            return {"count": self.count}

        @app.post("/v1/slow")
        def slow() -> dict[str, int]:
            self.count += 1
            self.arrived.set()
            assert self.go_on.wait(60)
            return {"count": self.count}

        @app.post("/v1/refuse")
        def refuse() -> None:
            self.count += 1
            raise Conflict("no")

        @app.post("/v1/fail")
        def fail() -> None:
            self.count += 1
            raise RuntimeError("fault")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app = create_app(
        Settings(data_dir=tmp_path_factory.mktemp("repeats")), embedder=HashEmbedder(), generator=ScriptedGenerator([])
    )
    app.state.counter = Counter(app)
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def counter(client: TestClient) -> Counter:
    counter: Counter = client.app.state.counter  # type: ignore[attr-defined]
    counter.count = 0
    return counter


@pytest.fixture
def key(request: pytest.FixtureRequest) -> dict[str, str]:
    return {"Idempotency-Key": request.node.name}


def parts_of(client: TestClient) -> Services:
    parts: Services = client.app.state.services  # type: ignore[attr-defined]
    return parts


def count_rows(client: TestClient) -> int:
    with parts_of(client).database.read() as connection:
        return connection.scalar(select(func.count()).select_from(kept_answers)) or 0


def set_rows(client: TestClient, **values: Any) -> None:
    with parts_of(client).database.write() as connection:
        connection.execute(update(kept_answers).values(**values))


def test_a_repetition_is_answered_and_not_carried_out(
    client: TestClient, counter: Counter, key: dict[str, str]
) -> None:
    first = client.post("/v1/count", json={"a": 1}, headers=key)
    again = client.post("/v1/count", json={"a": 1}, headers=key)
    assert first.json() == again.json() == {"count": 1}
    assert (again.status_code, again.headers["content-type"]) == (200, first.headers["content-type"])
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert client.post("/v1/count", json={"a": 1}).json() == {"count": 2}


def test_writes_of_the_api_are_repeated(client: TestClient, key: dict[str, str]) -> None:
    def twice(method: str, path: str, name: str, **more: Any) -> list[tuple[int, bytes]]:
        headers = {"Idempotency-Key": f"{key['Idempotency-Key']}-{name}"}
        return [
            (one.status_code, one.content)
            for one in (client.request(method, path, headers=headers, **more) for _ in "ab")
        ]

    first, again = twice("POST", "/v1/collections", "make", json={"name": "letters"})
    assert first == again
    assert first[0] == 201
    first, again = twice("POST", "/v1/collections/letters/documents", "learn", json=DOCUMENTS)
    assert first == again
    assert first[0] == 202
    first, again = twice("PUT", "/v1/collections/letters/retention/old", "rule", json={"max_age_days": 3})
    assert first == again
    assert first[0] == 200
    assert twice("DELETE", "/v1/collections/letters", "delete") == [(204, b""), (204, b"")]


def test_an_upload_repeated_with_another_boundary_is_the_same(client: TestClient, key: dict[str, str]) -> None:
    path = "/v1/collections/default/files"
    content = b"The ferry leaves at nine.\n" * 50_000
    answers = [
        client.post(
            path,
            content=b'--%s\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n%s\r\n--%s--\r\n'
            % (boundary, content, boundary),
            headers=key | {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"},
        )
        for boundary in (b"one", b"another-boundary-of-other-length")
    ]
    assert [one.status_code for one in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    other = client.post(path, files={"files": ("a.txt", content + b"!")}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "key_reused")


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/count", {"a": 2}), ("/v1/count?b=1", {"a": 1}), ("/v1/ignore-body", {"a": 1})]
)
def test_a_key_is_for_one_request(
    client: TestClient, counter: Counter, key: dict[str, str], path: str, body: dict[str, int]
) -> None:
    client.post("/v1/count", json={"a": 1}, headers=key)
    other = client.post(path, json=body, headers=key)
    assert (other.status_code, other.json()["code"], other.json()["field"]) == (422, "key_reused", "Idempotency-Key")
    assert counter.count == 1


def test_a_body_that_the_route_does_not_read_counts_too(
    client: TestClient, counter: Counter, key: dict[str, str]
) -> None:
    answers = [client.post("/v1/ignore-body", content=b"x" * 200_000, headers=key).json() for _ in "ab"]
    assert answers == [{"count": 1}, {"count": 1}]
    assert client.post("/v1/ignore-body", content=b"y", headers=key).status_code == 422


def test_while_the_first_is_at_work_others_are_told_to_wait(
    client: TestClient, counter: Counter, key: dict[str, str]
) -> None:
    counter.arrived.clear()
    counter.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/v1/slow", headers=key)
        assert counter.arrived.wait(60)
        waiting = client.post("/v1/slow", headers=key)
        counter.go_on.set()
        assert (waiting.status_code, waiting.json()["code"]) == (409, "request_in_progress")
        assert waiting.headers["retry-after"] == "1"
        assert first.result().json() == {"count": 1}
    assert client.post("/v1/slow", headers=key).json() == {"count": 1}


def test_a_request_whose_process_died_is_carried_out_again(
    client: TestClient, counter: Counter, key: dict[str, str]
) -> None:
    client.post("/v1/count", headers=key)
    set_rows(client, status=None, renewed_at=now() - CLAIM_FOR / 2)
    assert client.post("/v1/count", headers=key).status_code == 409
    set_rows(client, renewed_at=now() - CLAIM_FOR * 2)
    assert client.post("/v1/count", headers=key).json() == {"count": 2}
    assert client.post("/v1/count", headers=key).json() == {"count": 2}


@pytest.mark.parametrize(("path", "status"), [("/v1/refuse", 409), ("/v1/fail", 500)])
def test_what_was_refused_or_failed_is_tried_again(
    client: TestClient, counter: Counter, key: dict[str, str], path: str, status: int
) -> None:
    before = count_rows(client)
    assert [client.post(path, headers=key).status_code for _ in "ab"] == [status, status]
    assert counter.count == 2
    assert count_rows(client) == before


def test_a_day_later_the_key_is_free(client: TestClient, counter: Counter, key: dict[str, str]) -> None:
    client.post("/v1/count", headers=key)
    set_rows(client, created_at=now() - KEPT_FOR - timedelta(seconds=1))
    assert client.post("/v1/count", headers=key).json() == {"count": 2}
    with parts_of(client).database.write() as connection:
        drop_answers(connection, now())
    assert client.post("/v1/count", headers=key).json() == {"count": 2}
    with parts_of(client).database.write() as connection:
        drop_answers(connection, now() + KEPT_FOR + timedelta(seconds=1))
    assert count_rows(client) == 0


def test_a_key_is_its_callers_own(
    client: TestClient, counter: Counter, key: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/v1/count", headers=key)
    other = Caller(id="other", name="other", scopes=ANYONE.scopes)
    monkeypatch.setattr("service.auth.ANYONE", other)
    assert client.post("/v1/count", headers=key).json() == {"count": 2}
    monkeypatch.undo()
    assert client.post("/v1/count", headers=key).json() == {"count": 1}


def test_no_row_can_be_read(client: TestClient, key: dict[str, str]) -> None:
    document = {"id": "the-secret-id", "text": "Something."}
    client.post("/v1/collections/default/documents", json={"documents": [document]}, headers=key)
    path = "/v1/collections/secretive"
    client.post(
        "/v1/collections", json={"name": "secretive", "description": "words"}, headers={"Idempotency-Key": "k-2"}
    )
    with parts_of(client).database.read() as connection:
        said = repr(connection.execute(select(kept_answers)).all())
    assert "words" not in said
    assert "the-secret-id" not in said
    assert "secretive" not in said
    assert key["Idempotency-Key"] not in said
    assert client.delete(path).status_code == 204


@pytest.mark.parametrize("headers", [[""], [" "], ["x" * 256], ["a b"], ["a\x7f"], ["ü".encode()], ["one", "two"]])
def test_keys_that_are_none(client: TestClient, counter: Counter, headers: list[Any]) -> None:
    response = client.post("/v1/count", headers=[("Idempotency-Key", one) for one in headers])
    assert (response.status_code, response.json()["field"]) == (422, "Idempotency-Key")
    assert counter.count == 0


def test_reads_take_no_notice(client: TestClient, key: dict[str, str]) -> None:
    before = count_rows(client)
    for _ in "ab":
        found = client.post("/v1/collections/default/search", json={"query": "ferry"}, headers=key)
        assert found.status_code == 200
        assert "idempotency-replayed" not in found.headers
        assert client.get("/v1/collections", headers=key).status_code == 200
    assert count_rows(client) == before


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/v1/collections/a/documents", True),
        ("DELETE", "/v1/collections/a/documents/x/search", True),
        ("PUT", "/v1/collections/a/retention/query", True),
        ("POST", "/v1/collections/a/search", False),
        ("POST", "/v1/collections/a/query", False),
        ("POST", "/v1/chat/completions", False),
        ("GET", "/v1/jobs", False),
        ("POST", "/mcp", False),
        ("POST", "/v1/keys", False),
    ],
)
def test_which_requests_count(method: str, path: str, expected: bool) -> None:
    assert is_repeatable(method, path) is expected
