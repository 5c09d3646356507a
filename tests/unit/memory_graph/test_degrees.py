"""In how many passages a phrase stands is kept, and is always what counting anew would give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Connection, func, select, text

from memory_graph import database as database_module
from memory_graph.database import Database, upgrade_schema
from memory_graph.store.browsing import browse_phrases
from memory_graph.store.degrees import count_degrees
from memory_graph.tables import mentions, phrases
from service.transfer import export_file, import_file
from tests.unit.factories import (
    EMBEDDER,
    commit_documents,
    correct,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
    undo_correction,
)

FERRY = learn_document("ferry", "Maren Quill likes Tessaly.", "Maren Quill rests. Maren Quill likes Ostrow.")
MILL = learn_document("mill", "Ivo Brandt likes Ostrow.")


def degrees(connection: Connection, collection_id: int) -> dict[str, int]:
    """Return the degrees that are kept, and see that they are those of the mentions."""
    kept = {row.key: row.degree for row in browse_phrases(connection, collection_id, limit=100)}
    counted = connection.execute(
        select(phrases.c.key, func.count(mentions.c.passage_id))
        .outerjoin(mentions, mentions.c.phrase_id == phrases.c.id)
        .where(phrases.c.collection_id == collection_id)
        .group_by(phrases.c.key)
    )
    assert kept == {key: count for key, count in counted}
    return kept


def look(database: Database, collection_id: int) -> dict[str, int]:
    with database.read() as connection:
        return degrees(connection, collection_id)


def test_degrees_follow_all_that_is_learned_replaced_forgotten_and_corrected(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, FERRY, MILL)
    first = {"maren quill": 2, "tessaly": 1, "ostrow": 2, "ivo brandt": 1}
    assert look(database, cid) == first
    commit_documents(database, cid, learn_document("ferry", "Maren Quill likes Tessaly."))
    assert look(database, cid) == {"maren quill": 1, "tessaly": 1, "ostrow": 1, "ivo brandt": 1}
    commit_documents(database, cid, FERRY)
    assert look(database, cid) == first
    made = correct(database, cid, "merge", names=["Ivo Brandt"], into="Maren Quill")
    assert look(database, cid) == {"maren quill": 3, "tessaly": 1, "ostrow": 2}
    undo_correction(database, cid, made.id)
    assert look(database, cid) == first
    forget_document(database, cid, "ferry")
    assert look(database, cid) == {"ostrow": 1, "ivo brandt": 1}


def test_degrees_come_with_an_import(database: Database, tmp_path: Path) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, FERRY, MILL)
    export_file(database, "memory", tmp_path / "memory.jsonl")
    import_file(database, tmp_path / "memory.jsonl", EMBEDDER.name, name="copy")
    assert look(database, find_collection(database, "copy").id) == look(database, cid)


def test_the_migration_counts_what_is_there(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'sharpwave.db'}")
    upgrade_schema(database)
    cid = new_collection(database).id
    commit_documents(database, cid, FERRY, MILL)
    before = look(database, cid)
    with database.write() as connection:
        config = database_module._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "0017-1")
        command.upgrade(config, "head")
    assert look(database, cid) == before
    database.close()


def test_pages_by_degree_go_on_where_the_last_one_ended(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, FERRY, MILL)
    with database.read() as connection:
        whole = browse_phrases(connection, cid, sort="degree", limit=10)
        assert [(row.degree, row.key) for row in whole] == [
            (2, "maren quill"),
            (2, "ostrow"),
            (1, "ivo brandt"),
            (1, "tessaly"),
        ]
        for place, row in enumerate(whole):
            rest = browse_phrases(connection, cid, sort="degree", after=(row.degree, row.key), limit=10)
            assert rest == whole[place + 1 :]


def test_a_page_by_degree_sorts_no_more_than_it_shows(database: Database) -> None:
    cid = new_collection(database).id
    with database.read() as connection:
        query = select(phrases.c.id, phrases.c.key, phrases.c.degree).where(phrases.c.collection_id == cid)
        by_degree = query.order_by(phrases.c.degree.desc(), phrases.c.key).limit(50)
        told = str(by_degree.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        plan: list[Any] = [row[-1] for row in connection.execute(text(f"EXPLAIN QUERY PLAN {told}"))]
    assert any("ix_phrases_collection_id_degree_key" in step for step in plan), plan


def test_degrees_are_counted_anew_for_one_collection_alone(database: Database) -> None:
    one, other = new_collection(database, "one").id, new_collection(database, "other").id
    commit_documents(database, one, FERRY)
    commit_documents(database, other, MILL)
    with database.write() as connection:
        connection.execute(phrases.update().values(degree=77))
        count_degrees(connection, one)
    assert look(database, one)["maren quill"] == 2
    with database.read() as connection:
        assert {row.degree for row in browse_phrases(connection, other, limit=10)} == {77}
    assert find_collection(database, "other").version == 1
