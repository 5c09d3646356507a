"""Whether two memories hold the same, and what is said where they do not."""

from __future__ import annotations

from typing import Any

from memory_graph.database import Database
from retrieval.content import canonical, find_differences
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection
from tests.unit.views import fresh, passage_names

DOCUMENTS = (
    learn_document("a", "Ada Quill likes Bram Oster.", "It rained."),
    learn_document("b", "Bram Oster likes Cora Finch.", title="Dunmore"),
    learn_document("c", "Cora Finch saw Ada Quill. Ada Quill waved."),
)


def content(database: Database, name: str) -> dict[str, Any]:
    return canonical(fresh(database, name=name), passage_names(database, name))


def test_equal_documents_make_equal_content_whatever_the_order(database: Database) -> None:
    first, second = new_collection(database, "first").id, new_collection(database, "second").id
    for one in DOCUMENTS:
        commit_documents(database, first, one)
    commit_documents(database, second, learn_document("x", "Dora Lunt."), *reversed(DOCUMENTS))
    assert forget_document(database, second, "x")
    assert content(database, "first") == content(database, "second")
    assert find_differences(content(database, "first"), content(database, "second")) == []


def test_what_differs_is_named(database: Database) -> None:
    first, second = new_collection(database, "first").id, new_collection(database, "second").id
    commit_documents(database, first, *DOCUMENTS)
    changed = learn_document("a", "Ada Quill likes Bram Oster.", "It rained on Dora Lunt.")
    commit_documents(database, second, changed, DOCUMENTS[1])
    found = find_differences(content(database, "first"), content(database, "second"))
    assert len(found) == len({line.partition(":")[0] for line in found})
    assert {
        "documents: 1 only in the first, as (('c', 0),)",
        "mentions: 2 only in the first, as (('c', 0), 'ada quill'); 1 only in the second, as (('a', 1), 'dora lunt')",
        "orders: 1 only in the first, as ('c', 0); 1 not the same, as ('a', 1)",
        "phrases: 1 only in the second, as 'dora lunt'",
        "vectors: 1 only in the first, as ('c', 0); 1 not the same, as ('a', 1)",
    } <= set(found)
    assert not any(line.startswith("relations") for line in found)


def test_counts_and_repeated_names_are_compared() -> None:
    assert find_differences({"phrases": ["a", "a"]}, {"phrases": ["a"]}) == ["phrases: 1 not the same, as 'a'"]
    assert find_differences({"mentions": {("p", 0): 2}}, {"mentions": {("p", 0): 3}}) == [
        "mentions: 1 not the same, as ('p', 0)"
    ]
    assert find_differences({"tokens": ["a"]}, {}) == ["tokens: 1 only in the first, as 'a'"]
