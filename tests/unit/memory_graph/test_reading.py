"""What views, searches and pages read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from memory_graph.database import Database, upgrade_schema
from memory_graph.errors import InvalidInput
from memory_graph.store.learning import Commit
from memory_graph.store.reading import (
    document_passages,
    filter_documents,
    get_document,
    list_documents,
    phrase_names,
    read_changes,
    read_hits,
)
from memory_graph.tables import passages, phrases
from tests.unit.factories import (
    commit_documents,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
)

DOCUMENTS: dict[str, dict[str, Any]] = {
    "int": {"metadata": {"n": 5}},
    "float": {"metadata": {"n": 5.5}},
    "string": {"metadata": {"n": "5"}},
    "word": {"metadata": {"n": "abc"}},
    "true": {"metadata": {"n": True}},
    "one": {"metadata": {"n": 1}},
    "false": {"metadata": {"n": False}},
    "zero": {"metadata": {"n": 0}},
    "null": {"metadata": {"n": None}},
    "list": {"metadata": {"n": [5]}},
    "none": {"metadata": {"other": 5}, "source": "letters/1.txt"},
    "odd": {"metadata": {"a.b": 1, "": "empty", "it's": True, "naïve $": "ja"}},
    "may": {"source": "letters/2.txt", "occurred_at": datetime(2024, 5, 1, 12, tzinfo=UTC)},
    "june": {"source": "diary.txt", "occurred_at": datetime(2024, 6, 1, tzinfo=UTC)},
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Database, int]]:
    """A database of documents to filter, which no test changes."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('library') / 'sharpwave.db'}")
    upgrade_schema(database)
    yield database, _learn_all(database)
    database.close()


@pytest.fixture
def collection_id(database: Database) -> int:
    return _learn_all(database)


def _learn_all(database: Database) -> int:
    cid = new_collection(database).id
    commit_documents(database, cid, *(learn_document(key, **fields) for key, fields in DOCUMENTS.items()))
    other = new_collection(database, "other").id
    commit_documents(database, other, learn_document("int", metadata={"n": 5}))
    return cid


def _find(database: Database, collection_id: int, conditions: dict[str, Any]) -> set[str]:
    with database.read() as connection:
        ids = filter_documents(connection, collection_id, conditions).tolist()
        keys = {row["id"]: row["key"] for row in list_documents(connection, collection_id, after=0, limit=100)}
    assert ids == sorted(ids)
    return {keys[document_id] for document_id in ids}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, set(DOCUMENTS)),
        ({"n": 5}, {"int"}),
        ({"n": 5.0}, {"int"}),
        ({"n": "5"}, {"string"}),
        ({"n": 5.5}, {"float"}),
        ({"n": True}, {"true"}),
        ({"n": 1}, {"one"}),
        ({"n": False}, {"false"}),
        ({"n": 0}, {"zero"}),
        ({"n": 10**30}, set()),
        ({"n": "zzz"}, set()),
        ({"missing": 5}, set()),
        ({"n": {"in": [5, "abc", True]}}, {"int", "word", "true"}),
        ({"n": {"in": list(range(500))}}, {"int", "one", "zero"}),
        ({"n": {"gte": 5}}, {"int", "float"}),
        ({"n": {"gt": 5}}, {"float"}),
        ({"n": {"lt": 5}}, {"one", "zero"}),
        ({"n": {"lte": 5, "gt": 0}}, {"int", "one"}),
        ({"n": {"gte": "5"}}, {"string", "word"}),
        ({"n": {"lt": "a"}}, {"string"}),
        ({"a.b": 1}, {"odd"}),
        ({"": "empty"}, {"odd"}),
        ({"it's": True}, {"odd"}),
        ({"naïve $": "ja"}, {"odd"}),
        ({"a": 1}, set()),
        ({"source": "diary.txt"}, {"june"}),
        ({"source": {"in": ["diary.txt", "letters/1.txt"]}}, {"june", "none"}),
        ({"source": {"gte": "letters/", "lt": "letters0"}}, {"none", "may"}),
        ({"n": 5, "source": "diary.txt"}, set()),
        ({"other": 5, "source": "letters/1.txt"}, {"none"}),
        ({"occurred_at": "2024-05-01T12:00:00Z"}, {"may"}),
        ({"occurred_at": "2024-05-01T14:00:00+02:00"}, {"may"}),
        ({"occurred_at": "2024-05-01T12:00:00+02:00"}, set()),
        ({"occurred_at": {"gte": "2024-05-02T00:00:00Z"}}, {"june"}),
        ({"occurred_at": {"lt": "2024-06-01T01:00:00+02:00"}}, {"may"}),
        ({"occurred_at": {"in": ["2024-05-01T12:00:00Z", "2024-06-01T00:00:00Z"]}}, {"may", "june"}),
    ],
)
def test_filters_find(library: tuple[Database, int], conditions: dict[str, Any], expected: set[str]) -> None:
    assert _find(*library, conditions) == expected


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"n": None}, "filter.n"),
        ({"n": [5]}, "filter.n"),
        ({"n": {}}, "filter.n"),
        ({"n": {"like": "a%"}}, "filter.n"),
        ({"n": {"in": [1], "gte": 0}}, "filter.n"),
        ({"n": {"in": []}}, "filter.n.in"),
        ({"n": {"in": "abc"}}, "filter.n.in"),
        ({"n": {"in": list(range(501))}}, "filter.n.in"),
        ({"n": {"in": [None]}}, "filter.n"),
        ({"n": {"gt": True}}, "filter.n.gt"),
        ({"n": {"gt": {"lt": 3}}}, "filter.n"),
        ({"n": float("nan")}, "filter.n"),
        ({"n": 10**400}, "filter.n"),
        ({"n": "\ud800"}, "filter.n"),
        ({"n": "a\0"}, "filter.n"),
        ({'n"': 1}, 'filter.n"'),
        ({"source": 5}, "filter.source"),
        ({"source": {"gte": None}}, "filter.source"),
        ({"occurred_at": "yesterday"}, "filter.occurred_at"),
        ({"occurred_at": 2024}, "filter.occurred_at"),
        ({"occurred_at": {"gte": "2024-05-01T12:00:00"}}, "filter.occurred_at"),
        ({"occurred_at": "9999-12-31T23:59:59-10:00"}, "filter.occurred_at"),
    ],
)
def test_a_filter_that_makes_no_sense_names_its_field(
    library: tuple[Database, int], conditions: dict[str, Any], field: str
) -> None:
    database, collection_id = library
    with pytest.raises(InvalidInput) as caught, database.read() as connection:
        filter_documents(connection, collection_id, conditions)
    assert caught.value.field == field


def test_documents_come_in_pages(database: Database, collection_id: int) -> None:
    pages, after = [], 0
    with database.read() as connection:
        while rows := list_documents(connection, collection_id, after=after, limit=4):
            pages.append([row["key"] for row in rows])
            after = rows[-1]["id"]
    assert [len(page) for page in pages] == [4, 4, 4, 2]
    assert [key for page in pages for key in page] == list(DOCUMENTS)


def test_a_page_misses_nothing_while_documents_come_and_go(database: Database, collection_id: int) -> None:
    with database.read() as connection:
        first = list_documents(connection, collection_id, after=0, limit=3)
    forget_document(database, collection_id, first[-1]["key"])
    commit_documents(database, collection_id, learn_document("late", "Late."))
    with database.read() as connection:
        rest = list_documents(connection, collection_id, after=first[-1]["id"], limit=100)
    assert [row["key"] for row in rest] == [*list(DOCUMENTS)[3:], "late"]


def test_a_document_is_found_with_its_passages(database: Database, collection_id: int) -> None:
    commit_documents(
        database, collection_id, learn_document("d", "One.", "Two.", title="T", source="s", metadata={"k": [1]})
    )
    with database.read() as connection:
        row = get_document(connection, collection_id, "d")
        assert row is not None
        assert (row["title"], row["source"], row["metadata"], row["passages"]) == ("T", "s", {"k": [1]}, 2)
        assert [p["text"] for p in document_passages(connection, row["id"])] == ["One.", "Two."]
        assert get_document(connection, collection_id, "nobody") is None
        other = get_document(connection, collection_id, "int")
        assert other is not None
        assert other["passages"] == 0


def test_hits_follow_the_ranking_and_leave_out_what_is_gone(database: Database) -> None:
    cid = new_collection(database).id
    texts = [f"Passage {number}." for number in range(700)]  # more than one IN (…) holds
    commit_documents(database, cid, learn_document("d", *texts, title="T", source="s"))
    with database.read() as connection:
        ids = list(connection.scalars(passages.select().with_only_columns(passages.c.id)))
        ranking = [(passage_id, float(passage_id)) for passage_id in reversed(ids)]
        hits = read_hits(connection, [ranking[0], (10**9, 1.0), *ranking[1:]])
    assert [hit.passage_id for hit in hits] == list(reversed(ids))
    assert [hit.rank for hit in hits] == list(range(1, 701))
    assert hits[0].text == "Passage 699."
    assert (hits[0].document_id, hits[0].title, hits[0].source, hits[0].ordinal) == ("d", "T", "s", 699)
    assert hits[0].score == float(ids[-1])


def test_changes_are_what_was_added_and_removed_since(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "Ada Quill."))
    commit_documents(database, cid, learn_document("b", "Bram Oster and Ada Quill."))
    forget_document(database, cid, "a")
    collection = find_collection(database)
    with database.read() as connection:
        everything = read_changes(connection, collection, 0)
        newest = read_changes(connection, collection, 2)
        nothing = read_changes(connection, collection, 3)
    assert everything.version == newest.version == nothing.version == 3
    assert sorted(everything.phrase_keys.values()) == ["ada quill", "bram oster"]
    assert everything.passage_ids.tolist() == [2]
    assert everything.vectors.shape == (1, 16)
    assert everything.vectors.dtype == np.float16
    assert len(everything.removed_passages) == 0  # from nothing, there is nothing to remove
    assert newest.passage_ids.tolist() == []
    assert newest.vectors.shape[0] == 0
    assert newest.removed_passages.tolist() == [1]
    assert newest.removed_phrases.tolist() == []
    assert len(nothing.passage_ids) == len(nothing.removed_passages) == len(nothing.mentions) == 0
    assert nothing.mentions.shape == (0, 3)


def test_a_phrase_is_shown_as_its_first_passage_writes_it(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("a", "The HMS Orrin."), learn_document("b", "now The Hms Orrin."))
    with database.read() as connection:
        ids = dict(connection.execute(phrases.select().with_only_columns(phrases.c.key, phrases.c.id)).all())
        names = phrase_names(connection, list(ids.values()))
    assert names[ids["the hms orrin"]] == "The HMS Orrin"


def test_content_of_one_commit_is_seen_only_when_it_ends(database: Database) -> None:
    cid = new_collection(database).id
    with database.write() as connection:
        commit = Commit(connection, cid)
        commit.write(learn_document("a", "Ada Quill."), None)
        with database.read() as reader:
            assert list_documents(reader, cid, after=0, limit=10) == []
        commit.finish()
    with database.read() as reader:
        assert [row["key"] for row in list_documents(reader, cid, after=0, limit=10)] == ["a"]
