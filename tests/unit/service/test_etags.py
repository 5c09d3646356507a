"""Tags: who knows an answer gets no second one, and who saw an older document does not overwrite the newer."""

from __future__ import annotations

import pytest

from service.etags import matches
from tests.unit.service.test_api import HARBOUR, MILL, Memory, assert_problem, memory, service, world

__all__ = ["memory", "service", "world"]  # fixtures


def test_an_answer_that_is_known_is_not_sent_again(world: Memory) -> None:
    client = world.service.client
    passage = world.get("documents/harbour").json()["contents"][0]["id"]
    job = client.get("/v1/jobs").json()["jobs"][0]["id"]
    for path in ("", "/documents", "/documents/harbour", f"/passages/{passage}", "/notes"):
        check_known(world, f"{world.path}{path}")
    check_known(world, f"/v1/jobs/{job}")


def check_known(world: Memory, path: str) -> None:
    client = world.service.client
    first = client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    assert client.get(path).headers["etag"] == tag
    known = client.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    assert "content-length" not in known.headers
    assert client.get(path, headers={"If-None-Match": '"other"'}).json() == first.json()


def test_a_change_changes_the_tag(world: Memory) -> None:
    paths = ("", "/documents", "/documents/harbour")
    before = [world.service.client.get(f"{world.path}{path}").headers["etag"] for path in paths]
    world.learn({**HARBOUR, "text": "The harbour of Tessaly is silted up."})
    after = [world.service.client.get(f"{world.path}{path}").headers["etag"] for path in paths]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False] * 3


def test_problems_and_answers_to_other_methods_have_no_tag(world: Memory) -> None:
    assert "etag" not in world.get("documents/none").headers
    assert "etag" not in world.post("search", query="Who?").headers


def put(memory: Memory, text: str, **headers: str) -> int:
    documents = [{**HARBOUR, "text": text}]
    path = f"{memory.path}/documents"
    return memory.service.client.post(path, json={"documents": documents}, headers=headers).status_code


def test_a_document_is_replaced_only_as_it_was_seen(world: Memory) -> None:
    tag = world.get("documents/harbour").headers["etag"]
    assert put(world, "Silted up.", **{"If-Match": '"other"'}) == 412
    assert put(world, "Silted up.", **{"If-Match": tag}) == 202
    # The first has not been learned yet, and the second would overwrite it unseen.
    assert put(world, "Dredged.", **{"If-Match": tag}) == 412
    world.service.learn_waiting()
    assert put(world, "Dredged.", **{"If-Match": tag}) == 412
    assert put(world, "Dredged.", **{"If-Match": world.get("documents/harbour").headers["etag"]}) == 202
    world.service.learn_waiting()
    assert world.get("documents/harbour").json()["contents"][0]["text"] == "Dredged."


def test_a_document_is_made_only_where_there_is_none(memory: Memory) -> None:
    assert put(memory, "New.", **{"If-Match": "*"}) == 412
    assert put(memory, "New.", **{"If-None-Match": "*"}) == 202
    assert put(memory, "Newer.", **{"If-None-Match": "*"}) == 412
    memory.service.learn_waiting()
    assert put(memory, "Newer.", **{"If-None-Match": "*"}) == 412
    assert memory.get("documents/harbour").json()["contents"][0]["text"] == "New."


def test_a_document_is_forgotten_only_as_it_was_seen(world: Memory) -> None:
    client, path = world.service.client, f"{world.path}/documents/harbour"
    tag = client.get(path).headers["etag"]
    refused = client.delete(path, headers={"If-Match": '"other"'})
    assert_problem(refused, 412, "precondition_failed")
    assert client.get(path).status_code == 200
    assert client.delete(path, headers={"If-Match": tag}).status_code == 200
    assert_problem(client.delete(path, headers={"If-Match": tag}), 412, "precondition_failed")


def test_a_tag_speaks_of_one_document(memory: Memory) -> None:
    response = memory.service.client.post(
        f"{memory.path}/documents", json={"documents": [HARBOUR, MILL]}, headers={"If-Match": "*"}
    )
    assert_problem(response, 422, "invalid_input", "If-Match")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], False),
        ([""], False),
        (['"a"'], True),
        (['W/"a"'], True),
        (['"b", "a"'], True),
        (['"b"', '"a"'], True),
        (["*"], True),
        (["a"], False),
        (['"ab"'], False),
    ],
)
def test_matching(given: list[str], expected: bool) -> None:
    assert matches('"a"', given) is expected
