"""Forgetting takes everything that rested on it alone, from every table, in one commit; the rest stays as it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, update

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.store.collections import delete_collection
from memory_graph.store.forgetting import Erased, Selection, forget
from memory_graph.store.jobs import Failure as JobFailure
from memory_graph.store.jobs import NewItem, add_failures, end_job
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.probing import every_value
from memory_graph.store.purges import last_forgotten, open_purges
from memory_graph.store.queries import add_queries, get_query
from memory_graph.store.replies import Reply, write_replies
from memory_graph.store.rows import now
from memory_graph.store.scrubbing import SCRUBBED
from memory_graph.tables import documents, job_items, jobs, metadata, passages, queries
from tests.unit.factories import (
    commit_documents,
    content_of,
    embed_names,
    find_collection,
    find_job,
    learn_document,
    new_collection,
    new_job,
)

A = embed_names(learn_document("a", "Ada Quill likes Bram Oster.", title="First", source="mill"))
B = embed_names(
    learn_document(
        "the-secret",
        "Ada Quill likes Bram Oster.",
        "Zorblax Quend likes Ada Quill at midnight.",
        title="Second Ledger",
        source="vault",
        metadata={"owner": "Vantongeren", "year": 1871},
    )
)
SECRETS = ("zorblax", "quend", "midnight", "second ledger", "the-secret", "vault", "vantongeren")


def text_of(database: Database) -> str:
    """Return every text in the database, case folded."""
    with database.read() as connection:
        return "\n".join(
            f"{table} {data.decode('utf-8', 'replace')}" for table, data in every_value(connection)
        ).casefold()


def erase(database: Database, dry_run: bool = False, **which: Any) -> Erased:
    cid = find_collection(database).id
    with database.write() as connection:
        return forget(connection, cid, Selection(**which), dry_run=dry_run)


def logged(
    query_id: str, cid: int, question: str, answer: str, hits: list[tuple[int, str]], **trace: Any
) -> dict[str, Any]:
    return {
        "id": query_id,
        "collection_id": cid,
        "question": question,
        "answer": answer,
        "found": True,
        "fallback_reason": "generator_timeout: it was asked of Zorblax Quend" if "Zorblax" in answer else None,
        "version": 1,
        "milliseconds": 7,
        "trace": {
            "version": 1,
            "strategy": "direct",
            "order": [passage_id for passage_id, _ in hits],
            "hits": [
                {"passage_id": passage_id, "document_id": key, "rank": 1, "score": 1.0} for passage_id, key in hits
            ],
            "stages": [{"name": "answer", "ms": 2.5, "detail": trace}],
        },
        "created_at": now(),
    }


def passage_ids(database: Database, key: str) -> list[int]:
    with database.read() as connection:
        rows = select(passages.c.id).join(documents, documents.c.id == passages.c.document_id)
        return list(connection.scalars(rows.where(documents.c.key == key).order_by(passages.c.id)))


@pytest.fixture
def world(database: Database) -> Iterator[Database]:
    """A was learned first, then B with all that can be made of a document."""
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    commit_documents(database, cid, B)
    new_job(database, [NewItem(kind="document", name="the-secret", size=1, payload={"text": "Zorblax Quend"})])
    of_a, of_b = passage_ids(database, "a"), passage_ids(database, "the-secret")
    with database.write() as connection:
        add_failures(connection, "job-1", [JobFailure(name="the-secret", reason="empty", error="of Second Ledger")])
        reply = Reply(prompt_hash="p", text_hash=B.passages[1].text_hash, document="the-secret", text='["Zorblax"]')
        write_replies(connection, cid, "job-1", [reply])
        end_job(connection, "job-1", "failed", "the server said: Zorblax Quend")
        for number, rests in enumerate((of_a, [*of_a, *of_b])):
            note = NewNote(
                collection_id=cid,
                query_id=f"q{number}",
                question="Who?",
                text="Ada." if number == 0 else "Zorblax.",
                version=2,
                passage_ids=rests,
                created_at=now(),
            )
            add_notes(connection, [note])
        rows = [
            logged("of-a", cid, "Who likes Bram?", "Ada Quill.", [(of_a[0], "a")]),
            logged("of-b", cid, "Who is it?", "Zorblax, at midnight.", [(of_b[1], "the-secret")], quote="at midnight"),
            logged("names-b", cid, "Is quend, ZORBLAX a name? Zorblax   Quend is.", "Nothing.", [(of_a[0], "a")]),
        ]
        add_queries(connection, rows)
    return database


def test_the_world_holds_the_secrets(world: Database) -> None:
    said = text_of(world)
    assert [secret for secret in SECRETS if secret not in said] == []


def test_forgetting_leaves_no_word_in_any_table(world: Database) -> None:
    erased = erase(world, key="the-secret")
    said = text_of(world)
    assert [secret for secret in SECRETS if secret in said] == []
    assert erased == Erased(
        documents=1, passages=2, phrases=1, facts=1, notes=1, replies=1, queries=2, job_items=2,
        bytes=len("".join(one.passage.text for one in B.passages)), version=3, purge_id=1,
    )  # fmt: skip


def test_add_a_add_b_forget_b_equals_add_a(world: Database) -> None:
    erase(world, key="the-secret")
    new_collection(world, "alone")
    commit_documents(world, find_collection(world, "alone").id, A)
    assert content_of(world) == content_of(world, "alone")
    history = {"commits", "tombstones", "purges", "queries", "jobs", "job_items", "notes", "note_passages"}
    with world.read() as connection:
        for table in metadata.sorted_tables:
            if "collection_id" in table.c and table.name not in history:
                count = select(func.count()).select_from(table)
                one, other = (
                    connection.scalar(count.where(table.c.collection_id == find_collection(world, name).id))
                    for name in ("memory", "alone")
                )
                assert one == other, table.name


def test_what_rests_on_other_documents_stays(world: Database) -> None:
    erase(world, key="the-secret")
    with world.read() as connection:
        kept = get_query(connection, "of-a")
        assert (kept["question"], kept["answer"]) == ("Who likes Bram?", "Ada Quill.")
    assert "ada." in text_of(world)


def test_a_logged_question_keeps_its_times_and_counts(world: Database) -> None:
    erase(world, key="the-secret")
    with world.read() as connection:
        row = get_query(connection, "of-b")
        count = connection.scalar(select(func.count()).select_from(queries))
    assert (row["milliseconds"], row["found"], row["fallback_reason"]) == (7, True, "generator_timeout")
    assert row["trace"]["stages"] == [{"name": "answer", "ms": 2.5, "detail": {}}]
    assert count == 3
    job = find_job(world)
    assert (job.items, job.failed) == (1, 1)


def test_a_dry_run_tells_the_same_and_changes_nothing(world: Database) -> None:
    before = text_of(world)
    told = erase(world, key="the-secret", dry_run=True)
    assert text_of(world) == before
    assert find_collection(world).version == 2
    done = erase(world, key="the-secret")
    assert {**vars(done), "version": None, "purge_id": None} == vars(told)


def test_what_waits_to_be_learned_is_cancelled(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    items = [NewItem(kind="document", name=name, size=1, payload={"text": name}) for name in ("a", "other")]
    new_job(database, items)
    assert erase(database, key="a").job_items == 1
    with database.read() as connection:
        rows = connection.execute(select(job_items.c.state, job_items.c.payload).order_by(job_items.c.id)).all()
    assert [tuple(row) for row in rows] == [("cancelled", None), ("pending", {"text": "other"})]


def test_a_file_is_found_in_jobs_by_whatever_path_it_was_given(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("/home/ada/notes/old.txt", "Ada Quill."))
    names = ("notes/old.txt", "../../old.txt", "./notes/old.txt", "other/old.txt", "/home/ada/notes/old.txt")
    new_job(database, [NewItem(kind="file", name=name, size=1) for name in names], job_id="done")
    with database.write() as connection:
        connection.execute(update(job_items).values(state="done", payload=None))
    paths = ("/home/ada/notes/old.txt", "/home/bram/notes/old.txt")
    waiting = [NewItem(kind="file", name="notes/old.txt", size=1, payload={"path": path}) for path in paths]
    new_job(database, waiting, job_id="waiting")
    assert erase(database, key="/home/ada/notes/old.txt").job_items == 5
    with database.read() as connection:
        left = connection.execute(
            select(job_items.c.name, job_items.c.state).where(job_items.c.name != SCRUBBED).order_by(job_items.c.id)
        )
        assert [tuple(row) for row in left] == [("other/old.txt", "done"), ("notes/old.txt", "pending")]


def test_what_was_never_learned_can_be_forgotten(database: Database) -> None:
    new_collection(database)
    new_job(database, [NewItem(kind="document", name="the-secret", size=1, payload={"text": "Zorblax"})])
    erased = erase(database, key="the-secret")
    assert (erased.documents, erased.job_items) == (0, 1)
    assert "zorblax" not in text_of(database)
    with pytest.raises(NotFound, match="'the-secret' does not exist"):
        erase(database, key="the-secret")


def test_an_answer_that_is_logged_after_the_forgetting_has_no_words(world: Database) -> None:
    late = logged(
        "late", find_collection(world).id, "Who?", "At midnight.", [(passage_ids(world, "the-secret")[1], "the-secret")]
    )
    erase(world, key="the-secret")
    with world.write() as connection:
        add_queries(connection, [late])
    with world.read() as connection:
        assert get_query(connection, "late")["answer"] == ""
    assert "midnight" not in text_of(world)


@pytest.mark.parametrize(
    "which",
    [
        {"source": "vault"},
        {"filter": {"year": {"gte": 1800}}},
        {"key": "the-secret"},
        {"keys": ["the-secret", "nobody", "the-secret"]},
    ],
)
def test_a_source_or_a_filter_forgets_in_one_commit(database: Database, which: dict[str, Any]) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A, B)
    erased = erase(database, **which)
    assert (erased.documents, erased.version) == (1, 2)
    assert list(content_of(database)["documents"]) == ["a"]


def test_several_go_together_with_what_rests_on_them_alone(world: Database) -> None:
    keys = list(content_of(world)["documents"])
    apart = [erase(world, key=key, dry_run=True) for key in keys]
    together = erase(world, keys=keys, dry_run=True)
    assert together.passages == sum(one.passages for one in apart)
    assert together.phrases >= sum(one.phrases for one in apart)
    assert erase(world, keys=keys).documents == len(keys) == together.documents
    assert not content_of(world)["documents"]


def test_all_leaves_an_empty_collection(world: Database) -> None:
    before = find_collection(world).version
    erased = erase(world, everything=True)
    assert (erased.documents, erased.queries, erased.version) == (2, 3, before + 1)
    assert not any(content_of(world).values())
    said = text_of(world)
    # As words: random tokens of commits may hold these letters.
    assert [word for word in (*SECRETS, "ada", "bram", "first") if re.search(rf"\b{word}\b", said)] == []


def test_a_selection_that_meets_nothing_changes_nothing(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, A)
    erased = erase(database, source="nobody")
    assert not erased.anything
    assert erased.version is None
    assert find_collection(database).version == 1
    with database.read() as connection:
        assert open_purges(connection) == []


@pytest.mark.parametrize(
    "which", [{}, {"key": "a", "source": "b"}, {"everything": True, "filter": {"x": 1}}, {"keys": []}]
)
def test_exactly_one_thing_must_be_said(which: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="only one of these"):
        Selection(**which)


def test_each_forgetting_asks_for_a_purge_and_so_does_a_deletion(world: Database) -> None:
    cid = find_collection(world).id
    erase(world, key="the-secret")
    with world.read() as connection:
        assert last_forgotten(connection, cid) == 3
    with world.write() as connection:
        delete_collection(connection, "memory")
    with world.read() as connection:
        (purge,) = open_purges(connection)
        assert (purge.collection_id, purge.collection, purge.version) == (cid, None, 3)
        assert connection.scalar(select(func.count()).select_from(jobs)) == 0
