"""A document given again: what is equal stays, and the outcome is that of learning the new version alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from memory_graph.database import Database, upgrade_schema
from memory_graph.store.collections import delete_collection
from memory_graph.store.learning import Commit, LearnedDocument
from memory_graph.store.reading import document_passages, get_document
from memory_graph.store.updating import Change, document_history
from memory_graph.tables import document_changes, mentions, passages
from retrieval.view import empty_view
from tests.unit.factories import (
    SENTENCES,
    commit_documents,
    content_of,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
)
from tests.unit.views import assert_up_to_date, canonical, fresh, passage_names

_number = count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database where every example has collections of its own."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('updating') / 'sharpwave.db'}")
    upgrade_schema(database)
    yield database
    database.close()


def write(database: Database, cid: int, document: LearnedDocument, job_id: str | None = None) -> Change | None:
    with database.write() as connection:
        commit = Commit(connection, cid)
        change = commit.write(document, job_id)
        commit.finish()
        return change


def rows_of(database: Database, cid: int) -> list[tuple[int, str, int]]:
    """Return (id, text, version) of a collection's passages, in order."""
    query = select(passages.c.id, passages.c.text, passages.c.version).where(passages.c.collection_id == cid)
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(passages.c.document_id, passages.c.ordinal))]


def history_of(database: Database, cid: int, key: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        row = get_document(connection, cid, key)
        assert row is not None
        return document_history(connection, row["id"])


@st.composite
def edited(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Return a title and paragraphs, and how they read after each of some edits."""
    title, texts = draw(st.sampled_from(("", "Dunmore"))), draw(st.lists(st.sampled_from(SENTENCES), max_size=6))
    states = [(title, list(texts))]
    for edit in draw(
        st.lists(st.sampled_from(("insert", "delete", "move", "double", "title")), min_size=1, max_size=5)
    ):
        place = draw(st.integers(0, max(0, len(texts) - 1)))
        if edit == "insert":
            texts.insert(place, draw(st.sampled_from(SENTENCES)))
        elif edit == "title":
            title = draw(st.sampled_from(("", "Dunmore", "Lake Orrin")))
        elif texts:
            text = texts[place] if edit == "double" else texts.pop(place)
            if edit != "delete":
                texts.insert(draw(st.integers(0, len(texts))), text)
        states.append((title, list(texts)))
    return states


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edited(), st.lists(st.sampled_from(SENTENCES), max_size=3))
def test_an_update_ends_in_what_a_first_ingestion_makes(
    shared: Database, states: list[tuple[str, list[str]]], others: list[str]
) -> None:
    name = f"memory-{next(_number)}"
    cid = new_collection(shared, name).id
    commit_documents(shared, cid, learn_document("other", *others))
    view, before = empty_view(), ("", Counter[str]())
    for title, texts in states:
        kept_rows = {row[0] for row in rows_of(shared, cid)}
        change = write(shared, cid, learn_document("a", *texts, title=title))
        stayed = sum((Counter(texts) & before[1]).values()) if title == before[0] else 0
        if change is not None:
            assert (change.kept, change.added) == (stayed, len(texts) - stayed)
            assert change.removed == before[1].total() - stayed
            assert len({row[0] for row in rows_of(shared, cid)} & kept_rows) == stayed + len(others)
        before = title, Counter(texts)
        view = fresh(shared, view, name)
        assert_up_to_date(view, shared, name)
    anew = f"memory-{next(_number)}"
    other_cid = new_collection(shared, anew).id
    commit_documents(shared, other_cid, learn_document("other", *others))
    commit_documents(shared, other_cid, learn_document("a", *states[-1][1], title=states[-1][0]))
    assert content_of(shared, name) == content_of(shared, anew)
    assert canonical(view, passage_names(shared, name)) == canonical(
        fresh(shared, name=anew), passage_names(shared, anew)
    )


def test_what_is_equal_keeps_its_row_and_version_wherever_it_stands_now(database: Database) -> None:
    cid = new_collection(database).id
    write(database, cid, learn_document("a", *SENTENCES[:4]))
    first = {text: (number, version) for number, text, version in rows_of(database, cid)}
    changed = learn_document("a", SENTENCES[3], SENTENCES[5], SENTENCES[0], SENTENCES[1])
    assert write(database, cid, changed) == Change(added=1, removed=1, kept=3)
    found = rows_of(database, cid)
    assert [text for _, text, _ in found] == [one.passage.text for one in changed.passages]
    assert {text: (number, version) for number, text, version in found if text in first} == {
        text: first[text] for text in (SENTENCES[3], SENTENCES[0], SENTENCES[1])
    }
    assert found[1][2] == 2
    with database.read() as connection:
        row = get_document(connection, cid, "a")
        assert row is not None
        stands = [(one["ordinal"], one["id"]) for one in document_passages(connection, row["id"])]
        versions = set(connection.scalars(select(mentions.c.version).where(mentions.c.collection_id == cid)))
    assert stands == list(enumerate(number for number, _, _ in found))
    assert versions == {1, 2}


def test_metadata_alone_changes_no_passage(database: Database) -> None:
    cid = new_collection(database).id
    document = learn_document("a", *SENTENCES[:3])
    write(database, cid, document)
    before = rows_of(database, cid)
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    told = replace(document.document, metadata={"year": 1931}, source="letters", occurred_at=moment)
    changed = replace(document, document=told, content_hash="other")
    assert write(database, cid, changed) == Change(added=0, removed=0, kept=3)
    assert rows_of(database, cid) == before
    with database.read() as connection:
        row = get_document(connection, cid, "a")
    assert row is not None
    assert (row["metadata"], row["source"], row["occurred_at"]) == ({"year": 1931}, "letters", moment)
    assert row["version"] == find_collection(database).version == 2


def test_another_extractor_reads_everything_again(database: Database) -> None:
    cid = new_collection(database).id
    document = learn_document("a", *SENTENCES[:3])
    write(database, cid, document)
    again = replace(document, content_hash="other", made_by="another")
    assert write(database, cid, again) == Change(added=3, removed=3, kept=0)


def test_a_history_tells_when_and_how_much_and_goes_with_its_document(database: Database) -> None:
    cid = new_collection(database).id
    write(database, cid, learn_document("a", *SENTENCES[:3]), "job-1")
    write(database, cid, learn_document("a", *SENTENCES[1:5]), "job-2")
    assert write(database, cid, learn_document("a", *SENTENCES[1:5]), "job-3") is None
    history = history_of(database, cid, "a")
    assert [(one["version"], one["job_id"], one["added"], one["removed"], one["kept"]) for one in history] == [
        (2, "job-2", 2, 1, 2),
        (1, "job-1", 3, 0, 0),
    ]
    assert history[0]["at"] >= history[1]["at"]
    write(database, cid, learn_document("b", SENTENCES[0]), "job-4")
    forget_document(database, cid, "a")
    with database.read() as connection:
        assert connection.scalars(select(document_changes.c.job_id)).all() == ["job-4"]
    with database.write() as connection:
        delete_collection(connection, "memory")
        assert connection.scalars(select(document_changes.c.job_id)).all() == []
