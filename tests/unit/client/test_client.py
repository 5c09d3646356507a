"""Both clients against a service on a real port: one set of tests, since they are described once."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.transfer import import_file
from sharpwave_client import (
    Answer,
    AsyncClient,
    Client,
    Conflict,
    Found,
    InvalidRequest,
    JobFailed,
    NewDocument,
    NotFound,
    Retry,
    TimedOut,
    Token,
    Unauthorized,
)
from sharpwave_client.api import Api
from sharpwave_client.call import Call
from sharpwave_client.calls import inspection, keeping, memory, recall
from sharpwave_client.models import Job
from tests.unit.client.serving import ADMIN_KEY, Served, served

HARBOUR = NewDocument(id="harbour", title="The harbour", text="Maren Quill built the harbour of Tessaly in 1871.")
MILL = {"id": "letters/mill 1?", "title": "The mill", "text": "Ivo Brandt built the mill at Ostrow.", "source": "post"}
PATIENCE_S = 60.0
_numbers = count()

# Not for programs that use the memory: pages for people, protocols of others, and what operators read.
LEFT_OUT = {
    "GET /metrics": "read by Prometheus",
    "GET /v1/overview": "drawn by the dashboard",
    "GET /v1/overview/tokens": "drawn by the dashboard",
    "GET /v1/installation": "for operators, as is the command line",
    "POST /v1/doctor": "for operators, as is the command line",
    "GET /v1/jobs/{job_id}/throughput": "drawn by the dashboard",
    "GET /v1/jobs/{job_id}/documents": "drawn by the dashboard",
    "POST /v1/chat/completions": "the OpenAI API has clients of its own",
    "GET /v1/models/{model}": "the OpenAI API has clients of its own",
    "GET /v1/models": "the OpenAI API has clients of its own",
}
PARAMETERS_LEFT_OUT = {"GET /v1/collections/{collection}/graph": {"format"}}  # answers are JSON objects


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("client"), tokenizer_file) as up:
        yield up


class Driver:
    """Calls a client of either kind by the names of its methods, and gives whole lists for iterators."""

    def __init__(self, url: str, *, asynchronous: bool, key: str | None = ADMIN_KEY) -> None:
        self._loop = asyncio.Runner() if asynchronous else None
        options: dict[str, Any] = {"key": key, "retry": Retry(attempts=2, first_s=0.0)}
        self._client: Any = AsyncClient(url, **options) if asynchronous else Client(url, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            got = getattr(self._client, name)(*args, **kwargs)
            if self._loop is not None:
                return self._loop.run(_finished(got))
            return list(got) if isinstance(got, Iterator) else got

        return call

    def close(self) -> None:
        if self._loop is None:
            self._client.close()
        else:
            self._loop.run(self._client.aclose())
            self._loop.close()


async def _finished(got: Any) -> Any:
    return [one async for one in got] if isinstance(got, AsyncIterator) else await got


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def client(request: pytest.FixtureRequest, service: Served) -> Iterator[Driver]:
    driver = Driver(service.url, asynchronous=request.param)
    yield driver
    driver.close()


@pytest.fixture
def name(client: Driver) -> str:
    """A collection that knows two documents."""
    name = f"memory-{next(_numbers)}"
    client.create_collection(name, "of a test")
    client.wait_for_job(client.add_documents(name, [HARBOUR, MILL]).job_id, timeout_s=PATIENCE_S)
    return name


def test_collections_are_made_listed_and_deleted(client: Driver, name: str) -> None:
    found = client.get_collection(name)
    assert (found.name, found.description, found.documents, found.version) == (name, "of a test", 2, 1)
    assert found in client.list_collections()
    with pytest.raises(Conflict) as caught:
        client.create_collection(name)
    assert (caught.value.code, caught.value.status) == ("conflict", 409)
    assert client.delete_collection(name) is None
    with pytest.raises(NotFound, match=name):
        client.get_collection(name)


def test_documents_are_listed_over_pages_and_forgotten(client: Driver, name: str) -> None:
    first = client.list_documents(name, limit=1)
    assert [one.id for one in first.items] == ["harbour"]
    assert first.next_cursor is not None
    assert [one.id for one in client.documents(name, limit=1)] == ["harbour", "letters/mill 1?"]
    mill = client.get_document(name, "letters/mill 1?")
    assert (mill.title, mill.source, mill.contents[0].text) == ("The mill", "post", MILL["text"])
    assert client.get_passage(name, mill.contents[0].id, context=1).document_id == mill.id
    assert client.forget_document(name, mill.id, dry_run=True).dry_run
    assert client.forget_document(name, mill.id).documents == 1
    with pytest.raises(NotFound):
        client.get_document(name, mill.id)
    gone = client.forget(name, everything=True)
    assert (gone.documents, client.get_collection(name).documents) == (1, 0)
    assert gone.purge_id in [one.id for one in client.purges()]
    assert client.get_purge(gone.purge_id).collection == name


@pytest.mark.parametrize("key", [".", "..", "a/../b", "100 %", "ünï/ö?#&", "%2F"])
def test_a_document_may_have_any_id(client: Driver, name: str, key: str) -> None:
    client.wait_for_job(client.add_documents(name, [{"id": key, "text": "Ivo Brandt."}]).job_id, timeout_s=PATIENCE_S)
    assert client.get_document(name, key).id == key
    assert client.forget_document(name, key).documents == 1


def test_files_are_uploaded_by_path_and_as_bytes(client: Driver, name: str, tmp_path: Path) -> None:
    path = tmp_path / "lamp.md"
    path.write_text("# The lamp\n\nThe lamp of Tessaly burns oil.")
    ref = client.upload_files(name, [path, ("a.txt", b"Ivo Brandt rows."), ("b.toml", b"x = 1")], duplicates="keep")
    job = client.wait_for_job(ref.job_id, timeout_s=PATIENCE_S)
    assert (job.progress.documents, [one.name for one in job.failures]) == (2, ["b.toml"])
    assert {one.id for one in client.documents(name)} >= {"lamp.md", "a.txt"}


def test_a_job_is_waited_for_followed_and_moved(client: Driver, service: Served, name: str) -> None:
    service.working.clear()
    try:
        job_id = client.add_documents(name, ["Maren Quill came back."], priority="low").job_id
        seen: list[Job] = []
        with pytest.raises(TimedOut, match="queued"):
            client.wait_for_job(job_id, timeout_s=0.0, on_progress=seen.append)
        assert [(one.id, one.state, one.priority) for one in seen] == [(job_id, "queued", "low")]
        assert client.cancel_job(job_id).state == "cancelled"
    finally:
        service.working.set()
    with pytest.raises(JobFailed, match="cancelled") as caught:
        client.wait_for_job(job_id)
    assert caught.value.job.id == job_id
    assert client.wait_for_job(job_id, check=False).state == "cancelled"
    with pytest.raises(Conflict):
        client.resume_job(job_id)
    with pytest.raises(Conflict):
        client.retry_job(job_id)
    other = client.add_documents(name, ["Ivo Brandt came back."]).job_id
    followed = client.follow_job(other)
    assert (followed[-1].id, followed[-1].state) == (other, "succeeded")
    assert client.get_job(other) == followed[-1]
    assert {job_id, other} <= {one.id for one in client.jobs()}
    assert client.remove_job(job_id) is None
    with pytest.raises(NotFound):
        client.follow_job(job_id)


def test_passages_are_found(client: Driver, name: str) -> None:
    result = client.search(name, "Who built the harbour of Tessaly?", top_k=1, min_version=1, trace=True)
    (hit,) = result.hits
    assert (hit.document_id, hit.rank, hit.title) == ("harbour", 1, "The harbour")
    assert result.trace is not None
    assert result.version == 1
    found = client.search(name, "Who built it?", mode="dense", filter={"source": "post"})
    assert [one.document_id for one in found.hits] == [MILL["id"]]


def test_a_question_is_answered_whole_and_in_events(client: Driver, service: Served, name: str) -> None:
    reply = json.dumps({"answer": "Maren Quill", "passages": [1]})
    service.generator.replies[:] = [reply]
    whole = client.ask(name, "Who built the harbour of Tessaly?", order="best_first")
    assert (whole.answer, whole.found, whole.citations[0].document_id) == ("Maren Quill", True, "harbour")
    service.generator.replies[:] = [reply]
    events = client.stream_answer(name, "Who built the harbour of Tessaly?", order="best_first")
    assert isinstance(events[0], Found)
    assert "".join(one.text for one in events if isinstance(one, Token)) == "Maren Quill"
    assert isinstance(events[-1], Answer)
    assert (events[-1].answer, events[-1].citations) == (whole.answer, whole.citations)
    assert client.get_query(whole.query_id).answer == "Maren Quill"
    assert {whole.query_id, events[-1].query_id} <= {one.id for one in client.queries()}
    assert client.list_notes(name).items == ()
    assert list(client.notes(name)) == []
    with pytest.raises(NotFound):
        client.forget_note(name, 1)


def test_rules_of_retention_are_written_run_and_deleted(client: Driver, name: str) -> None:
    rule = client.put_retention_rule(name, "post", filter={"source": "post"})
    assert client.list_retention_rules(name) == [rule]
    assert client.run_retention_rule(name, "post", dry_run=True).documents == 1
    assert client.run_retention_rule(name, "post").documents == 1
    assert client.delete_retention_rule(name, "post") is None
    assert client.list_retention_rules(name) == []


def test_the_service_tells_how_it_is(client: Driver) -> None:
    assert client.health().status == "ok"
    assert client.readiness().ready


def test_a_collection_is_exported(client: Driver, service: Served, name: str, tmp_path: Path) -> None:
    client.save_export(name, tmp_path / "memory.jsonl")
    assert (tmp_path / "memory.jsonl").read_bytes() == client.export_collection(name)
    made, counts = import_file(service.parts.database, tmp_path / "memory.jsonl", "hash-64", name=f"{name}-copy")
    assert (counts["document"], client.get_collection(made.name).passages) == (2, 2)
    query = "Who built the harbour of Tessaly?"
    assert [(one.document_id, one.score) for one in client.search(made.name, query).hits] == [
        (one.document_id, one.score) for one in client.search(name, query).hits
    ]
    with pytest.raises(NotFound):
        client.save_export("nobody", tmp_path / "nobody.jsonl")
    assert [one.name for one in tmp_path.iterdir()] == ["memory.jsonl"]


def test_what_is_refused_says_why(client: Driver, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.search(name, "  ")
    assert (caught.value.code, caught.value.field, caught.value.status) == ("invalid_input", "query", 422)
    assert caught.value.errors[0]["field"] == "query"
    with pytest.raises(InvalidRequest):
        client.stream_answer(name, "  ")
    with pytest.raises(ValueError, match="extra"):
        client.add_documents(name, [{"text": "x", "texxt": "y"}])


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("key", [None, "wrong"])
def test_without_the_key_nothing_is_told(service: Served, key: str | None, asynchronous: bool) -> None:
    driver = Driver(service.url, asynchronous=asynchronous, key=key)
    with pytest.raises(Unauthorized) as caught:
        driver.list_collections()
    driver.close()
    assert caught.value.code == "unauthorized"


def test_every_route_has_a_method_or_is_left_out_on_purpose(service: Served) -> None:
    paths = service.app.openapi()["paths"]
    routes = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    described = {call.method + " " + call.route: call for call in _described()}
    assert routes - described.keys() - LEFT_OUT.keys() == set()
    assert not described.keys() & LEFT_OUT.keys()


def test_every_parameter_of_a_route_is_one_of_its_requests(service: Served) -> None:
    asked: dict[str, set[str]] = {}
    for call in _described():
        asked.setdefault(f"{call.method} {call.route}", set()).update(call.params)
    for path, methods in service.app.openapi()["paths"].items():
        for method, told in methods.items():
            route = f"{method.upper()} {path}"
            if route in asked:
                known = {one["name"] for one in told.get("parameters", ()) if one["in"] == "query"}
                assert asked[route] == known - PARAMETERS_LEFT_OUT.get(route, set()), route


def test_lists_are_narrowed_and_ordered(client: Driver, service: Served, name: str) -> None:
    service.generator.replies[:] = [json.dumps({"answer": "Maren Quill", "passages": [1]})]
    asked = client.ask(name, "Who built the harbour of Tessaly?")
    client.rate_answer(asked.query_id, 1)
    of = {"collection": name}
    for given in ({"q": "harbour"}, {"rating": 1}, {"rated": True}, {"answered": True}, {"document": "harbour"}):
        assert [one.id for one in client.queries(**of, **given)] == [asked.query_id]
    long_ago, ages = datetime(2020, 1, 1, tzinfo=UTC), 10**9
    for given in ({"q": "ferry"}, {"rating": -1}, {"until": long_ago}, {"least_ms": ages}, {"document": MILL["id"]}):
        assert client.queries(**of, **given) == []
    assert len(client.list_queries(**of, since=long_ago, least_ms=0, order="unanswered_first").items) == 1
    assert [one.collection for one in client.jobs(**of, state="succeeded")] == [name]
    assert client.jobs(**of, state="failed") == []
    assert client.notes(name, changed=True) == []
    assert [one["key"] for one in client.phrases(name, q="tess", match="prefix", sort="degree")] == ["tessaly"]
    assert client.phrases(name, q="essaly", match="prefix") == []
    assert client.corrections(name, state="undone", kind="merge") == []
    assert name in [one.name for one in client.collections(limit=1)]
    assert client.retention_rules(name) == []
    made = client.create_key("k", scopes=["write"], tokens_per_day=5, bytes_per_day=7)
    assert (made.tokens_per_day, made.bytes_per_day, made.bytes_today) == (5, 7, 0)
    assert made.id in [one.id for one in client.list_keys().items]
    client.revoke_key(made.id)


def test_every_request_is_a_method_of_the_clients() -> None:
    streams = {memory.job_events}  # behind ``follow_job``
    methods = {one.describe for one in vars(Api).values() if hasattr(one, "describe")}
    assert methods == set(_describing()) - streams
    for kind in (Client, AsyncClient):
        own = {name for name, one in vars(kind).items() if inspect.isfunction(one) and not name.startswith("_")}
        assert own - {"close", "aclose"} == {"send", "stream", "follow_job", "wait_for_job", "save_export"}


def _describing() -> list[Callable[..., Call[Any]]]:
    return [
        one
        for module in (memory, recall, keeping, inspection)
        for name, one in vars(module).items()
        if inspect.isfunction(one) and one.__module__ == module.__name__ and not name.startswith("_")
    ]


def _described() -> Iterator[Call[Any]]:
    """Yield what each function describes, given some text for whatever it needs."""
    for describe in _describing():
        needed = [one for one in inspect.signature(describe).parameters.values() if one.default is one.empty]
        values = {"correction": {}, "rating": 1}
        yield describe(**{one.name: values.get(one.name, "x") for one in needed})
