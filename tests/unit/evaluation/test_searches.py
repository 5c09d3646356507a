"""A search of a collection gives documents and the time of each stage; documents count once, from deeper if need be."""

from __future__ import annotations

from evaluation.searches import MAX_PASSAGES, Found, rank_documents, search_in
from memory_graph.database import Database
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from tests.unit.factories import EMBEDDER, commit_documents, learn_document, new_collection


def test_a_collection_is_searched_with_the_requests_that_are_made(database: Database) -> None:
    documents = [learn_document(name, f"{name} Quill likes tea.") for name in ("Ada", "Bram", "Cora")]
    commit_documents(database, new_collection(database).id, *documents)
    counts: list[int] = []

    def request(question: str, count: int) -> SearchRequest:
        counts.append(count)
        return SearchRequest(query=question, top_k=count, mode="dense")

    search = search_in(Searcher(database, ViewCache(database), EMBEDDER), "memory", request)
    found = search("Who likes tea?", 2)
    assert len(set(found.documents)) == 2
    assert set(found.documents) < {"Ada", "Bram", "Cora"}
    assert list(found.stages_ms) == ["view", "embed", "dense", "read"]
    assert min(found.stages_ms.values()) > 0
    assert len(search("Who likes tea?", 2 * MAX_PASSAGES).documents) == 3
    assert counts == [2, MAX_PASSAGES]


def test_documents_count_once_and_deeper_searches_fetch_the_rest() -> None:
    passages, depths = ["a", "a", "b", "a", "c", "d"], []

    def search(question: str, count: int) -> Found:
        depths.append(count)
        return Found(passages[:count])

    assert rank_documents(search, "Who?", 3, Found(passages[:3])) == ["a", "b", "c"]
    assert depths == [6]
    # Fewer passages than were asked for: there are no more.
    assert rank_documents(search, "Who?", 9, Found(passages)) == ["a", "b", "c", "d"]
    assert depths == [6]
