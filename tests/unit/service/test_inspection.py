"""The routes that show what a memory holds, and those that put it right, in process with the shipped doubles."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from itertools import count
from typing import Any

import networkx
import pytest
from fastapi.testclient import TestClient

from memory_graph.database import Database
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.services import Services
from service.settings import Settings
from tests.unit.factories import commit_documents, embed_names, find_collection, learn_document

DOCUMENTS = (
    learn_document("harbour", "Maren Quill likes Tessaly.", "Tessaly likes Ostrow.", title="The harbour"),
    learn_document("mill", "Ivo Brandt likes Ostrow. Ivo Brandt rests.", title="The mill"),
    learn_document("again", "Maren Quill likes Tessaly.", title="Again"),
)
_numbers = count(1)


class Client:
    """A client of one collection."""

    def __init__(self, client: TestClient, database: Database, name: str) -> None:
        self.client, self.database, self.name = client, database, name

    def get(self, path: str, status: int = 200, **query: Any) -> Any:
        response = self.client.get(f"/v1/collections/{self.name}/{path}", params=query)
        assert response.status_code == status, response.text
        return response.json()

    def correct(self, status: int = 201, **body: Any) -> Any:
        response = self.client.post(f"/v1/collections/{self.name}/corrections", json=body)
        assert response.status_code == status, response.text
        return response.json()

    def phrase(self, name: str) -> Any:
        (found,) = [one for one in self.get("phrases", q=name)["phrases"] if one["name"] == name]
        return self.get(f"phrases/{found['id']}")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Services]]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("inspection"))
    app = create_app(settings, embedder=HashEmbedder(16), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        yield client, app.state.services


@pytest.fixture
def memory(service: tuple[TestClient, Services]) -> Client:
    client, parts = service
    name = f"world-{next(_numbers)}"
    assert client.post("/v1/collections", json={"name": name}).status_code == 201
    cid = find_collection(parts.database, name).id
    commit_documents(parts.database, cid, *(embed_names(one) for one in DOCUMENTS))
    return Client(client, parts.database, name)


def names(page: Any) -> list[str]:
    return [one["name"] for one in page["phrases"]]


def test_phrases_are_found_as_they_are_typed(memory: Client) -> None:
    assert names(memory.get("phrases")) == ["Ivo Brandt", "Maren Quill", "Ostrow", "Tessaly"]
    assert names(memory.get("phrases", q="Qui")) == ["Maren Quill"]
    assert names(memory.get("phrases", q="Qui", match="prefix")) == []
    assert names(memory.get("phrases", q="mAR", match="prefix")) == ["Maren Quill"]
    assert names(memory.get("phrases", q="zz")) == []
    degrees = [(one["name"], one["degree"]) for one in memory.get("phrases", sort="degree")["phrases"]]
    assert degrees == [("Tessaly", 3), ("Maren Quill", 2), ("Ostrow", 2), ("Ivo Brandt", 1)]
    assert memory.get("phrases", 422, q="!?")["field"] == "q"
    assert memory.get("phrases", 422, sort="age")["field"] == "sort"


@pytest.mark.parametrize("sort", ["name", "degree"])
@pytest.mark.parametrize("q", ["", "r"])
def test_pages_of_phrases_hold_each_once(memory: Client, sort: str, q: str) -> None:
    whole = memory.get("phrases", sort=sort, q=q)
    assert whole["next_cursor"] is None
    found, cursor = [], None
    while True:
        more = {"cursor": cursor} if cursor else {}
        page = memory.get("phrases", sort=sort, q=q, limit=1, **more)
        found += page["phrases"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == whole["phrases"]


@pytest.mark.parametrize("cursor", ["x", "W10", "WzEsMl0", "IiI", "eyJhIjoxfQ", "ä", "Wy0xLCJhIl0"])
def test_a_cursor_that_no_page_gave_is_refused(memory: Client, cursor: str) -> None:
    assert memory.get("phrases", 422, cursor=cursor)["field"] == "cursor"


def test_a_phrase_shows_all_that_is_known_of_it(memory: Client) -> None:
    found = memory.phrase("Maren Quill")
    assert (found["key"], found["degree"]) == ("maren quill", 2)
    assert found["surfaces"] == [{"surface": "Maren Quill", "passages": 2}]
    assert [one["document_id"] for one in found["passages"]] == ["harbour", "again"]
    assert found["passages"][0]["text"] == "Maren Quill likes Tessaly."
    assert {one["document_id"]: one["passages"] for one in found["documents"]} == {"again": 1, "harbour": 1}
    (fact,) = found["facts"]
    assert (fact["subject"]["name"], fact["predicate"], fact["object"]["name"]) == ("Maren Quill", "likes", "Tessaly")
    assert (fact["passages"], fact["documents"]) == (2, 2)
    assert found["synonyms"] == []
    assert memory.get("phrases/999999", 404)["code"] == "not_found"


def test_a_phrase_of_another_collection_is_not_there(memory: Client, service: tuple[TestClient, Services]) -> None:
    found = memory.phrase("Ostrow")
    assert service[0].get(f"/v1/collections/default/phrases/{found['id']}").status_code == 404
    fact = found["facts"][0]["id"]
    assert service[0].get(f"/v1/collections/default/facts/{fact}").status_code == 404
    assert service[0].get(f"/v1/collections/default/graph?phrase={found['id']}").status_code == 404


def test_synonyms_are_shown_with_their_similarity(memory: Client) -> None:
    cid = find_collection(memory.database, memory.name).id
    close = learn_document("close", "Maren Quille rests.")
    vector = embed_names(DOCUMENTS[0]).phrase_vectors["maren quill"]
    commit_documents(memory.database, cid, replace(close, phrase_vectors={"maren quille": vector}))
    (near,) = memory.phrase("Maren Quill")["synonyms"]
    assert near["name"] == "Maren Quille"
    assert near["similarity"] == pytest.approx(1.0, abs=2e-3)


def test_facts_are_filtered_and_paged(memory: Client) -> None:
    def facts(**which: Any) -> list[tuple[str, str, str]]:
        found = memory.get("facts", **which)["facts"]
        return [(one["subject"]["name"], one["predicate"], one["object"]["name"]) for one in found]

    maren, tessaly = ("Maren Quill", "likes", "Tessaly"), ("Tessaly", "likes", "Ostrow")
    ivo = ("Ivo Brandt", "likes", "Ostrow")
    assert facts() == [maren, tessaly, ivo]
    assert facts(subject="maren quill!") == [maren]
    assert facts(object="Ostrow") == [tessaly, ivo]
    assert facts(object="Ostrow", document="mill") == [ivo]
    assert facts(predicate="hates") == facts(subject="Nobody") == facts(document="nowhere") == []
    first = memory.get("facts", limit=2)
    second = memory.get("facts", limit=2, cursor=first["next_cursor"])
    assert (len(first["facts"]), len(second["facts"]), second["next_cursor"]) == (2, 1, None)


def test_a_fact_shows_the_passages_that_state_it(memory: Client) -> None:
    (listed,) = memory.get("facts", subject="Maren Quill")["facts"]
    found = memory.get(f"facts/{listed['id']}")
    assert [(one["document_id"], one["text"]) for one in found["evidence"]] == [
        ("harbour", "Maren Quill likes Tessaly."),
        ("again", "Maren Quill likes Tessaly."),
    ]
    assert memory.get("facts/999999", 404)["code"] == "not_found"


def test_the_graph_around_a_name_as_json_and_graphml(memory: Client) -> None:
    by_name = memory.get("graph", center="Ostrow", hops=2)
    graph = networkx.node_link_graph(by_name, edges="edges")
    assert by_name["graph"]["center"] == "Ostrow"
    assert {about["name"] for _, about in graph.nodes(data=True) if about["kind"] == "phrase"} == {
        "Ostrow",
        "Tessaly",
        "Ivo Brandt",
        "Maren Quill",
    }
    by_id = memory.get("graph", phrase=memory.phrase("Ostrow")["id"], hops=2)
    assert by_id == by_name
    response = memory.client.get(f"/v1/collections/{memory.name}/graph?center=Ostrow&hops=2&format=graphml")
    assert response.headers["content-type"].startswith("application/graphml+xml")
    assert set(networkx.read_graphml(BytesIO(response.content)).nodes) == set(graph.nodes)
    assert memory.get("graph", 422)["field"] == "center"
    assert memory.get("graph", 422, center="Ostrow", phrase=1)["field"] == "center"
    assert memory.get("graph", 422, center="Ostrow", hops=7)["field"] == "hops"
    assert "Ostrow" in memory.get("graph", 404, center="Ostro")["detail"]


def test_a_path_is_proved_step_by_step(memory: Client) -> None:
    found = memory.get("path", **{"from": "Maren Quill", "to": "Ivo Brandt"})
    (path,) = found["paths"]
    assert [(step["source"], step["target"]) for step in path] == [
        ("Maren Quill", "Tessaly"),
        ("Tessaly", "Ostrow"),
        ("Ostrow", "Ivo Brandt"),
    ]
    assert {one["document_id"] for one in path[0]["passages"]} == {"harbour", "again"}
    assert path[2]["facts"][0]["passages"][0]["snippet"].startswith("Ivo Brandt likes Ostrow.")
    assert memory.get("path", 404, **{"from": "Maren Quill", "to": "Nobody"})["code"] == "not_found"
    assert memory.get("path", 422, **{"from": "Maren Quill"})["field"] == "to"


def test_the_names_around_names_and_what_joins_them(memory: Client) -> None:
    one, other = (memory.phrase(name)["id"] for name in ("Tessaly", "Ivo Brandt"))
    found = memory.get("neighbourhood", phrase=one)
    assert [(near["name"], near["degree"], near["distance"]) for near in found["names"]] == [
        ("Tessaly", 3, 0),
        ("Maren Quill", 2, 1),
        ("Ostrow", 2, 1),
    ]
    (fact, _) = [tie for tie in found["ties"] if tie["kind"] == "fact"]
    assert (fact["target"], fact["predicate"], fact["weight"]) == (one, "likes", 2)
    assert memory.get(f"facts/{fact['fact_id']}")["subject"]["name"] == "Maren Quill"
    assert not found["cut"]
    both = memory.get("neighbourhood", phrase=[one, other], kind=["fact", "synonym"])
    assert {tie["kind"] for tie in both["ties"]} == {"fact"}
    assert [near["name"] for near in memory.get("neighbourhood", member=[one, other])["names"]] == [
        "Tessaly",
        "Ivo Brandt",
    ]
    assert memory.get("neighbourhood", phrase=one, limit=2)["cut"]
    assert memory.get("neighbourhood", 404, phrase=987654)["code"] == "not_found"
    for field, wrong in (
        ("phrase", {}),
        ("kind.0", {"phrase": one, "kind": "love"}),
        ("phrase.0", {"phrase": 0}),
        ("steps", {"phrase": one, "steps": 7}),
        ("limit", {"phrase": one, "limit": 2001}),
        ("least", {"phrase": one, "least": 0}),
    ):
        assert memory.get("neighbourhood", 422, **wrong)["field"] == field


def test_a_correction_is_previewed(memory: Client) -> None:
    body = {"kind": "merge", "names": ["Maren Quill"], "into": "Tessaly"}
    response = memory.client.post(f"/v1/collections/{memory.name}/corrections/preview", json=body)
    assert response.status_code == 200, response.text
    assert response.json() == {
        "passages": 2,
        "documents": [
            {"document_id": "again", "title": "Again", "passages": 1},
            {"document_id": "harbour", "title": "The harbour", "passages": 1},
        ],
        "phrases": -1,
        "facts": -1,
    }
    assert memory.get("corrections")["corrections"] == []
    assert memory.phrase("Maren Quill")["degree"] == 2
    path = f"/v1/collections/{memory.name}/corrections/preview"
    assert memory.client.post(path, json=body | {"names": ["Nobody"]}).status_code == 404
    assert memory.client.post(path, json=body | {"names": []}).json()["field"] == "names"
    made = memory.correct(**body)
    assert made["passages"] == 2


def test_communities(memory: Client) -> None:
    found = memory.get("communities")
    for one in found["communities"]:
        assert [memory.get(f"phrases/{found_id}")["name"] for found_id in one["phrase_ids"]] == one["phrases"]
    assert found["considered"] == 4
    assert sum(one["size"] for one in found["communities"]) + found["alone"] == 4


def test_stats_tell_size_degrees_and_growth(memory: Client) -> None:
    found = memory.get("stats")
    assert (found["documents"], found["passages"], found["phrases"], found["facts"]) == (3, 4, 4, 3)
    assert found["degrees"] == [{"least": 1, "most": 1, "phrases": 1}, {"least": 2, "most": 3, "phrases": 3}]
    assert found["in_one_passage"] == 0.25
    first = found["most_connected"][0]
    assert (first["name"], first["degree"]) == ("Tessaly", 3)
    assert [(one["version"], one["passages"]) for one in found["growth"]] == [(1, 4)]
    assert found["characters"] == sum(len(one.passage.text) for learned in DOCUMENTS for one in learned.passages)
    assert found["vectors"] == {"texts": 4, "phrases": 4, "facts": 3}


def test_an_empty_collection_can_be_looked_at(service: tuple[TestClient, Services]) -> None:
    empty = Client(service[0], service[1].database, "default")
    assert empty.get("phrases") == {"phrases": [], "next_cursor": None, "became": None}
    assert empty.get("facts") == {"facts": [], "next_cursor": None}
    assert empty.get("stats")["degrees"] == []
    assert empty.get("communities")["communities"] == []
    assert empty.get("corrections")["corrections"] == []


def test_corrections_are_made_listed_and_undone(memory: Client) -> None:
    made = memory.correct(kind="merge", names=["Maren Quill"], into="M. Quill", reason="same person")
    assert (made["state"], made["passages"], made["made_by"]) == ("active", 2, "this machine")
    assert made["what"] == {"names": ["Maren Quill"], "into": "M. Quill"}
    assert [one["key"] for one in memory.get("phrases", q="quill")["phrases"]] == ["m quill"]
    assert memory.get("corrections", state="active")["corrections"] == [made]
    hits = memory.client.post(f"/v1/collections/{memory.name}/search", json={"query": "Tessaly", "min_version": 2})
    assert hits.json()["version"] == made["version"] == 2
    response = memory.client.delete(f"/v1/collections/{memory.name}/corrections/{made['id']}")
    assert (response.status_code, response.json()["state"]) == (200, "undone")
    assert [one["key"] for one in memory.get("phrases", q="quill")["phrases"]] == ["maren quill"]
    again = memory.client.delete(f"/v1/collections/{memory.name}/corrections/{made['id']}")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert memory.client.delete(f"/v1/collections/{memory.name}/corrections/99999").status_code == 404
    assert memory.get("corrections")["corrections"][0]["state"] == "undone"


def test_pages_of_corrections(memory: Client) -> None:
    for name in ("Maren Quill", "Ostrow", "Tessaly"):
        memory.correct(kind="split", name=name, into=f"{name} Two", documents=["again", "mill", "harbour"])
    first = memory.get("corrections", limit=2)
    second = memory.get("corrections", limit=2, cursor=first["next_cursor"])
    assert [one["what"]["name"] for one in (*first["corrections"], *second["corrections"])] == [
        "Tessaly",
        "Ostrow",
        "Maren Quill",
    ]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"kind": "merge", "into": "X"}, 422, "names"),
        ({"kind": "rename", "names": ["a"], "into": "X"}, 422, "kind"),
        ({"kind": "split", "name": "Ostrow", "into": "X"}, 422, "surface"),
        ({"kind": "retract", "subject": "Tessaly", "predicate": "likes"}, 422, "object"),
        ({"kind": "merge", "names": ["a\0"], "into": "X"}, 422, "names.0"),
        ({"kind": "merge", "names": ["Nobody"], "into": "X"}, 404, None),
    ],
)
def test_corrections_that_make_no_sense_are_refused(
    memory: Client, body: dict[str, Any], status: int, field: str | None
) -> None:
    assert memory.correct(status, **body).get("field") == field


def test_feedback_is_shown_listed_and_replaced(memory: Client) -> None:
    ask = memory.client.post(f"/v1/collections/{memory.name}/query", json={"question": "Who likes Tessaly?"})
    query_id = ask.json()["query_id"]
    path = f"/v1/queries/{query_id}/feedback"
    response = memory.client.post(path, json={"rating": -1, "comment": "too short", "correct_answer": "Maren Quill"})
    assert response.status_code == 200, response.text
    shown = memory.client.get(f"/v1/queries/{query_id}").json()
    told = {name: shown[name] for name in ("rating", "comment", "correct_answer", "rated_at")}
    assert told == response.json()
    assert told["comment"] == "too short"

    def listed(**query: Any) -> list[str]:
        return [one["id"] for one in memory.client.get("/v1/queries", params=query).json()["queries"]]

    assert query_id in listed(rating=-1)
    assert query_id in listed(rated=True)
    assert query_id not in listed(rated=False)
    assert query_id not in listed(rating=1)
    assert memory.client.post(path, json={"rating": 1}).status_code == 200
    assert memory.client.get(f"/v1/queries/{query_id}").json()["comment"] is None
    assert query_id in listed(rating=1)
    for body, field in (({}, "rating"), ({"rating": 2}, "rating"), ({"rating": 1, "stars": 5}, "stars")):
        refused = memory.client.post(path, json=body)
        assert (refused.status_code, refused.json()["field"]) == (422, field)
    assert memory.client.post("/v1/queries/nothing/feedback", json={"rating": 1}).status_code == 404
    assert memory.client.get("/v1/queries?rating=3").status_code == 422


def test_questions_are_found_by_their_words_and_their_time(memory: Client) -> None:
    path = f"/v1/collections/{memory.name}/query"
    ids = [
        memory.client.post(path, json={"question": one}).json()["query_id"] for one in ("Who is 100% ÉMILE?", "Who?")
    ]

    def listed(**query: Any) -> list[str]:
        asked = {"collection": memory.name, **query}
        response = memory.client.get("/v1/queries", params=asked)
        assert response.status_code == 200, response.text
        return [one["id"] for one in response.json()["queries"]]

    assert listed(q="WHO IS") == [ids[0]]
    assert listed(q="100% É") == [ids[0]]
    assert listed(q="1%o") == []  # no pattern, but what stands there
    assert set(listed(least_ms=0)) >= set(ids)
    assert listed(least_ms=10**9) == []
    for wrong in ({"least_ms": -1}, {"least_ms": "x"}, {"order": "oldest"}, {"q": "x" * 1001}):
        assert memory.client.get("/v1/queries", params=wrong).status_code == 422


def test_unanswered_questions_come_first_page_by_page(memory: Client) -> None:
    path = f"/v1/collections/{memory.name}/query"
    for number in range(3):
        memory.client.post(path, json={"question": f"Who likes Tessaly, {number}?"})
        memory.client.post(path, json={"question": f"zzzz {number}", "filter": {"source": "nowhere"}})
    asked = {"collection": memory.name, "order": "unanswered_first"}
    whole = memory.client.get("/v1/queries", params={**asked, "limit": 1000}).json()["queries"]
    found = [one["found"] for one in whole]
    assert found == sorted(found)
    assert found.count(False) >= 3
    assert True in found
    for outcome in (False, True):
        moments = [one["created_at"] for one in whole if one["found"] is outcome]
        assert moments == sorted(moments, reverse=True)
    pages, cursor = [], None
    while True:
        page = memory.client.get("/v1/queries", params={**asked, "limit": 2, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        pages += page.json()["queries"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
        other = memory.client.get("/v1/queries", params={"cursor": cursor})  # of the other order
        assert (other.status_code, other.json()["field"]) == (422, "cursor")
    assert [one["id"] for one in pages] == [one["id"] for one in whole]


def test_a_question_names_the_passages_of_its_trace(memory: Client) -> None:
    ask = memory.client.post(f"/v1/collections/{memory.name}/query", json={"question": "Who likes Tessaly?"}).json()
    shown = memory.client.get(f"/v1/queries/{ask['query_id']}").json()
    names = {one["id"]: one for one in shown["passages"]}
    for hit in ask["hits"]:
        told = names[hit["passage_id"]]
        assert (told["document_id"], told["ordinal"]) == (hit["document_id"], hit["ordinal"])
    assert [one["passage_id"] for one in shown["trace"]["citations"]] == [one["passage_id"] for one in ask["citations"]]
    (flow,) = [stage["detail"] for stage in shown["trace"]["stages"] if stage["name"] == "flow"]
    assert {one["passage_id"] for one in flow["places"]} == {hit["passage_id"] for hit in ask["hits"]}
    gone = ask["hits"][0]["document_id"]
    assert memory.client.delete(f"/v1/collections/{memory.name}/documents/{gone}").status_code == 200
    assert memory.client.get(f"/v1/queries/{ask['query_id']}").json()["passages"] == []  # the trace has no words now


def test_feedback_goes_with_what_it_rests_on(memory: Client) -> None:
    ask = memory.client.post(f"/v1/collections/{memory.name}/query", json={"question": "Who likes Tessaly?"})
    path = f"/v1/queries/{ask.json()['query_id']}"
    said = {"rating": -1, "comment": "no", "correct_answer": "Ivo Brandt of the mill"}
    assert memory.client.post(f"{path}/feedback", json=said).status_code == 200
    assert memory.client.delete(f"/v1/collections/{memory.name}/documents/mill").status_code == 200
    shown = memory.client.get(path).json()
    assert (shown["rating"], shown["comment"], shown["correct_answer"]) == (-1, None, None)
    assert "Ivo" not in json.dumps(shown)
    refused = memory.client.post(f"{path}/feedback", json=said)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert memory.client.post(f"{path}/feedback", json={"rating": 1}).status_code == 200


def test_inspection_follows_a_merge_by_the_old_id_and_by_the_old_name(memory: Client) -> None:
    old, other = memory.phrase("Maren Quill"), memory.phrase("Ivo Brandt")
    made = memory.correct(kind="merge", names=["Maren Quill"], into="Ivo Brandt")
    again = memory.correct(kind="merge", names=["Ivo Brandt"], into="Captain Brandt")
    found = memory.get(f"phrases/{old['id']}")
    assert (found["key"], found["merged_from"]) == ("captain brandt", old["id"])
    assert memory.get(f"phrases/{found['id']}")["merged_from"] is None
    shown = memory.get("neighbourhood", phrase=old["id"], member=other["id"])
    assert [one["id"] for one in shown["names"] if not one["distance"]] == [found["id"]]
    into = {"into": found["id"], "name": found["name"]}
    assert shown["merged"] == [{"id": one, **into} for one in sorted((old["id"], other["id"]))]
    assert memory.get("graph", phrase=old["id"])["graph"]["center"] == found["name"]
    assert memory.get("graph", center="Maren Quill")["graph"]["center"] == found["name"]
    assert memory.get("path", **{"from": "Maren Quill", "to": "Ostrow"})["paths"]
    listed = memory.get("phrases", q="maren quill")
    assert (listed["phrases"], listed["became"]["id"]) == ([], found["id"])
    assert memory.get("phrases", q="nobody")["became"] is None
    for one in (again, made):
        url = f"/v1/collections/{memory.name}/corrections/{one['id']}"
        assert memory.client.delete(url).status_code == 200
    memory.get(f"phrases/{old['id']}", status=404)  # what an undone merge gives back has another id
    assert memory.phrase("Maren Quill")["key"] == "maren quill"


def test_communities_are_looked_for_anew_when_the_memory_changes(memory: Client) -> None:
    old = memory.phrase("Maren Quill")["id"]
    before = memory.get("communities")
    assert memory.get("communities") == before
    memory.correct(kind="merge", names=["Maren Quill"], into="Ivo Brandt")
    after = memory.get("communities")
    assert old in [one for group in before["communities"] for one in group["phrase_ids"]]
    assert old not in [one for group in after["communities"] for one in group["phrase_ids"]]
    assert after["considered"] == before["considered"] - 1
    memory.get("communities", status=422, limit=0)
