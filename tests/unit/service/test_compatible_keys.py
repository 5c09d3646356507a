"""The OpenAI routes and MCP with keys of the database: bills, quotas, the audit log, and the examples of the pages."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, TextContent
from openai import OpenAI

from ingest.jobs import document_items
from memory_graph.store.audit import document_target
from memory_graph.types import Document
from tests.unit.service.listening import Listening, listen

DOCS = Path(__file__).parents[3] / "docs"
TEXT = "Ona Falk carved the figurehead of the Sable Plover."
QUESTION = "Who carved the figurehead of the Sable Plover?"
CARVER = json.dumps({"answer": "Ona Falk", "passages": [1]})
MODEL = "sharpwave/default"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[Listening]:
    with listen(tmp_path_factory.mktemp("keys"), tokenizer_file, admin_key="first") as service:
        service.parts.jobs.submit("default", document_items([Document(id="plover", title="The Plover", text=TEXT)]))
        service.create("secrets")
        service.learn_waiting()
        yield service


def make_key(service: Listening, **body: Any) -> str:
    wanted = {"name": "k", "scopes": ["read"]} | body
    made = httpx.post(f"{service.url}/v1/keys", json=wanted, headers={"Authorization": "Bearer first"})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


def tokens_left(service: Listening, key: str) -> int:
    caller = service.parts.keys.find(key)
    assert caller is not None
    assert caller.tokens_left is not None
    return caller.tokens_left


def call(url: str, headers: dict[str, str], name: str, **arguments: Any) -> CallToolResult:
    async def scenario() -> CallToolResult:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=30) as http_client,
            Client(streamable_http_client(url, http_client=http_client)) as client,
        ):
            return await client.call_tool(name, arguments)

    return asyncio.run(scenario())


def use(service: Listening, key: str, name: str, **arguments: Any) -> CallToolResult:
    return call(f"{service.url}/mcp", {"Authorization": f"Bearer {key}"}, name, **arguments)


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


FOLLOW_UP: list[Any] = [
    {"role": "user", "content": "What stood at the bow of the Sable Plover?"},
    {"role": "assistant", "content": "A figurehead."},
    {"role": "user", "content": "Who carved it?"},
]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_billed_with_its_rewriting(service: Listening, stream: bool) -> None:
    key = make_key(service, tokens_per_day=100_000)
    service.generator.replies[:] = [json.dumps({"question": QUESTION}), CARVER]
    with OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as client:
        if stream:
            options = {"include_usage": True}
            chunks = list(
                client.chat.completions.create(
                    model=MODEL,
                    messages=FOLLOW_UP,
                    stream=True,
                    stream_options=options,  # type: ignore[arg-type]
                )
            )
            usage = chunks[-1].usage
        else:
            usage = client.chat.completions.create(model=MODEL, messages=FOLLOW_UP).usage
    assert usage is not None
    assert usage.completion_tokens > 0
    assert 100_000 - tokens_left(service, key) == usage.total_tokens


def test_a_rewriting_is_billed_where_no_answer_follows(service: Listening, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no search today")

    monkeypatch.setattr(service.parts.searcher, "search", fail)
    key = make_key(service, tokens_per_day=100_000)
    service.generator.replies[:] = [json.dumps({"question": QUESTION})]
    with (
        OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as client,
        pytest.raises(openai.InternalServerError),
    ):
        client.chat.completions.create(model=MODEL, messages=FOLLOW_UP)
    assert service.generator.replies == []
    assert tokens_left(service, key) < 100_000


def test_a_spent_quota_ends_answers_in_both_and_nothing_else(service: Listening) -> None:
    key = make_key(service, tokens_per_day=1)
    service.generator.replies[:] = [CARVER]
    answered = use(service, key, "ask", question=QUESTION)
    assert not answered.is_error, text_of(answered)
    refused = use(service, key, "ask", question=QUESTION)
    assert refused.is_error
    assert text_of(refused).startswith("quota_spent: this key has spent its 1 tokens of today")
    assert not use(service, key, "search", query=QUESTION).is_error
    with OpenAI(base_url=f"{service.url}/v1", api_key=key, max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(model=MODEL, messages=FOLLOW_UP)
        error = caught.value.response.json()["error"]
        assert (error["code"], error["type"]) == ("quota_spent", "rate_limit_error")
        assert int(caught.value.response.headers["Retry-After"]) >= 1
        assert MODEL in {model.id for model in client.models.list()}


def test_what_is_learned_and_forgotten_over_mcp_is_written_down(service: Listening) -> None:
    key = make_key(service, name="editor", scopes=["write"], collections=["default"])
    learned = use(service, key, "remember", text="Zorblax is a town.", document_id="town", wait=False)
    assert not learned.is_error, text_of(learned)
    service.learn_waiting()
    for options in ({"dry_run": True}, {}):
        assert not use(service, key, "forget", document_id="town", **options).is_error
    assert use(service, key, "forget", document_id="town", collection="secrets").is_error
    response = httpx.get(f"{service.url}/v1/audit", headers={"Authorization": "Bearer first"})
    seen = [one for one in response.json()["entries"] if one["actor_name"] == "editor"]
    told = [(one["action"], one["collection"], one["outcome"]) for one in reversed(seen)]
    assert told == [("documents.submit", "default", "done"), ("documents.forget", "default", "done")]
    assert seen[0]["target"] == document_target("default", "town")
    assert "Zorblax" not in response.text


def run_example(service: Listening, named: str) -> None:
    """Run the example of the page that imports ``named``."""
    examples = re.findall(r"```python\n(.*?)```", (DOCS / "openai.md").read_text("utf-8"), re.DOTALL)
    (example,) = [one for one in examples if f"from {named} import" in one]
    service.generator.replies[:] = [CARVER]
    written = example.replace("http://127.0.0.1:8000", service.url).replace("sw_…", make_key(service))
    assert written.count(service.url) == 1
    exec(compile(written, "docs/openai.md", "exec"), {})


def test_the_example_of_the_page_on_openai_runs(service: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    run_example(service, "openai")
    first, second = capsys.readouterr().out.splitlines()
    assert first == "Ona Falk"
    assert second.startswith(f"The Plover {service.url}/v1/collections/default/passages/")


def test_the_example_for_langchain_runs(service: Listening, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("langchain_openai", reason="langchain-openai is not installed: pip install langchain-openai")
    run_example(service, "langchain_openai")
    assert capsys.readouterr().out == "Ona Falk\n"


def test_the_settings_of_the_page_on_mcp_connect(service: Listening) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", (DOCS / "mcp.md").read_text("utf-8"), re.DOTALL)
    written = example.replace("http://127.0.0.1:8000", service.url).replace("sw_…", make_key(service))
    server = json.loads(written)["mcpServers"]["sharpwave"]
    assert server["type"] == "http"
    found = call(server["url"], server["headers"], "search", query=QUESTION)
    assert found.structured_content is not None
    assert [hit["text"] for hit in found.structured_content["hits"]] == [TEXT]
