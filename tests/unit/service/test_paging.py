"""Pages of lists: each row once, whatever comes or goes meanwhile, and cursors that cannot be made up."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert

from memory_graph.errors import InvalidInput
from memory_graph.store.collections import get_collection
from memory_graph.store.purges import request_purge
from memory_graph.tables import jobs, notes, queries
from memory_graph.text import hash_text
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import ANYONE, Caller, get_caller
from service.app import create_app
from service.paging import CHECK_DIGITS, MAX_ID, Pages
from service.services import Services
from service.settings import Settings

START = datetime(2026, 5, 1, tzinfo=UTC)
NUMBERS = Pages[tuple[int]]("numbers", int)
MOMENTS = Pages[tuple[datetime, str]]("moments", datetime, str)


def cursor_after(pages: Pages[Any], *key: Any) -> str:
    _, cursor = pages.cut([0, 1], 1, lambda _row: key)
    assert cursor is not None
    return cursor


@pytest.mark.parametrize("number", [0, 1, MAX_ID])
def test_a_cursor_comes_back_as_it_was(number: int) -> None:
    assert NUMBERS.read(cursor_after(NUMBERS, number)) == (number,)
    moment = START.astimezone(timezone(timedelta(hours=3)))
    assert MOMENTS.read(cursor_after(MOMENTS, moment, "ü\n")) == (START, "ü\n")
    assert NUMBERS.read(None) is None


def test_the_last_page_has_no_cursor() -> None:
    assert NUMBERS.cut([1, 2], 2, lambda row: (row,)) == ([1, 2], None)
    page, cursor = NUMBERS.cut([1, 2, 3], 2, lambda row: (row,))
    assert page == [1, 2]
    assert NUMBERS.read(cursor) == (2,)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "7",
        "ü",
        "\0",
        "A" * 8001,
        "A" * 10**6,
        cursor_after(MOMENTS, START, "x"),
        cursor_after(Pages("others", int), 7),
        cursor_after(NUMBERS, -1),
        cursor_after(NUMBERS, MAX_ID + 1),
        cursor_after(NUMBERS, True),
        urlsafe_b64encode(b"[" * 5_000).decode(),
        cursor_after(NUMBERS, 1.5),
        cursor_after(NUMBERS, "7"),
        cursor_after(NUMBERS, 7)[:-2],
        urlsafe_b64encode(b"00000000 [7]").decode(),
        urlsafe_b64encode(b"\xff\xfe").decode(),
        urlsafe_b64encode(b"[" * 300).decode(),
    ],
)
def test_cursors_that_this_list_did_not_give(cursor: str) -> None:
    with pytest.raises(InvalidInput, match=r"cursor: must be the next_cursor of an earlier page"):
        NUMBERS.read(cursor)


NAMES = Pages[tuple[str]]("names", str)


@pytest.mark.parametrize("name", ["ü" * 600, "\U0001f30d" * 600, "a b"])
def test_a_long_name_has_a_cursor(name: str) -> None:
    assert NAMES.read(cursor_after(NAMES, name)) == (name,)


@pytest.mark.parametrize("said", [r'["a\u0000b"]', r'["\ud800"]'])
def test_a_cursor_with_what_no_row_holds(said: str) -> None:
    made = urlsafe_b64encode(f"{hash_text(f'names {said}')[:CHECK_DIGITS]} {said}".encode()).decode().rstrip("=")
    with pytest.raises(InvalidInput, match="cursor"):
        NAMES.read(made)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("pages"))
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        fill(client, app.state.services)
        yield client


def fill(client: TestClient, parts: Services) -> None:
    for name in ("a", "b"):
        assert client.post("/v1/collections", json={"name": name}).status_code == 201
    with parts.database.write() as connection:
        ids = [get_collection(connection, name).id for name in ("a", "b")]
        for number in range(8):
            collection_id, moment = ids[number % 2], START + timedelta(seconds=number // 4)  # four at a time
            job = {"state": "failed" if number < 3 else "succeeded", "split": "none", "fingerprint": "", "runs": 1}
            job |= {"id": f"job-{number}", "collection_id": collection_id, "seconds": {}, "created_at": moment}
            connection.execute(insert(jobs).values(job))
            query = {"id": f"query-{number}", "question": "?", "answer": "", "found": number % 4 == 0, "version": 1}
            query |= {"collection_id": collection_id, "milliseconds": 1, "trace": {}, "created_at": moment}
            query |= {"fallback_reason": "empty_graph" if number > 5 else None}
            connection.execute(insert(queries).values(query))
            note = {"query_id": "q", "question": "?", "text": str(number), "version": 1, "created_at": moment}
            connection.execute(insert(notes).values(note | {"collection_id": ids[0]}))
            request_purge(connection, 1000 + number, 1)
    for name in ("x", "y", "z"):
        assert client.put(f"/v1/collections/a/retention/{name}", json={"max_age_days": 1}).status_code == 200


def read_all(client: TestClient, path: str, field: str, limit: int = 3) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        response = client.get(path, params={"limit": limit, **more})
        assert response.status_code == 200, response.text
        body = response.json()
        found += body[field]
        cursor = body["next_cursor"]
        if cursor is None:
            return found
        assert len(body[field]) == limit


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/jobs", "jobs"),
        ("/v1/queries", "queries"),
        ("/v1/collections/a/notes", "notes"),
        ("/v1/purges", "purges"),
        ("/v1/collections", "collections"),
        ("/v1/collections/a/retention", "rules"),
    ],
)
def test_pages_add_up_to_the_list(client: TestClient, path: str, field: str) -> None:
    whole = client.get(path, params={"limit": 1000}).json()
    assert whole["next_cursor"] is None
    assert len(whole[field]) >= 3
    for limit in (1, 2, 3):
        assert read_all(client, path, field, limit) == whole[field]
    wrong = client.get(path, params={"cursor": cursor_after(NUMBERS, 7)})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "cursor")


def test_rows_of_one_moment_are_in_one_order(client: TestClient) -> None:
    expected = [f"job-{number}" for number in (4, 5, 6, 7, 0, 1, 2, 3)]
    assert [job["id"] for job in read_all(client, "/v1/jobs", "jobs")] == expected


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("state=failed", [0, 1, 2]),
        ("state=failed&collection=b", [1]),
        ("collection=a", [4, 6, 0, 2]),
        ("state=queued", []),
    ],
)
def test_filters_of_jobs(client: TestClient, query: str, numbers: list[int]) -> None:
    found = client.get(f"/v1/jobs?{query}").json()["jobs"]
    assert [one["id"] for one in found] == [f"job-{number}" for number in numbers]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("collection=b", [5, 7, 1, 3]),
        ("answered=true", [4, 0]),
        ("answered=false&collection=a", [6, 2]),
        ("fallback=true", [6, 7]),
        ("fallback=false&answered=true", [4, 0]),
        ("since=2026-05-01T00:00:01Z", [4, 5, 6, 7]),
        ("until=2026-05-01T02:00:01%2B02:00", [0, 1, 2, 3]),
        ("since=2026-05-01T00:00:00Z&until=2026-05-01T00:00:00Z", []),
    ],
)
def test_filters_of_questions(client: TestClient, query: str, numbers: list[int]) -> None:
    found = client.get(f"/v1/queries?{query}").json()["queries"]
    assert [one["id"] for one in found] == [f"query-{number}" for number in numbers]


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/v1/jobs?state=lost", 422, "state"),
        ("/v1/jobs?collection=none", 404, None),
        ("/v1/queries?collection=none", 404, None),
        ("/v1/queries?since=2026-05-01T00:00:00", 422, "since"),
        ("/v1/queries?until=0001-01-01T00:00:00%2B05:00", 422, "until"),
        ("/v1/queries?answered=perhaps", 422, "answered"),
        ("/v1/collections/a/notes?before=99999999999999999999", 422, "before"),
    ],
)
def test_filters_that_make_no_sense(client: TestClient, path: str, status: int, field: str | None) -> None:
    response = client.get(path)
    assert (response.status_code, response.json().get("field")) == (status, field)


def test_who_is_bound_to_a_collection_sees_its_rows_alone(client: TestClient) -> None:
    bound = Caller(id="k", name="k", scopes=frozenset({"read"}), collections=frozenset({"b"}))
    client.app.dependency_overrides[get_caller] = lambda: bound  # type: ignore[attr-defined]
    try:
        assert {one["collection"] for one in read_all(client, "/v1/jobs", "jobs")} == {"b"}
        assert {one["collection"] for one in read_all(client, "/v1/queries", "queries")} == {"b"}
        assert [one["name"] for one in read_all(client, "/v1/collections", "collections")] == ["b"]
        assert read_all(client, "/v1/purges", "purges") == []
        assert client.get("/v1/jobs?collection=a").status_code == 404
        assert client.get("/v1/queries?collection=a").status_code == 404
    finally:
        client.app.dependency_overrides[get_caller] = lambda: ANYONE  # type: ignore[attr-defined]
