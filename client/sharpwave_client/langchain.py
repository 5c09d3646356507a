"""A retriever for LangChain: ``pip install sharpwave-client[langchain]``."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from sharpwave_client.async_client import AsyncClient
from sharpwave_client.client import Client
from sharpwave_client.models import Hit


class SharpwaveRetriever(BaseRetriever):
    """Finds passages of a collection; ``options`` are those of ``Client.search``, such as ``top_k`` and ``filter``.

    Without ``async_client`` LangChain runs the other one in a thread.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    client: Client
    async_client: AsyncClient | None = None
    collection: str = "default"
    options: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [_document(hit) for hit in self.client.search(self.collection, query, **self.options).hits]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        if self.async_client is None:
            documents: list[Document] = await super()._aget_relevant_documents(query, run_manager=run_manager)
            return documents
        found = await self.async_client.search(self.collection, query, **self.options)
        return [_document(hit) for hit in found.hits]


def _document(hit: Hit) -> Document:
    return Document(
        id=str(hit.passage_id), page_content=hit.text, metadata=hit.model_dump(exclude={"text"}, mode="json")
    )
