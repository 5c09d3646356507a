"""The retrievers for LangChain and LlamaIndex, with the real packages where they are installed (`make adapters`)."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from sharpwave_client import AsyncClient, Client

INSTALL = "is not installed here: `make adapters` runs this with it"
HIT = {
    "passage_id": 7,
    "document_id": "harbour",
    "title": "The harbour",
    "text": "Maren Quill built it.",
    "score": 0.5,
    "rank": 1,
    "occurred_at": "1871-05-01T12:00:00Z",
}


def answer(request: httpx.Request) -> httpx.Response:
    asked = json.loads(request.content)
    assert request.url.path == "/v1/collections/letters/search"
    assert (asked["query"], asked["top_k"], asked["mode"]) == ("Who built it?", 3, "dense")
    return httpx.Response(200, json={"hits": [HIT], "version": 1})


def clients() -> tuple[Client, AsyncClient]:
    transport = httpx.MockTransport(answer)
    return Client(transport=transport), AsyncClient(transport=transport)


def test_langchain() -> None:
    pytest.importorskip("langchain_core", reason=f"langchain-core {INSTALL}")
    from sharpwave_client.langchain import SharpwaveRetriever

    client, other = clients()
    options = {"top_k": 3, "mode": "dense"}
    (found,) = SharpwaveRetriever(client=client, collection="letters", options=options).invoke("Who built it?")
    assert (found.id, found.page_content) == ("7", HIT["text"])
    assert found.metadata["document_id"] == "harbour"
    assert json.dumps(found.metadata)
    for asynchronous in (other, None):
        retriever = SharpwaveRetriever(client=client, async_client=asynchronous, collection="letters", options=options)
        assert asyncio.run(retriever.ainvoke("Who built it?")) == [found]


def test_llama_index() -> None:
    pytest.importorskip("llama_index.core", reason=f"llama-index-core {INSTALL}")
    from sharpwave_client.llama_index import SharpwaveRetriever

    client, other = clients()
    retriever = SharpwaveRetriever(client, "letters", top_k=3, mode="dense")
    (found,) = retriever.retrieve("Who built it?")
    assert (found.node_id, found.text, found.score) == ("7", HIT["text"], 0.5)
    assert found.metadata["document_id"] == "harbour"
    for asynchronous in (other, None):
        retriever = SharpwaveRetriever(client, "letters", async_client=asynchronous, top_k=3, mode="dense")
        (again,) = asyncio.run(retriever.aretrieve("Who built it?"))
        assert (again.node_id, again.score) == (found.node_id, found.score)
