"""What evaluations ask: a question and a number of passages, for documents and how long each stage took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from retrieval.search import Searcher, SearchRequest

MAX_PASSAGES = 1000


@dataclass(frozen=True)
class Found:
    """The document id of each passage, best first, and the milliseconds by stage where the search tells them."""

    documents: Sequence[str]
    stages_ms: Mapping[str, float] = field(default_factory=dict)


Search: TypeAlias = Callable[[str, int], Found]
"""(question, number of passages) → what was found."""


def search_in(searcher: Searcher, collection: str, request: Callable[[str, int], SearchRequest]) -> Search:
    """Return a search of a collection, whose requests are made of the question and at most ``MAX_PASSAGES``."""

    def search(question: str, count: int) -> Found:
        result = searcher.search(collection, request(question, min(count, MAX_PASSAGES)))
        return Found([hit.document_id for hit in result.hits], {stage.name: stage.ms for stage in result.stages})

    return search


def rank_documents(search: Search, question: str, count: int, first: Found) -> list[str]:
    """Return the first ``count`` documents, each once at its best rank; ``first`` is what ``count`` passages found.

    Where these come from fewer documents, deeper searches fetch the rest.
    """
    depth, documents = count, first.documents
    while len(set(documents)) < count and len(documents) >= depth:
        depth *= 2
        documents = search(question, depth).documents
    return list(dict.fromkeys(documents))[:count]
