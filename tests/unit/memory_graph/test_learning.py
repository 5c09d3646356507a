"""A commit is one version; what is forgotten is gone; the state is a function of what lives, not of history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, insert, select

from memory_graph.database import Database
from memory_graph.errors import NotFound
from memory_graph.store.collections import delete_collection
from memory_graph.store.learning import Commit, Forgotten, known_hashes, known_vectors
from memory_graph.tables import documents, embeddings, facts, passages, phrases, tombstones
from memory_graph.types import Extraction, Mention, Triple
from tests.unit.factories import (
    SENTENCES,
    commit_documents,
    content_of,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
    outcome,
    random_history,
    replay,
)

A = learn_document("a", "Ada Quill likes Bram Oster.", "Both know the Old Mill.", title="First")
B = learn_document("b", "Ada Quill likes Bram Oster.", "Cora Finch likes Ada Quill.", title="Second")


def test_the_version_moves_once_a_commit(database: Database) -> None:
    cid = new_collection(database).id
    assert commit_documents(database, cid, A, B) == 1
    assert find_collection(database).version == 1
    assert commit_documents(database, cid, learn_document("c", "Rain.")) == 2


def test_what_is_known_moves_no_version(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    with database.write() as connection:
        commit = Commit(connection, cid)
        assert not commit.write(A, None)
        assert commit.forget("nobody") is None
        assert not commit.changed
        assert commit.finish() == 1
    assert find_collection(database).version == 1


def test_every_row_carries_the_version_of_its_commit(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    commit_documents(database, cid, B)
    with database.read() as connection:
        versions = dict(connection.execute(select(documents.c.key, documents.c.version)).all())
        phrase_versions = dict(connection.execute(select(phrases.c.key, phrases.c.version)).all())
        of_passages = connection.scalars(select(passages.c.version).order_by(passages.c.id)).all()
    assert versions == {"a": 1, "b": 2}
    assert of_passages == [1, 1, 2, 2]
    assert phrase_versions["ada quill"] == 1
    assert phrase_versions["cora finch"] == 2


def test_a_commit_that_fails_leaves_nothing(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    before = content_of(database)

    def fail() -> None:
        with database.write() as connection:
            Commit(connection, cid).write(B, None)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert content_of(database) == before
    assert find_collection(database).version == 1


def test_a_deleted_collection_takes_no_commit(database: Database) -> None:
    cid = new_collection(database).id
    with database.write() as connection:
        delete_collection(connection, "memory")
    with pytest.raises(NotFound), database.write() as connection:
        Commit(connection, cid)


def test_the_same_id_replaces_the_document(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    commit_documents(database, cid, learn_document("a", "Lake Orrin.", title="Changed"))
    replaced = content_of(database)
    assert list(replaced["documents"]) == ["a"]
    assert replaced["phrases"] == ["lake orrin"]
    assert replaced["facts"] == []
    new_collection(database, "fresh")
    commit_documents(
        database, find_collection(database, "fresh").id, learn_document("a", "Lake Orrin.", title="Changed")
    )
    assert content_of(database, "fresh") == replaced


def test_a_replacement_and_what_it_shares_in_one_commit(database: Database) -> None:
    """The old and the new document share a passage: its embedding goes and comes in one transaction."""
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    changed = learn_document("a", "Ada Quill likes Bram Oster.", title="First")
    commit_documents(database, cid, changed)
    content = content_of(database)
    assert set(content["embeddings"]) == {changed.passages[0].text_hash}
    assert content["facts"] == [("ada quill", "likes", "bram oster")]
    assert content["phrases"] == ["ada quill", "bram oster"]


def test_forgetting_removes_what_rested_on_it_alone(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A, B)
    forgotten = forget_document(database, cid, "b")
    # "Cora Finch" and one fact were known from b only; the other fact is still proved by a.
    assert forgotten == Forgotten(documents=1, passages=2, phrases=1, facts=1)
    left = content_of(database)
    assert "cora finch" not in left["phrases"]
    assert left["facts"] == [("ada quill", "likes", "bram oster")]
    assert {key for _, (key, _) in left["fact_sources"]} == {"a"}
    assert set(left["embeddings"]) == {one.text_hash for one in A.passages}


def test_forgetting_what_is_not_there_does_nothing(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    other = new_collection(database, "other").id
    assert forget_document(database, other, "a") is None
    assert forget_document(database, cid, "zzz") is None
    assert find_collection(database).version == 1
    assert set(content_of(database)["documents"]) == {"a"}


def test_add_a_add_b_forget_b_equals_add_a(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    alone = content_of(database)
    commit_documents(database, cid, B)
    assert content_of(database) != alone
    forget_document(database, cid, "b")
    assert content_of(database) == alone


def test_an_equal_passage_of_two_documents_has_one_embedding_until_both_are_gone(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("x", "Lake Orrin."), learn_document("y", "Lake Orrin."))

    def held() -> tuple[int, int]:
        content = content_of(database)
        return len(content["passages"]), len(content["embeddings"])

    assert held() == (2, 1)
    forget_document(database, cid, "x")
    assert held() == (1, 1)
    forget_document(database, cid, "y")
    assert held() == (0, 0)


def test_another_collections_embedding_of_the_same_text_stays(database: Database) -> None:
    one, two = new_collection(database, "one").id, new_collection(database, "two").id
    for cid in (one, two):
        commit_documents(database, cid, learn_document("x", "Lake Orrin."))
    kept = content_of(database, "two")
    forget_document(database, one, "x")
    assert content_of(database, "two") == kept
    assert content_of(database, "one")["embeddings"] == {}


def test_tombstones_name_rows_and_carry_no_text(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    with database.read() as connection:
        alive = {("passage", row) for row in connection.scalars(select(passages.c.id))}
        alive |= {("phrase", row) for row in connection.scalars(select(phrases.c.id))}
        alive |= {("fact", row) for row in connection.scalars(select(facts.c.id))}
    forget_document(database, cid, "a")
    with database.read() as connection:
        rows = connection.execute(select(tombstones)).mappings().all()
    assert {(row["kind"], row["row_id"]) for row in rows} == alive
    assert {row["version"] for row in rows} == {2}
    assert set(tombstones.c.keys()) == {"collection_id", "version", "kind", "row_id"}


def test_ids_are_never_given_twice(database: Database) -> None:
    cid = new_collection(database).id
    seen: dict[str, set[int]] = {"documents": set(), "passages": set(), "phrases": set(), "facts": set()}
    tables = {"documents": documents, "passages": passages, "phrases": phrases, "facts": facts}
    for _ in range(4):
        commit_documents(database, cid, A)
        for name, table in tables.items():
            with database.read() as connection:
                ids = set(connection.scalars(select(table.c.id)))
            assert ids
            assert not ids & seen[name], f"{name} were given again"
            seen[name] |= ids
        forget_document(database, cid, "a")


def test_spellings_of_a_name_are_one_phrase_whose_counts_add_up(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("x", "Ada Quill saw ADA QUILL; then Ada Quill left."))
    content = content_of(database)
    mention = content["mentions"][(("x", 0), "ada quill")]
    assert mention[1] == 3
    assert mention[0] in ("Ada Quill", "ADA QUILL")


def test_a_name_without_letters_is_no_phrase(database: Database) -> None:
    cid = new_collection(database).id
    odd = learn_document("x", "Odd.")
    found = Extraction(
        mentions=(Mention("—", 1), Mention("Odd", 1)),
        triples=(Triple("Odd", "is", "—"), Triple("Odd", "is", "odd!"), Triple("Odd", "is", "Even")),
    )
    commit_documents(database, cid, replace(odd, passages=[replace(odd.passages[0], extraction=found)]))
    content = content_of(database)
    assert content["phrases"] == ["even", "odd"]
    assert content["facts"] == [("odd", "is", "even")]


def test_a_phrase_that_only_a_fact_names_goes_with_the_fact(database: Database) -> None:
    cid = new_collection(database).id
    one = learn_document("x", "Odd.")
    found = Extraction(triples=(Triple("Odd", "is", "Even"),))
    commit_documents(database, cid, replace(one, passages=[replace(one.passages[0], extraction=found)]))
    assert content_of(database)["phrases"] == ["even", "odd"]
    assert forget_document(database, cid, "x") == Forgotten(documents=1, passages=1, phrases=2, facts=1)
    assert content_of(database)["phrases"] == []


@pytest.mark.parametrize("name", ["Odd", "Even"])
def test_a_phrase_that_a_fact_still_names_stays_when_its_last_mention_goes(database: Database, name: str) -> None:
    cid = new_collection(database).id
    fact = learn_document("fact", "no name")
    found = Extraction(triples=(Triple("Odd", "is", "Even"),))
    commit_documents(database, cid, replace(fact, passages=[replace(fact.passages[0], extraction=found)]))
    alone = content_of(database)
    commit_documents(database, cid, learn_document("mention", f"{name}."))
    assert forget_document(database, cid, "mention") == Forgotten(documents=1, passages=1, phrases=0, facts=0)
    assert content_of(database) == alone


def test_vectors_are_stored_as_float16_and_found_by_hash(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    hashes = [one.text_hash for one in A.passages]
    with database.read() as connection:
        found = known_vectors(connection, cid, [*hashes, "unknown"])
        sizes = set(connection.scalars(select(func.length(embeddings.c.vector))))
    assert set(found) == set(hashes)
    for one in A.passages:
        np.testing.assert_array_equal(found[one.text_hash], one.vector)
    assert sizes == {32}


def test_known_documents_are_found_by_id_in_their_collection(database: Database) -> None:
    one, two = new_collection(database, "one").id, new_collection(database, "two").id
    with database.write() as connection:
        commit = Commit(connection, one)
        commit.write(A, "job-7")
        commit.finish()
    keys = [*(f"none-{number}" for number in range(1200)), "a"]  # more than one IN (…) holds
    with database.read() as connection:
        assert known_hashes(connection, one, keys) == {"a": (A.content_hash, "job-7")}
        assert known_hashes(connection, two, keys) == {}


def test_a_document_of_many_passages_is_forgotten_whole(database: Database) -> None:
    cid = new_collection(database).id
    texts = [f"Word{number} likes Other{number}." for number in range(1100)]
    commit_documents(database, cid, learn_document("big", *texts))
    forgotten = forget_document(database, cid, "big")
    assert forgotten == Forgotten(documents=1, passages=1100, phrases=2200, facts=1100)
    assert not any(content_of(database).values())


def test_job_ids_need_no_job_row_to_be_remembered(database: Database) -> None:
    cid = new_collection(database).id
    with database.write() as connection:
        Commit(connection, cid).write(A, "deleted-job")
        connection.execute(insert(tombstones).values(collection_id=cid, version=0, kind="passage", row_id=1))
        assert connection.scalar(select(documents.c.job_id)) == "deleted-job"


@pytest.mark.parametrize("seed", range(6))
def test_any_history_equals_a_fresh_learning_of_what_lives(database: Database, seed: int) -> None:
    history = random_history(seed)
    cid = new_collection(database).id
    for done, step in enumerate(history, start=1):
        replay(database, cid, step)
        fresh = new_collection(database, f"fresh-{done}")
        commit_documents(database, fresh.id, *outcome(history[:done]).values())
        assert content_of(database) == content_of(database, fresh.name), f"after step {done}"


def test_the_histories_exercise_what_they_should() -> None:
    steps = [step for seed in range(6) for step in random_history(seed)]
    assert any(len(step.write) > 1 for step in steps)
    assert any(step.forget and step.write for step in steps)
    assert any(not one.passages for step in steps for one in step.write)
    assert {one.passage.text for step in steps for doc in step.write for one in doc.passages} == set(SENTENCES)
