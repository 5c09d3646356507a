"""A collection goes from SQLite to PostgreSQL and back as a file, and is the same."""

from __future__ import annotations

from pathlib import Path

from memory_graph.database import Database, upgrade_schema
from memory_graph.store.collections import bind_embedder
from retrieval.content import canonical
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from service.transfer import export_file, import_file
from tests.postgres import PostgresServer
from tests.unit.factories import (
    EMBEDDER,
    Step,
    content_of,
    embed_names,
    find_collection,
    new_collection,
    random_history,
    replay,
)
from tests.unit.rankers import random_ranker
from tests.unit.views import assert_up_to_date, fresh, passage_names

QUESTIONS = ("Who does Ada Quill like?", "What stood by Lake Orrin?", "rain", "Cora Finch and the Old Mill in Dunmore")


def searches(database: Database) -> list[object]:
    searcher = Searcher(database, ViewCache(database), EMBEDDER, ranker=random_ranker(0))
    return [
        [(hit.document_id, hit.ordinal, hit.score) for hit in searcher.search("memory", wanted).hits]
        for question in QUESTIONS
        for wanted in (SearchRequest(query=question, top_k=100, mode=mode) for mode in ("graph", "dense", "hybrid"))
    ]


def test_from_sqlite_to_postgresql_and_back(postgres: PostgresServer, database: Database, tmp_path: Path) -> None:
    cid = new_collection(database).id
    with database.write() as connection:
        bind_embedder(connection, cid, EMBEDDER.name)
    for step in random_history(7, 40):
        replay(database, cid, Step(tuple(map(embed_names, step.write)), step.forget))
    server, back = Database(postgres.create_database()), Database(f"sqlite:///{tmp_path / 'back.db'}")
    for one in (server, back):
        upgrade_schema(one)
    export_file(database, "memory", tmp_path / "one.jsonl")
    import_file(server, tmp_path / "one.jsonl", EMBEDDER.name)
    export_file(server, "memory", tmp_path / "two.jsonl.gz")
    import_file(back, tmp_path / "two.jsonl.gz", EMBEDDER.name)
    expected = canonical(fresh(database), passage_names(database))
    assert expected["vectors"]
    assert expected["facts"]
    found = searches(database)
    for one in (server, back):
        assert content_of(one) == content_of(database)
        assert canonical(fresh(one), passage_names(one)) == expected
        assert_up_to_date(fresh(one), one)
        assert searches(one) == found
    replay(server, find_collection(server).id, Step((), ("a", "b")))  # nothing is left behind on the server either
    assert_up_to_date(fresh(server), server)
    server.close()
    back.close()
