"""MCP over a real port, by the ``mcp`` client, with keys."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent

from ingest.jobs import document_items
from memory_graph.store import jobs as job_store
from memory_graph.types import Document
from service import mcp_tools
from tests.unit.service.listening import Listening, listen

T = TypeVar("T")
HARBOUR = "Maren Quill built the harbour of Tessaly in 1871."
QUESTION = "Who built the harbour of Tessaly?"
BUILDER = json.dumps({"answer": "Maren Quill", "passages": [1]})


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[Listening]:
    with listen(tmp_path_factory.mktemp("mcp"), tokenizer_file) as service:
        service.create("letters", "What came by post")
        service.create("secrets")
        document = Document(id="harbour", title="The harbour", text=HARBOUR)
        service.parts.jobs.submit("letters", document_items([document]))
        service.learn_waiting()
        yield service


@asynccontextmanager
async def connect(service: Listening, key: str, mode: str = "auto") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http_client,
        Client(streamable_http_client(f"{service.url}/mcp", http_client=http_client), mode=mode) as client,
    ):
        yield client


def use(service: Listening, key: str, work: Callable[[Client], Awaitable[T]], mode: str = "auto") -> T:
    async def scenario() -> T:
        async with connect(service, key, mode) as client:
            return await work(client)

    return asyncio.run(scenario())


def call(service: Listening, key: str, name: str, mode: str = "auto", **arguments: Any) -> CallToolResult:
    return use(service, key, lambda client: client.call_tool(name, arguments), mode)


def told(result: CallToolResult) -> dict[str, Any]:
    """Return the structured result, which the text repeats."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert not result.is_error, content.text
    assert json.loads(content.text) == result.structured_content
    structured: dict[str, Any] = result.structured_content
    return structured


def refused(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    assert result.is_error
    assert result.structured_content is None
    return content.text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_tools_are_described_with_types_and_hints(service: Listening, mode: str) -> None:
    listed = use(service, "reader", lambda client: client.list_tools(), mode)
    tools = {tool.name: tool for tool in listed.tools}
    assert set(tools) == {"search", "ask", "remember", "forget", "list_collections"}
    for tool in tools.values():
        assert tool.description
        assert tool.output_schema is not None
        assert tool.input_schema["additionalProperties"] is False
        assert all("description" in one for one in tool.input_schema["properties"].values()), tool.name
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name in ("search", "ask", "list_collections"))
        assert tool.annotations.open_world_hint is False
    forgetting = tools["forget"].annotations
    assert forgetting is not None
    assert forgetting.destructive_hint is True


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_search_finds_passages(service: Listening, mode: str) -> None:
    found = told(call(service, "reader", "search", mode, query=QUESTION, collection="letters"))
    assert [hit["text"] for hit in found["hits"]] == [HARBOUR]
    assert found["hits"][0]["document_id"] == "harbour"


def test_ask_answers_with_citations_and_logs_the_question(service: Listening) -> None:
    service.generator.replies[:] = [BUILDER]
    answered = told(call(service, "reader", "ask", question=QUESTION, collection="letters"))
    assert (answered["answer"], answered["found"], answered["extractive"]) == ("Maren Quill", True, False)
    assert [one["quote"] for one in answered["citations"]] == [HARBOUR]
    logged = httpx.get(f"{service.url}/v1/queries/{answered['query_id']}").json()
    assert (logged["question"], logged["answer"]) == (QUESTION, "Maren Quill")


def test_what_is_remembered_can_be_found_and_forgotten(service: Listening) -> None:
    text = "Ivo Brandt built the mill at Ostrow."
    waiting = told(
        call(
            service, "letters", "remember", text=text, title="The mill", collection="letters", metadata={"kind": "mill"}
        )
    )
    assert (waiting["state"], waiting["searchable"]) == ("queued", False)
    assert "no worker is running" in waiting["message"]
    service.learn_waiting()
    wanted = {"query": "Who built the mill?", "collection": "letters", "filter": {"kind": "mill"}}
    (hit,) = told(call(service, "letters", "search", **wanted))["hits"]
    assert (hit["text"], hit["document_id"]) == (text, waiting["document_id"])
    gone = {"document_id": waiting["document_id"], "collection": "letters"}
    tried = told(call(service, "letters", "forget", **gone, dry_run=True))
    assert (tried["passages"], tried["version"]) == (1, None)
    forgotten = told(call(service, "letters", "forget", **gone))
    assert (forgotten["documents"], forgotten["dry_run"]) == (1, False)
    assert told(call(service, "letters", "search", **wanted))["hits"] == []
    assert refused(call(service, "letters", "forget", **gone)).startswith("not_found: document")


def test_remember_waits_for_a_worker_that_is_there(service: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_tools, "live_workers", lambda _workers: [object()])  # one that this test stands for
    done = threading.Event()

    def work() -> None:
        while not done.wait(0.02):
            service.learn_waiting()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        text = "Ada Holm wrote the almanac of Lissen."
        told_now = told(call(service, "writer", "remember", text=text, collection="secrets", document_id="almanac"))
    finally:
        done.set()
        worker.join()
    assert (told_now["document_id"], told_now["state"], told_now["searchable"]) == ("almanac", "succeeded", True)
    at_once = told(call(service, "writer", "remember", text="Later.", collection="secrets", wait=False))
    assert (at_once["state"], at_once["searchable"]) == ("queued", False)
    assert "goes on by itself" in at_once["message"]
    service.learn_waiting()


def test_a_key_sees_its_collections_alone(service: Listening) -> None:
    listed = told(call(service, "letters", "list_collections"))["collections"]
    assert [(one["name"], one["description"]) for one in listed] == [("letters", "What came by post")]
    assert {one["name"] for one in told(call(service, "all", "list_collections"))["collections"]} >= {"secrets"}
    for tool, arguments in (
        ("search", {"query": QUESTION}),
        ("ask", {"question": QUESTION}),
        ("remember", {"text": "A secret."}),
        ("forget", {"document_id": "almanac"}),
    ):
        answers = {
            refused(call(service, "letters", tool, collection=name, **arguments)).replace(repr(name), "C")
            for name in ("secrets", "nowhere", "default")
        }
        assert answers == {"not_found: collection C does not exist; list_collections names those that you can use"}, (
            tool
        )
    with service.parts.database.read() as connection:
        assert [job for job in job_store.list_jobs(connection) if job.state == "queued"] == []


@pytest.mark.parametrize(
    ("key", "tool", "arguments"),
    [
        ("reader", "remember", {"text": "A letter."}),
        ("reader", "forget", {"document_id": "harbour"}),
        ("writer", "search", {"query": QUESTION}),
        ("writer", "ask", {"question": QUESTION}),
    ],
)
def test_each_tool_needs_its_scope(service: Listening, key: str, tool: str, arguments: dict[str, Any]) -> None:
    told_why = refused(call(service, key, tool, collection="letters", **arguments))
    wanted = "write" if key == "reader" else "read"
    assert told_why.startswith(f"forbidden: this key does not carry the scope {wanted}; ")


@pytest.mark.parametrize(
    ("tool", "arguments", "told_why"),
    [
        ("search", {}, "invalid_input: query: Field required"),
        ("search", {"query": "x", "top_k": 51}, "invalid_input: top_k: Input should be less than or equal to 50"),
        ("search", {"query": "x", "colection": "secrets"}, "invalid_input: colection: Extra inputs are not permitted"),
        ("search", {"query": "x", "filter": {"a": {"near": 1}}}, "invalid_input: "),
        ("remember", {"text": " "}, "invalid_input: text: Value error, must not be empty"),
        ("remember", {"text": "x", "occurred_at": "2026-01-01T00:00:00"}, "invalid_input: occurred_at: "),
        ("forget", {"document_id": "nothing", "collection": "letters"}, "not_found: document 'nothing' does not exist"),
        ("recall", {}, "no_such_tool: there is no tool 'recall'; there are search, ask, "),
    ],
)
def test_wrong_arguments_are_told_by_name(
    service: Listening, tool: str, arguments: dict[str, Any], told_why: str
) -> None:
    assert refused(call(service, "all", tool, **arguments)).startswith(told_why)


def test_a_fault_of_ours_tells_nothing_but_where_to_look(service: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("secret detail of the fault")

    monkeypatch.setattr(service.parts.searcher, "search", fail)
    why = refused(call(service, "reader", "search", query=QUESTION, collection="letters"))
    assert why.startswith("internal_error: something went wrong; the server's log has it as ")


def test_requests_stand_by_themselves(service: Listening) -> None:
    """No session: the second request could have gone to another process."""
    request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_collections"}}
    headers = {"Accept": "application/json, text/event-stream", "Authorization": "Bearer letters"}
    response = httpx.post(f"{service.url}/mcp", json=request, headers=headers)
    assert response.status_code == 200
    assert "mcp-session-id" not in response.headers
    assert "letters" in response.text
    assert "secrets" not in response.text


def test_the_gate_stands_before_it(service: Listening, tmp_path: Path, tokenizer_file: Path) -> None:
    foreign = httpx.post(f"{service.url}/mcp", json={}, headers={"Origin": "https://elsewhere.example"})
    assert (foreign.status_code, foreign.json()["code"]) == (403, "forbidden_origin")
    assert httpx.get(f"{service.url}/mcp").status_code == 405  # nothing to listen to without a session
    with listen(tmp_path, tokenizer_file, admin_key="secret") as locked:
        assert httpx.post(f"{locked.url}/mcp", json={}).status_code == 401
        listed = told(call(locked, "secret", "list_collections"))
        assert [one["name"] for one in listed["collections"]] == ["default"]
