"""Lists of documents and of their passages over HTTP: narrowed, sorted, forwards and back; and who quoted what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from memory_graph.store import listing
from memory_graph.store.collections import get_collection
from memory_graph.store.queries import add_queries
from memory_graph.store.rows import now
from memory_graph.tables import passages
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.services import Services
from service.settings import Settings
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection

PATH = "/v1/collections/shelf"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Services]]:
    app = create_app(
        Settings(data_dir=tmp_path_factory.mktemp("lists")), embedder=HashEmbedder(), generator=ScriptedGenerator([])
    )
    with TestClient(app, base_url="http://localhost") as client:
        parts: Services = app.state.services
        cid = new_collection(parts.database, "shelf").id
        texts = [f"Ada Quill likes Bram Oster. Part {number}." for number in range(5)]
        commit_documents(
            parts.database,
            cid,
            learn_document("ferry.md", *texts, title="The Ferry", source="post"),
            learn_document("mill", "Cora Finch likes Ada Quill.", title="a mill"),
            learn_document("100%_sure", "Nothing.", source="Post office"),
        )
        yield client, parts


@pytest.fixture
def client(service: tuple[TestClient, Services]) -> TestClient:
    return service[0]


def ids(client: TestClient, **params: Any) -> list[str]:
    response = client.get(f"{PATH}/documents", params=params)
    assert response.status_code == 200, response.text
    return [one["id"] for one in response.json()["documents"]]


@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({}, ["ferry.md", "mill", "100%_sure"]),
        ({"order": "desc"}, ["100%_sure", "mill", "ferry.md"]),
        ({"sort": "title"}, ["100%_sure", "mill", "ferry.md"]),
        ({"sort": "passages", "order": "desc"}, ["ferry.md", "100%_sure", "mill"]),
        ({"q": "FERRY"}, ["ferry.md"]),
        ({"q": "post"}, ["ferry.md", "100%_sure"]),
        ({"q": "%_"}, ["100%_sure"]),
        ({"q": "ferry%"}, []),
        ({"q": "  "}, ["ferry.md", "mill", "100%_sure"]),
        ({"source": "post"}, ["ferry.md"]),
        ({"since": "2020-01-01T00:00:00Z", "until": "2021-01-01T00:00:00Z"}, []),
        ({"copies": "false", "q": "mill"}, ["mill"]),
        ({"job": "none"}, []),
    ],
)
def test_documents_are_narrowed_and_sorted(client: TestClient, params: dict[str, Any], found: list[str]) -> None:
    assert ids(client, **params) == found


@pytest.mark.parametrize(
    "params",
    [
        {"sort": "size"},
        {"order": "up"},
        {"since": "2020-01-01"},
        {"until": "2020-01-01T00:00:00"},
        {"copies": "perhaps"},
        {"q": "x" * 1_001},
        {"q": "a\0b"},
        {"source": "x" * 2_001},
        {"job": "x" * 37},
        {"cursor": "x"},
    ],
)
def test_what_makes_no_sense_is_named(client: TestClient, params: dict[str, Any]) -> None:
    response = client.get(f"{PATH}/documents", params=params)
    assert (response.status_code, response.json()["field"]) == (422, *params)


@pytest.mark.parametrize("sort", ["learned", "title", "passages", "occurred"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_cursors_lead_on_and_back_and_fit_their_own_order(client: TestClient, sort: str, order: str) -> None:
    how = {"sort": sort, "order": order, "limit": 1}
    whole = ids(client, **{**how, "limit": 10})
    first = client.get(f"{PATH}/documents", params=how).json()
    second = client.get(f"{PATH}/documents", params={**how, "cursor": first["next_cursor"]}).json()
    third = client.get(f"{PATH}/documents", params={**how, "cursor": second["next_cursor"]}).json()
    back = client.get(f"{PATH}/documents", params={**how, "cursor": third["previous_cursor"]}).json()
    assert [page["documents"][0]["id"] for page in (first, second, third)] == whole
    assert (first["previous_cursor"], third["next_cursor"]) == (None, None)
    assert back["documents"] == second["documents"]
    other = {**how, "order": "desc" if order == "asc" else "asc", "cursor": first["next_cursor"]}
    assert client.get(f"{PATH}/documents", params=other).status_code == 422


def test_a_page_that_found_nothing_yet_says_where_to_go_on(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "NEAR", 2)
    page = client.get(f"{PATH}/documents", params={"q": "sure"}).json()
    assert page["documents"] == []
    assert ids(client, q="sure", cursor=page["next_cursor"]) == ["100%_sure"]


def test_a_document_can_be_had_without_its_passages(client: TestClient) -> None:
    whole, bare = (client.get(f"{PATH}/documents/ferry.md", params={"contents": one}) for one in ("true", "false"))
    assert len(whole.json().pop("contents")) == 5
    assert bare.json() == {**whole.json(), "contents": []}
    assert bare.headers["ETag"] == whole.headers["ETag"]


def test_passages_come_with_where_names_and_facts_stand(client: TestClient) -> None:
    page = client.get(f"{PATH}/passages", params={"document": "ferry.md", "limit": 2}).json()
    assert (page["total"], [one["ordinal"] for one in page["passages"]]) == (5, [0, 1])
    passage = page["passages"][0]
    (fact,) = passage["facts"]
    assert (fact["subject"]["name"], fact["predicate"], fact["object"]["name"]) == ("Ada Quill", "likes", "Bram Oster")
    names = {one["id"]: one["name"] for one in passage["names"]}
    marked = [
        (passage["text"][one["start"] : one["end"]], names.get(one["phrase_id"]), one["fact_ids"])
        for one in passage["marks"]
    ]
    assert marked == [
        ("Ada Quill", "Ada Quill", [fact["id"]]),
        ("likes", None, [fact["id"]]),
        ("Bram Oster", "Bram Oster", [fact["id"]]),
        ("Part", "Part", []),
    ]
    rest = client.get(f"{PATH}/passages", params={"document": "ferry.md", "cursor": page["next_cursor"]}).json()
    assert ([one["ordinal"] for one in rest["passages"]], rest["next_cursor"]) == ([2, 3, 4], None)
    later = client.get(f"{PATH}/passages", params={"document": "ferry.md", "from": 4}).json()
    assert [one["ordinal"] for one in later["passages"]] == [4]
    assert client.get(f"{PATH}/passages", params={"document": "ferry.md", "from": 5}).json()["passages"] == []


@pytest.mark.parametrize(
    ("params", "status", "field"),
    [
        ({}, 422, "document"),
        ({"document": ""}, 422, "document"),
        ({"document": "nobody"}, 404, None),
        ({"document": "mill", "from": -1}, 422, "from"),
        ({"document": "mill", "from": 2**31}, 422, "from"),
        ({"document": "mill", "cursor": "x"}, 422, "cursor"),
    ],
)
def test_passages_that_cannot_be_listed(
    client: TestClient, params: dict[str, Any], status: int, field: str | None
) -> None:
    response = client.get(f"{PATH}/passages", params=params)
    assert (response.status_code, response.json().get("field")) == (status, field)


def test_questions_are_found_by_the_document_that_their_answer_quotes(
    service: tuple[TestClient, Services],
) -> None:
    client, parts = service
    with parts.database.write() as connection:
        cid = get_collection(connection, "shelf").id
        by_text = dict(connection.execute(passages.select().with_only_columns(passages.c.text, passages.c.id)).all())
        mill, ferry = by_text["Cora Finch likes Ada Quill."], by_text["Ada Quill likes Bram Oster. Part 0."]
        row: dict[str, Any] = {"collection_id": cid, "question": "?", "answer": "!", "found": True, "version": 1}
        row |= {"fallback_reason": None, "milliseconds": 1, "trace": {"order": [mill, ferry]}, "created_at": now()}
        add_queries(
            connection,
            [
                {**row, "id": "of the mill", "cited": [mill, mill]},
                {**row, "id": "of both", "cited": [ferry, mill]},
                {**row, "id": "of neither", "cited": [10**9]},
                {**row, "id": "of what is gone", "cited": [mill], "trace": {"order": [10**9]}},
            ],
        )

    def quoting(document: str) -> set[str]:
        found = client.get("/v1/queries", params={"collection": "shelf", "document": document}).json()["queries"]
        assert {one["id"] for one in found} == {
            one["id"] for one in client.get("/v1/queries", params={"document": document}).json()["queries"]
        }
        return {one["id"] for one in found}

    assert quoting("mill") == {"of the mill", "of both"}
    assert quoting("ferry.md") == {"of both"}
    assert quoting("nobody") == set()
    assert client.get("/v1/queries", params={"collection": "default", "document": "mill"}).json()["queries"] == []
    commit_documents(parts.database, cid, learn_document("mill", "Another text.", title="a mill"))
    assert quoting("mill") == set()  # the passages that were quoted are no more
    forget_document(parts.database, cid, "ferry.md")
    assert quoting("ferry.md") == set()
