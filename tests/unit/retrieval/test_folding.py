"""Copies among hits: the best is returned, and what it says no other document said stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from memory_graph.database import Database
from memory_graph.store.duplicates import SIGNATURE_VALUES, Signature
from memory_graph.store.learning import LearnedDocument
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.views import ViewCache
from tests.unit.factories import EMBEDDER, commit_documents, learn_document, new_collection
from tests.unit.rankers import plain_ranker

HARBOUR = " ".join(f"harbour{n}" for n in range(60))
CHANGED = " ".join(f"harbour{n}" for n in range(58)) + " rope tar"
TAIL = " ".join(f"tail{n}" for n in range(60))
VALUES = np.arange(SIGNATURE_VALUES, dtype=np.uint32)
ONE, ALIKE = Signature(text_hash="one", values=VALUES), Signature(text_hash="alike", values=VALUES * (VALUES > 5))


def _document(key: str, signature: Signature | None, *texts: str, **fields: Any) -> LearnedDocument:
    return replace(learn_document(key, *texts, **fields), signature=signature)


@pytest.fixture
def searcher(database: Database) -> Searcher:
    return Searcher(database, ViewCache(database), EMBEDDER, ranker=plain_ranker())


@pytest.fixture
def cid(database: Database) -> int:
    return new_collection(database).id


def _search(searcher: Searcher, query: str = HARBOUR, **fields: Any) -> SearchResult:
    return searcher.search("memory", SearchRequest(query=query, **({"mode": "dense"} | fields)))


def _found(result: SearchResult) -> dict[str, tuple[str, ...]]:
    return {hit.document_id: hit.duplicates for hit in result.hits}


def test_the_best_of_linked_copies_is_returned_and_names_the_others(
    database: Database, cid: int, searcher: Searcher
) -> None:
    given = [_document("a", ONE, HARBOUR), _document("b", ALIKE, CHANGED), _document("c", None, TAIL)]
    commit_documents(database, cid, *given)
    result = _search(searcher)
    assert _found(result) == {"a": ("b",), "c": ()}
    assert [hit.rank for hit in result.hits] == [1, 2]
    (read,) = (stage for stage in result.stages if stage.name == "read")
    assert [set(one) for one in read.detail["folded"]] == [{"passage_id", "into"}]
    assert set(_found(_search(searcher, fold=False))) == {"a", "b", "c"}


def test_copies_that_are_not_linked_stay(database: Database, cid: int, searcher: Searcher) -> None:
    commit_documents(database, cid, _document("a", ONE, HARBOUR), _document("b", None, HARBOUR))
    assert _found(_search(searcher)) == {"a": (), "b": ()}


def test_what_one_of_two_linked_documents_says_alone_stays(database: Database, cid: int, searcher: Searcher) -> None:
    commit_documents(database, cid, _document("a", ONE, HARBOUR), _document("b", ALIKE, HARBOUR, TAIL))
    result = _search(searcher, query=f"{HARBOUR} {TAIL}")
    assert sorted((hit.document_id, hit.ordinal) for hit in result.hits)[-1] == ("b", 1)
    assert len(result.hits) == 2


def test_short_passages_are_folded_where_text_and_title_are_equal(
    database: Database, cid: int, searcher: Searcher
) -> None:
    text = "it was built in 1902"
    titles = {"a": "Mill", "b": "mill", "c": "Lamp"}
    commit_documents(database, cid, *(_document(key, ONE, text, title=title) for key, title in titles.items()))
    assert sorted(map(len, _found(_search(searcher, query=text)).values())) == [0, 1]


@pytest.mark.parametrize("mode", ["dense", "hybrid", "graph"])
def test_others_take_the_places_of_copies(database: Database, cid: int, searcher: Searcher, mode: str) -> None:
    copies = [_document(f"copy{n}", ONE, HARBOUR) for n in range(7)]
    others = [_document(f"other{n}", None, f"{TAIL} {n}") for n in range(4)]
    commit_documents(database, cid, *copies, *others)
    found = _found(_search(searcher, mode=mode, top_k=4))
    assert len(found) == 4
    assert sum(key.startswith("copy") for key in found) == 1
    assert sorted(len(duplicates) for duplicates in found.values()) == [0, 0, 0, 6]


def test_a_memory_of_copies_alone_gives_one_hit(database: Database, cid: int, searcher: Searcher) -> None:
    commit_documents(database, cid, *(_document(f"copy{n}", ONE, HARBOUR) for n in range(5)))
    (duplicates,) = _found(_search(searcher, top_k=3)).values()
    assert len(duplicates) == 4


def test_a_filter_holds_for_what_takes_the_places(database: Database, cid: int, searcher: Searcher) -> None:
    copies = [_document(f"copy{n}", ONE, HARBOUR, source="s") for n in range(3)]
    others = [_document("in", None, f"{TAIL} 1", source="s"), _document("out", None, f"{TAIL} 2", source="t")]
    commit_documents(database, cid, *copies, *others)
    assert set(_found(_search(searcher, top_k=2, filter={"source": "s"}))) >= {"in"}
    assert "out" not in _found(_search(searcher, top_k=4, filter={"source": "s"}))


def test_parts_of_one_document_are_alike_and_stay_and_what_it_says_twice_is_returned_once(
    database: Database, cid: int, searcher: Searcher
) -> None:
    commit_documents(database, cid, _document("a", ONE, HARBOUR, CHANGED, HARBOUR))
    hits = _search(searcher).hits
    assert [hit.text for hit in hits] == [HARBOUR, CHANGED]
    assert [hit.duplicates for hit in hits] == [(), ()]
