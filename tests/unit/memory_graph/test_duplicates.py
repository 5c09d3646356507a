"""Copies are found by rows, whatever the order in which they came, and nothing is left of what was forgotten."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from memory_graph.database import Database, upgrade_schema
from memory_graph.store import duplicates as duplicate_store
from memory_graph.store.duplicates import SIGNATURE_VALUES, Copy, Signature, copies_of, find_copies
from memory_graph.store.learning import LearnedDocument
from memory_graph.tables import near_copies, signature_bands, signatures
from tests.unit.factories import commit_documents, content_of, forget_document, learn_document, new_collection

KEYS = "abcd"


def _signature(name: str, changed: int = 0, *, short: bool = False) -> Signature:
    """Return a signature of which ``changed`` values differ from those of ``changed=0``, the last ones first."""
    values = np.random.default_rng(list(name.encode())).integers(0, 2**32, SIGNATURE_VALUES, dtype=np.uint32)
    if changed:
        values[-changed:] += np.uint32(changed)
    return Signature(text_hash=f"{name}{changed}", values=None if short else values)


def _document(key: str, signature: Signature | None) -> LearnedDocument:
    # Another text each time: that two are copies is said by the signature alone.
    return replace(learn_document(key, f"{key} {signature and signature.text_hash}"), signature=signature)


def _copies(database: Database, cid: int, key: str) -> list[tuple[str, str, float]]:
    with database.read() as connection:
        return [(one.document_id, one.kind, one.similarity) for one in copies_of(connection, cid, key)]


def _rows(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (signatures, signature_bands, near_copies)
        }


@pytest.fixture
def cid(database: Database) -> int:
    return new_collection(database).id


def test_equal_texts_are_exact_copies_of_each_other(database: Database, cid: int) -> None:
    commit_documents(database, cid, *(_document(key, _signature("x")) for key in "ab"), _document("c", _signature("y")))
    assert _copies(database, cid, "a") == [("b", "exact", 1.0)]
    assert _copies(database, cid, "b") == [("a", "exact", 1.0)]
    assert _copies(database, cid, "c") == []
    assert _rows(database) == {"signatures": 2, "signature_bands": 40, "near_copies": 0}


def test_texts_that_are_alike_are_near_copies_with_their_similarity(database: Database, cid: int) -> None:
    commit_documents(database, cid, _document("a", _signature("x")), _document("b", _signature("x", 12)))
    assert _copies(database, cid, "a") == [("b", "near", 0.9)]
    assert _copies(database, cid, "b") == [("a", "near", 0.9)]


def test_the_border_is_eight_tenths(database: Database, cid: int) -> None:
    commit_documents(database, cid, _document("a", _signature("x")))
    commit_documents(database, cid, _document("on", _signature("x", 24)), _document("below", _signature("x", 25)))
    assert ("on", "near", 0.8) in _copies(database, cid, "a")
    assert "below" not in [key for key, *_ in _copies(database, cid, "a")]


def test_short_texts_are_compared_exactly_alone(database: Database, cid: int) -> None:
    short = _signature("x", short=True)
    commit_documents(database, cid, _document("a", short), _document("b", short), _document("c", _signature("x", 1)))
    assert _copies(database, cid, "a") == [("b", "exact", 1.0)]
    assert _copies(database, cid, "c") == []


def test_what_is_not_compared_is_no_copy(database: Database, cid: int) -> None:
    commit_documents(database, cid, _document("a", None), _document("b", _signature("x")))
    assert (_copies(database, cid, "a"), _copies(database, cid, "b")) == ([], [])


def test_collections_are_apart(database: Database, cid: int) -> None:
    other = new_collection(database, "other").id
    commit_documents(database, cid, _document("a", _signature("x")), _document("near", _signature("x", 3)))
    commit_documents(database, other, _document("b", _signature("x")))
    assert _copies(database, other, "b") == []
    with database.read() as connection:
        assert find_copies(connection, other, _signature("x", 3), besides="b") == []
        found = find_copies(connection, other, _signature("x", 3), besides="")
    assert found == [Copy(document_id="b", kind="near", similarity=0.975)]


def test_the_most_alike_come_first_and_no_more_than_wanted(database: Database, cid: int) -> None:
    given_ = {"exact": 0, "b-near": 2, "a-near": 2, "far": 20}
    commit_documents(database, cid, *(_document(key, _signature("x", changed)) for key, changed in given_.items()))
    with database.read() as connection:
        found = [find_copies(connection, cid, _signature("x"), besides="", limit=limit) for limit in (3, 1)]
    assert [[one.document_id for one in some] for some in found] == [["exact", "a-near", "b-near"], ["exact"]]


@pytest.mark.parametrize("replaced", [False, True])
def test_the_second_of_two_copies_is_right_when_the_first_goes(database: Database, cid: int, replaced: bool) -> None:
    for key, changed in (("a", 0), ("b", 0), ("c", 5)):
        commit_documents(database, cid, _document(key, _signature("x", changed)))
    if replaced:
        commit_documents(database, cid, _document("a", _signature("y")))
    else:
        forget_document(database, cid, "a")
    assert _copies(database, cid, "b") == [("c", "near", 115 / 120)]
    forget_document(database, cid, "b")
    assert _copies(database, cid, "c") == []
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(near_copies)) == 0


def test_forgetting_all_leaves_no_row(database: Database, cid: int) -> None:
    commit_documents(database, cid, *(_document(key, _signature("x", n)) for n, key in enumerate(KEYS)))
    assert all(_rows(database).values())
    for key in KEYS:
        forget_document(database, cid, key)
    assert not any(_rows(database).values())


def test_a_crowd_of_one_form_is_not_compared_pair_by_pair(database: Database, cid: int) -> None:
    crowd = duplicate_store.CROWD
    texts = [replace(_signature("x"), text_hash=str(n)) for n in range(crowd + 20)]
    commit_documents(database, cid, *(_document(text.text_hash, text) for text in texts))
    assert _rows(database)["near_copies"] == sum(min(n, crowd) for n in range(len(texts)))
    with database.read() as connection:
        assert len(find_copies(connection, cid, _signature("x"), besides="", limit=1000)) == crowd


def test_bands_are_found_by_an_index(database: Database) -> None:
    statement = duplicate_store._SHARING.params({"collection": 1} | {f"band_{place}": place for place in range(20)})
    with database.read() as connection:
        written = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
        steps = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {written}")]
    search = "SEARCH signature_bands USING PRIMARY KEY (collection_id=? AND band=?)"
    assert sum(step == search for step in steps) == duplicate_store.BANDS
    assert not [step for step in steps if step.startswith("SCAN signature_bands")]


Change = tuple[str, tuple[str, int] | None]
changes = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.one_of(st.none(), st.tuples(st.sampled_from("xy"), st.sampled_from((0, 4, 16, 24)))),
    ),
    max_size=12,
)


def _links(database: Database, cid: int) -> dict[str, list[tuple[str, str, float]]]:
    return {key: _copies(database, cid, key) for key in KEYS}


@settings(max_examples=15, deadline=None)
@given(changes, st.permutations(KEYS))
def test_links_follow_from_what_lives_not_from_its_history(
    tmp_path_factory: pytest.TempPathFactory, history: list[Change], order: list[str]
) -> None:
    database = Database(f"sqlite:///{tmp_path_factory.mktemp('laws') / 'sharpwave.db'}")
    upgrade_schema(database)
    lived, anew = (new_collection(database, name).id for name in ("lived", "anew"))
    alive: dict[str, tuple[str, int]] = {}
    for key, text in history:
        if text is None:
            forget_document(database, lived, key)
            alive.pop(key, None)
        else:
            commit_documents(database, lived, _document(key, _signature(*text)))
            alive[key] = text
    for key in order:
        if key in alive:
            commit_documents(database, anew, _document(key, _signature(*alive[key])))
    try:
        assert _links(database, lived) == _links(database, anew)
        assert content_of(database, "lived") == content_of(database, "anew")
        with database.read() as connection:
            for table in (signatures, signature_bands, near_copies):
                per_collection = [
                    connection.scalar(select(func.count()).where(table.c.collection_id == one)) for one in (lived, anew)
                ]
                assert per_collection[0] == per_collection[1], table.name
    finally:
        database.close()
