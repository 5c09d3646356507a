"""Inspection and corrections over HTTP, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from memory_graph.database import Database, upgrade_schema
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.settings import Settings
from tests.postgres import PostgresServer
from tests.unit.factories import commit_documents, content_of, learn_document, new_collection
from tests.unit.views import assert_up_to_date

IN = "/v1/collections/memory"


def test_names_are_found_put_right_and_back(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.create_database()
    database = Database(url)
    upgrade_schema(database)
    learned = [
        learn_document("a", "Ada Quill likes Bram Oster."),
        learn_document("b", "Bram likes Cora Finch. Bramble likes Cöln."),
    ]
    commit_documents(database, new_collection(database).id, *learned)
    before = content_of(database)
    settings = Settings(data_dir=tmp_path, database_url=url)
    app = create_app(settings, embedder=HashEmbedder(16), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:

        def get(path: str, **query: Any) -> Any:
            response = client.get(f"{IN}/{path}", params=query)
            assert response.status_code == 200, response.text
            return response.json()

        def names(**query: Any) -> list[tuple[str, int]]:
            found, more = [], {}
            while True:
                page = get("phrases", limit=1, **query, **more)
                found += [(one["key"], one["degree"]) for one in page["phrases"]]
                if page["next_cursor"] is None:
                    return found
                more = {"cursor": page["next_cursor"]}

        assert names(q="Bram", match="prefix") == [("bram", 1), ("bram oster", 1), ("bramble", 1)]
        assert names(q="CÖ", match="prefix") == [("cöln", 1)]
        assert [key for key, _ in names(q="o", sort="degree")] == ["bram oster", "cora finch"]
        made = client.post(f"{IN}/corrections", json={"kind": "merge", "names": ["Bram"], "into": "Bram Oster"})
        assert made.status_code == 201, made.text
        assert made.json()["passages"] == 1
        assert names(q="Bram", match="prefix") == [("bram oster", 2), ("bramble", 1)]
        assert names(sort="degree")[0] == ("bram oster", 2)
        (phrase,) = get("phrases", q="Bram Oster")["phrases"]
        assert [one["document_id"] for one in get(f"phrases/{phrase['id']}")["documents"]] == ["a", "b"]
        assert {one["subject"]["name"] for one in get("facts", object="Cora Finch")["facts"]} <= {"Bram Oster", "Bram"}
        assert get("stats")["corrections"] == 1
        assert_up_to_date(app.state.services.views.current("memory")[1], database)
        assert client.delete(f"{IN}/corrections/{made.json()['id']}").json()["state"] == "undone"
        assert names(q="Bram", match="prefix") == [("bram", 1), ("bram oster", 1), ("bramble", 1)]
        assert [one["state"] for one in get("corrections")["corrections"]] == ["undone"]
        assert_up_to_date(app.state.services.views.current("memory")[1], database)
    assert content_of(database) == before
    database.close()
