"""The audit log: what it writes down, how it is read, and that it holds nothing of what was forgotten."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memory_graph.database import Database
from memory_graph.errors import Conflict
from memory_graph.store.audit import Actor, document_target, drop_entries, list_entries, record
from memory_graph.store.collections import create_collection
from memory_graph.store.forgetting import Selection, forget
from memory_graph.store.probing import every_value
from memory_graph.store.retention import LogLimits, Rule, apply_rules, put_rule, shorten_logs
from memory_graph.store.rows import now
from tests.unit.factories import commit_documents, find_collection, learn_document, new_collection

ANNA = Actor(id="k1", name="anna")


def write(database: Database, *actions: str, collection: str | None = "memory") -> None:
    with database.write() as connection:
        for action in actions:
            record(connection, actor=ANNA, action=action, collection=collection, target=f"of {action}")


def actions(database: Database, **which: object) -> list[str]:
    with database.read() as connection:
        return [entry.action for entry in list_entries(connection, **({"limit": 50} | which))]  # type: ignore[arg-type]


def test_entries_are_listed_newest_first_and_in_pages(database: Database) -> None:
    write(database, "a", "b", "c")
    assert actions(database) == ["c", "b", "a"]
    with database.read() as connection:
        first, second = list_entries(connection, limit=2)
    assert (first.actor_id, first.actor_name, first.target, first.outcome) == ("k1", "anna", "of c", "done")
    assert timedelta(0) <= now() - first.at < timedelta(minutes=1)
    assert actions(database, before=second.id) == ["a"]


def test_entries_are_chosen_by_collection_action_and_target(database: Database) -> None:
    write(database, "a", "b")
    write(database, "a", collection="other")
    write(database, "key.create", collection=None)
    assert actions(database, collections={"other"}) == ["a"]
    assert actions(database, collections={"memory", "other"}) == ["a", "b", "a"]
    assert actions(database, collections=set()) == []
    assert actions(database, action="b") == ["b"]
    assert actions(database, target="of b") == ["b"]


def test_an_entry_goes_with_the_transaction_of_its_change(database: Database) -> None:
    new_collection(database)

    def create_again() -> None:
        with database.write() as connection:
            record(connection, actor=ANNA, action="collection.create", collection="memory")
            create_collection(connection, "memory")

    with pytest.raises(Conflict):
        create_again()
    assert actions(database) == []


def test_a_forgotten_document_can_be_looked_up_but_not_read(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document("zorblax-ledger", "Ada likes Bram."))
    target = document_target("memory", "zorblax-ledger")
    with database.write() as connection:
        forget(connection, cid, Selection(key="zorblax-ledger"))
        record(connection, actor=ANNA, action="documents.forget", collection="memory", target=target)
    with database.read() as connection:
        assert not [table for table, data in every_value(connection) if b"zorblax" in data]
        (entry,) = list_entries(connection, limit=9, target=document_target("memory", "zorblax-ledger"))
        assert entry.action == "documents.forget"
    assert document_target("memory", "another") != target
    assert document_target("other", "zorblax-ledger") != target


def test_what_a_rule_forgets_is_written_down(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(
        database, cid, learn_document("a", "Ada.", metadata={"kind": "mail"}), learn_document("b", "Bram.")
    )
    with database.write() as connection:
        put_rule(connection, cid, Rule(name="no-mail", filter={"kind": "mail"}))
    assert len(list(apply_rules(database, now()))) == 1
    assert list(apply_rules(database, now())) == []
    with database.read() as connection:
        (entry,) = list_entries(connection, limit=9)
    assert (entry.actor_id, entry.action, entry.collection, entry.target) == (
        "worker",
        "retention.run",
        "memory",
        "no-mail",
    )
    assert entry.detail["documents"] == 1
    assert entry.detail["version"] == find_collection(database).version


def test_the_log_is_cut_off_at_its_age(database: Database) -> None:
    write(database, "a", "b")
    with database.write() as connection:
        assert drop_entries(connection, 0, now() + timedelta(days=9)) == 0
        assert drop_entries(connection, 10, now() + timedelta(days=9)) == 0
    assert shorten_logs(database, LogLimits(audit_days=8), now() + timedelta(days=9)).changes == 2
    assert actions(database) == []
