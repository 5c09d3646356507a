"""Lists of documents: every order and narrowing against a plain sort in Python, forwards and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, RowMapping, func, insert, select, text, update

from memory_graph.database import Database, upgrade_schema
from memory_graph.store import listing
from memory_graph.store.listing import DocumentFilter, DocumentSort, Place, names_of, page_documents
from memory_graph.tables import documents, passages, signatures
from tests.unit.factories import commit_documents, forget_document, learn_document, new_collection

START = datetime(2026, 5, 1, tzinfo=UTC)
VALUES: dict[DocumentSort, Callable[[RowMapping], Any]] = {
    "learned": lambda row: row["created_at"],
    "title": lambda row: row["names"],
    "passages": lambda row: row["passages"],
    "occurred": lambda row: row["occurred_at"],
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, int]]:
    """Forty documents with many ties, among those of another collection."""
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('library') / 'sharpwave.db'}")
    upgrade_schema(database)
    cid, other = new_collection(database).id, new_collection(database, "other").id
    with database.write() as connection:
        for number in range(80):
            key, title = f"id-{number % 7}/{number}", ("", "Éclair", "apple", "Zebra")[number // 2 % 4]
            source = None if number % 5 else "Ledger"
            row = {"collection_id": other if number % 2 else cid, "key": key, "title": title, "source": source}
            row |= {"metadata": {}, "content_hash": "", "version": 1, "names": names_of(key, title, source)}
            row |= {"passages": number // 2 % 3, "job_id": f"job-{number % 3}"}
            row["occurred_at"] = None if number // 2 % 3 else START + timedelta(days=number // 2 % 5)
            row["created_at"] = START - timedelta(hours=number // 8)
            connection.execute(insert(documents).values(row))
    with database.read() as connection:
        yield connection, cid
    database.close()


def expected(
    connection: Connection, cid: int, sort: DocumentSort, descending: bool, keep: Callable[[RowMapping], bool]
) -> list[int]:
    rows = connection.execute(select(documents).where(documents.c.collection_id == cid)).mappings().all()
    value = VALUES[sort]
    there = [row for row in rows if value(row) is not None and keep(row)]
    without = [row for row in rows if value(row) is None and keep(row)]
    there.sort(key=lambda row: (value(row), row["id"]), reverse=descending)
    without.sort(key=lambda row: row["id"], reverse=descending)
    return [row["id"] for row in (*there, *without)]


def walk(connection: Connection, cid: int, *, limit: int, backwards: bool = False, **how: Any) -> list[int]:
    """Go through all pages from the first, or from the last one back."""
    found: list[int] = []
    beyond: Place | None = None
    for _ in range(500):
        page = page_documents(connection, cid, beyond=beyond, backwards=backwards, limit=limit, **how)
        assert len(page.rows) <= limit
        ids = [row["id"] for row in page.rows]
        found = ids + found if backwards else found + ids
        beyond = page.previous if backwards else page.following
        if beyond is None:
            return found
    pytest.fail("the pages do not end")


NARROWED: dict[str, tuple[DocumentFilter, Callable[[RowMapping], bool]]] = {
    "all": (DocumentFilter(), lambda row: True),
    "text": (DocumentFilter(q="ÉCL"), lambda row: row["title"] == "Éclair"),
    "part of the id": (DocumentFilter(q="-4/"), lambda row: "-4/" in row["key"]),
    "source": (DocumentFilter(source="Ledger"), lambda row: row["source"] == "Ledger"),
    "source as text": (DocumentFilter(q="ledge"), lambda row: row["source"] == "Ledger"),
    "job": (DocumentFilter(job_id="job-1"), lambda row: row["job_id"] == "job-1"),
    "nothing": (DocumentFilter(q="100%_"), lambda row: False),
    "moments": (
        DocumentFilter(since=START - timedelta(hours=6), until=START - timedelta(hours=2)),
        lambda row: START - timedelta(hours=6) <= row["created_at"] < START - timedelta(hours=2),
    ),
    "two": (DocumentFilter(q="apple", job_id="job-0"), lambda row: (row["title"], row["job_id"]) == ("apple", "job-0")),
}


@pytest.mark.parametrize("budget", [3, 10_000])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("sort", list(VALUES))
@pytest.mark.parametrize("narrowed", list(NARROWED))
def test_pages_add_up_to_the_sorted_list(
    library: tuple[Connection, int],
    monkeypatch: pytest.MonkeyPatch,
    narrowed: str,
    sort: DocumentSort,
    descending: bool,
    budget: int,
) -> None:
    connection, cid = library
    monkeypatch.setattr(listing, "NEAR", budget)
    monkeypatch.setattr(listing, "FAR", budget)
    only, keep = NARROWED[narrowed]
    wanted = expected(connection, cid, sort, descending, keep)
    assert bool(wanted) == (narrowed != "nothing")
    for limit in (1, 7, 100):
        assert walk(connection, cid, limit=limit, sort=sort, descending=descending, only=only) == wanted
        back = walk(connection, cid, limit=limit, sort=sort, descending=descending, only=only, backwards=True)
        assert back == wanted


@pytest.mark.parametrize("sort", list(VALUES))
def test_a_page_back_is_the_page_before(library: tuple[Connection, int], sort: DocumentSort) -> None:
    connection, cid = library
    first = page_documents(connection, cid, sort=sort, limit=10)
    second = page_documents(connection, cid, sort=sort, limit=10, beyond=first.following)
    back = page_documents(connection, cid, sort=sort, limit=10, beyond=second.previous, backwards=True)
    assert first.previous is None
    assert (back.rows, back.previous) == (first.rows, None)
    again = page_documents(connection, cid, sort=sort, limit=10, beyond=back.following)
    assert again.rows == second.rows


def test_a_narrowed_page_looks_at_so_many_documents_and_no_more(
    library: tuple[Connection, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, cid = library
    monkeypatch.setattr(listing, "NEAR", 15)
    page = page_documents(connection, cid, only=DocumentFilter(q="nowhere"), limit=10)
    assert page.rows == []
    wanted = expected(connection, cid, "learned", False, lambda row: True)
    assert page.following is not None
    assert page.following.row_id == wanted[14]


@pytest.mark.parametrize("sort", list(VALUES))
@pytest.mark.parametrize("only", [DocumentFilter(), DocumentFilter(q="x", source="y", copies=True)])
def test_sqlite_goes_along_the_index_and_sorts_nothing(
    library: tuple[Connection, int], monkeypatch: pytest.MonkeyPatch, sort: DocumentSort, only: DocumentFilter
) -> None:
    connection, cid = library
    said: list[str] = []
    execute = connection.execute

    def explained(statement: Any, *args: Any) -> Any:
        written = statement.compile(connection.engine, compile_kwargs={"render_postcompile": True})
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}", tuple(written.params.values()))
        said.extend(row[-1] for row in plan)
        return execute(statement, *args)

    monkeypatch.setattr(connection, "execute", explained)
    place = Place(value={"title": "b", "passages": 1}.get(sort, START), row_id=5)
    page_documents(connection, cid, sort=sort, only=only, beyond=place, limit=10)
    column = {"learned": "created_at", "title": "names", "occurred": "occurred_at"}.get(sort, sort)
    plans = [one for one in said if "documents" in one and "other" not in one]
    assert len(plans) >= 1
    assert all(f"ix_documents_collection_id_{column}_id (collection_id=" in one for one in plans), plans
    assert not [one for one in said if "TEMP B-TREE" in one]


def test_copies_are_told_from_documents_that_have_none(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, *(learn_document(key, "Text.") for key in "abc"))
    with database.write() as connection:
        row = {"collection_id": cid, "text_hash": "h"}
        one = connection.scalar(insert(signatures).values(row).returning(signatures.c.id))
        connection.execute(update(documents).where(documents.c.key.in_(("a", "b"))).values(signature_id=one))
    with database.read() as connection:
        for copies, keys in ((True, ["a", "b"]), (False, ["c"]), (None, ["a", "b", "c"])):
            page = page_documents(connection, cid, only=DocumentFilter(copies=copies), limit=10)
            assert [found["key"] for found in page.rows] == keys


def test_names_are_folded_and_each_has_its_room() -> None:
    assert names_of("A", "", None) == "a"
    assert names_of("Ｆｅｒｒｙ.TXT", "The  FERRY\n", "ferry.txt") == "the ferry\nferry.txt"
    long = names_of("k" * 1_000, "t" * 1_000, "s" * 1_000)
    assert long == "\n".join(("t" * 200, "k" * 200, "s" * 200))
    assert len(long) == 602 == documents.c.names.type.length  # type: ignore[attr-defined]


def test_the_count_of_passages_follows_what_is_learned(database: Database) -> None:
    cid = new_collection(database).id

    def count() -> dict[str, int]:
        with database.read() as connection:
            rows = connection.execute(
                select(documents.c.key, documents.c.passages, func.count(passages.c.id))
                .outerjoin(passages, passages.c.document_id == documents.c.id)
                .group_by(documents.c.id)
            ).all()
        assert all(kept == counted for _, kept, counted in rows)
        return {key: kept for key, kept, _ in rows}

    commit_documents(database, cid, learn_document("a", "One.", "Two.", "Three."), learn_document("b", "Four."))
    assert count() == {"a": 3, "b": 1}
    commit_documents(database, cid, learn_document("a", "One.", "Five.", title="New title"))
    assert count() == {"a": 2, "b": 1}
    with database.read() as connection:
        assert connection.scalar(text("SELECT names FROM documents WHERE key = 'a'")) == "new title\na"
    forget_document(database, cid, "b")
    assert count() == {"a": 2}
