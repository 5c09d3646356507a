"""Collections: made, counted, and deleted without a trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select

from memory_graph.database import Database
from memory_graph.errors import Conflict, InvalidInput, NotFound
from memory_graph.store.collections import (
    Counts,
    bind_embedder,
    count_contents,
    create_collection,
    current_commit,
    delete_collection,
    get_collection,
    list_collections,
)
from memory_graph.store.duplicates import Signature
from memory_graph.store.jobs import NewItem
from memory_graph.store.keys import NewKey, add_key
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.queries import add_queries
from memory_graph.store.replies import Reply, write_replies
from memory_graph.store.retention import Rule, put_rule
from memory_graph.store.rows import now
from memory_graph.store.samples import add_sample
from memory_graph.store.shares import begin_run
from memory_graph.tables import metadata, passages
from tests.unit.factories import (
    commit_documents,
    content_of,
    correct,
    embed_names,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
    new_job,
)


def _fill(database: Database, name: str) -> int:
    """Put a row of every kind into a new collection."""
    collection = new_collection(database, name)
    likes = embed_names(learn_document("d", "Ada Quill likes Bram Oster.", title="Dunmore"))
    first, second = (Signature(text_hash=str(n), values=np.arange(n, 120 + n, dtype=np.uint32) // 120) for n in (0, 1))
    likes, also = replace(likes, signature=first), replace(learn_document("e"), signature=second)
    commit_documents(database, collection.id, likes, also, learn_document("gone", "Cora Finch."))
    forget_document(database, collection.id, "gone")
    new_job(database, [NewItem(kind="document", name="d", size=1)], job_id=f"job-{name}", collection=name)
    with database.write() as connection:
        begin_run(connection, f"job-{name}")
        reply = Reply(prompt_hash="p", text_hash="t", document="d", text="{}")
        write_replies(connection, collection.id, f"job-{name}", [reply])
        add_sample(connection, f"job-{name}", passages=1, bytes_done=1)
        passage_ids = connection.scalars(select(passages.c.id).where(passages.c.collection_id == collection.id)).all()
        query = {
            "id": f"query-{name}",
            "collection_id": collection.id,
            "question": "?",
            "answer": "",
            "found": False,
            "version": 1,
            "milliseconds": 1,
            "trace": {},
            "created_at": now(),
            "cited": passage_ids,
        }
        add_queries(connection, [query])
        put_rule(connection, collection.id, Rule(name="old", max_age_days=30))
        note = NewNote(
            collection_id=collection.id,
            query_id=f"query-{name}",
            question="?",
            text="Ada likes Bram.",
            version=1,
            passage_ids=passage_ids,
            created_at=now(),
        )
        assert add_notes(connection, [note]) == 1
        add_key(connection, NewKey(id=f"k-{name}", name="k", hash="0", scopes=frozenset(), collections=[name]))
    correct(database, collection.id, "merge", names=["Ada Quill"], into="Ada")
    return collection.id


def _rows(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
            # These hold no text of it, and outlive it.
            if table.name not in ("workers", "purges", "keys", "key_spending", "kept_answers", "audit")
        }


def test_a_new_collection_is_empty(database: Database) -> None:
    with database.write() as connection:
        made = create_collection(connection, "letters", "Old letters")
        assert count_contents(connection, made.id) == Counts(documents=0, passages=0, phrases=0, facts=0)
    assert (made.name, made.description, made.version, made.embedder) == ("letters", "Old letters", 0, "")
    assert find_collection(database, "letters") == made


def test_a_name_is_taken_once(database: Database) -> None:
    new_collection(database, "letters")
    with pytest.raises(Conflict, match="'letters' exists already"):
        new_collection(database, "letters")


def test_collections_are_listed_by_name(database: Database) -> None:
    for name in ("b", "a", "c"):
        new_collection(database, name)
    with database.read() as connection:
        assert [one.name for one in list_collections(connection)] == ["a", "b", "c"]


def test_what_is_not_there_is_not_found(database: Database) -> None:
    with pytest.raises(NotFound, match="collection 'x' does not exist"), database.read() as connection:
        get_collection(connection, "x")
    with pytest.raises(NotFound), database.write() as connection:
        delete_collection(connection, "x")
    with database.read() as connection:
        assert current_commit(connection, 1) is None


def test_contents_are_counted_for_one_collection(database: Database) -> None:
    one, _ = _fill(database, "one"), _fill(database, "two")
    with database.read() as connection:
        assert count_contents(connection, one) == Counts(documents=2, passages=1, phrases=2, facts=1)


def test_deleting_takes_every_row_and_leaves_the_others_alone(database: Database) -> None:
    _fill(database, "kept")
    alone, content = _rows(database), content_of(database, "kept")
    assert all(alone.values()), f"the test should have rows in every table: {alone}"
    _fill(database, "deleted")
    assert all(count > alone[name] for name, count in _rows(database).items())
    with database.write() as connection:
        delete_collection(connection, "deleted")
    assert _rows(database) == alone
    assert content_of(database, "kept") == content


def test_a_collection_made_again_is_another_one(database: Database) -> None:
    first = _fill(database, "c")
    with database.write() as connection:
        delete_collection(connection, "c")
        again = create_collection(connection, "c")
    assert again.id != first
    assert again.version == 0
    with database.read() as connection:
        assert current_commit(connection, first) is None


def test_a_collection_keeps_to_its_embedder(database: Database) -> None:
    made = new_collection(database, "letters")
    with database.write() as connection:
        bind_embedder(connection, made.id, "hash-16")
        bind_embedder(connection, made.id, "hash-16")
    with pytest.raises(InvalidInput, match="'letters' was learned with hash-16, not other"):
        _bind(database, made.id)
    assert find_collection(database, "letters").embedder == "hash-16"


def _bind(database: Database, collection_id: int) -> None:
    with database.write() as connection:
        bind_embedder(connection, collection_id, "other")
