"""A retriever for LlamaIndex: ``pip install sharpwave-client[llamaindex]``."""

from __future__ import annotations

from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from sharpwave_client.async_client import AsyncClient
from sharpwave_client.client import Client
from sharpwave_client.models import Hit


class SharpwaveRetriever(BaseRetriever):
    """Finds passages of a collection; ``options`` are those of ``Client.search``, such as ``top_k`` and ``filter``.

    Without ``async_client`` LlamaIndex calls the other one.
    """

    def __init__(
        self,
        client: Client,
        collection: str = "default",
        *,
        async_client: AsyncClient | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        self._client = client
        self._async_client = async_client
        self._collection = collection
        self._options = options

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            _node(hit) for hit in self._client.search(self._collection, query_bundle.query_str, **self._options).hits
        ]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        if self._async_client is None:
            return self._retrieve(query_bundle)
        found = await self._async_client.search(self._collection, query_bundle.query_str, **self._options)
        return [_node(hit) for hit in found.hits]


def _node(hit: Hit) -> NodeWithScore:
    about = hit.model_dump(exclude={"text", "score"}, mode="json")
    return NodeWithScore(node=TextNode(id_=str(hit.passage_id), text=hit.text, metadata=about), score=hit.score)
