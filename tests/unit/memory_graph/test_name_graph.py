"""Names around names: what joins them, in what order, and what bounds leave out."""

from __future__ import annotations

from typing import Any

import pytest

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.inspect import locate
from memory_graph.name_graph import NameGraph, names_around
from memory_graph.store.correcting import NewCorrection
from memory_graph.store.previewing import preview
from tests.unit.factories import commit_documents, find_collection, learn_document, new_collection

DOCUMENTS = (
    learn_document("harbour", "Maren Quill likes Tessaly.", "Tessaly likes Ostrow.", "Maren Quill met Tessaly."),
    learn_document("mill", "Ivo Brandt likes Ostrow. Ivo Brandt rests.", "Dunmere and Ivo Brandt met."),
    learn_document("far", "Nobody Else likes Somewhere Far."),
)


@pytest.fixture
def memory(database: Database) -> tuple[Database, int]:
    cid = new_collection(database).id
    commit_documents(database, cid, *DOCUMENTS)
    return database, cid


def around(memory: tuple[Database, int], *names: str, members: tuple[str, ...] = (), **how: Any) -> NameGraph:
    database, cid = memory
    with database.read() as connection:
        ids = [locate(connection, cid, name) for name in names]
        others = [locate(connection, cid, name) for name in members]
        return names_around(connection, cid, ids, members=others, **how)


def told(graph: NameGraph) -> set[tuple[str, str, str, float]]:
    """Return the ties by name; those without a direction in the order of the alphabet."""
    name = {one.id: one.name for one in graph.names}
    found = set()
    for tie in graph.ties:
        ends = name[tie.source], name[tie.target]
        one, other = ends if tie.kind == "fact" else sorted(ends)
        found.add((one, tie.kind, other, tie.weight))
    return found


def names(graph: NameGraph) -> list[tuple[str, int]]:
    return [(one.name, one.distance) for one in graph.names]


def test_what_is_one_step_away_is_joined_by_facts_and_passages(memory: tuple[Database, int]) -> None:
    graph = around(memory, "Tessaly")
    assert names(graph) == [("Tessaly", 0), ("Maren Quill", 1), ("Ostrow", 1)]
    assert told(graph) == {
        ("Maren Quill", "fact", "Tessaly", 1),
        ("Tessaly", "fact", "Ostrow", 1),
        ("Maren Quill", "passage", "Tessaly", 2),
        ("Ostrow", "passage", "Tessaly", 1),
    }
    assert [(one.name, one.degree) for one in graph.names] == [("Tessaly", 3), ("Maren Quill", 2), ("Ostrow", 2)]
    assert not graph.cut


def test_more_steps_lead_further_but_never_where_nothing_leads(memory: tuple[Database, int]) -> None:
    assert names(around(memory, "Tessaly", steps=2))[3:] == [("Ivo Brandt", 2)]
    assert names(around(memory, "Tessaly", steps=6))[4:] == [("Dunmere", 3)]


def test_kinds_and_weights_are_left_out_where_that_is_asked(memory: tuple[Database, int]) -> None:
    assert told(around(memory, "Tessaly", kinds=["fact"])) == {
        ("Maren Quill", "fact", "Tessaly", 1),
        ("Tessaly", "fact", "Ostrow", 1),
    }
    assert names(around(memory, "Ivo Brandt", kinds=["fact"])) == [("Ivo Brandt", 0), ("Ostrow", 1)]
    heavy = around(memory, "Tessaly", least=2)
    assert names(heavy) == [("Tessaly", 0), ("Maren Quill", 1)]
    assert told(heavy) == {("Maren Quill", "passage", "Tessaly", 2)}


def test_members_are_shown_without_what_is_around_them(memory: tuple[Database, int]) -> None:
    graph = around(memory, members=("Ivo Brandt", "Ostrow", "Nobody Else"))
    assert names(graph) == [("Ivo Brandt", 0), ("Ostrow", 0), ("Nobody Else", 0)]
    assert told(graph) == {("Ivo Brandt", "fact", "Ostrow", 1), ("Ivo Brandt", "passage", "Ostrow", 1)}
    group = {one.name: one.community for one in graph.names}
    assert group["Ivo Brandt"] == group["Ostrow"] == 0
    assert group["Nobody Else"] == 1


def test_synonyms_come_with_their_similarity_and_only_if_they_are_there(memory: tuple[Database, int]) -> None:
    database, cid = memory
    with database.read() as connection:
        tessaly, dunmere = (locate(connection, cid, name) for name in ("Tessaly", "Dunmere"))

    def alike(phrase_id: int) -> list[tuple[int, float]]:
        near = {tessaly: [(dunmere, 0.9), (987654, 0.8)], dunmere: [(tessaly, 0.9)]}
        return near.get(phrase_id, [])

    graph = around(memory, "Tessaly", kinds=["synonym"], synonyms=alike)
    assert names(graph) == [("Tessaly", 0), ("Dunmere", 1)]
    assert told(graph) == {("Dunmere", "synonym", "Tessaly", 0.9)}


def test_the_strongest_stay_where_there_is_no_room(memory: tuple[Database, int]) -> None:
    graph = around(memory, "Tessaly", limit=2)
    assert names(graph) == [("Tessaly", 0), ("Maren Quill", 1)]
    assert graph.cut


def test_what_is_not_there_or_out_of_bounds_is_named(memory: tuple[Database, int]) -> None:
    database, cid = memory
    other = new_collection(database, "other").id
    with database.read() as connection:
        tessaly = locate(connection, cid, "Tessaly")
        with pytest.raises(NotFound, match="phrase '987654'"):
            names_around(connection, cid, [tessaly, 987654])
        with pytest.raises(NotFound, match="phrase"):
            names_around(connection, other, [tessaly])
        with pytest.raises(InvalidInput, match="phrase"):
            names_around(connection, cid, [])
        for wrong in ({"steps": 0}, {"steps": 7}, {"limit": 0}, {"limit": 2001}):
            with pytest.raises(InvalidInput, match=next(iter(wrong))):
                names_around(connection, cid, [tessaly], **wrong)
        with pytest.raises(InvalidInput, match="limit"):
            names_around(connection, cid, [tessaly], members=[tessaly + 1], limit=1)


def test_a_preview_tells_what_a_correction_does_and_makes_none(memory: tuple[Database, int]) -> None:
    database, cid = memory
    before = around(memory, "Ostrow", steps=6)
    with database.write() as connection:
        merged = preview(
            connection, cid, NewCorrection(kind="merge", what={"names": ["Ivo Brandt"], "into": "Tessaly"}), 50
        )
        taken = preview(
            connection,
            cid,
            NewCorrection(kind="retract", what={"subject": "Maren Quill", "predicate": "likes", "object": "Tessaly"}),
            50,
        )
        with pytest.raises(NotFound):
            preview(connection, cid, NewCorrection(kind="merge", what={"names": ["Nemo"], "into": "Tessaly"}), 50)
    # Tessaly and Ivo Brandt both like Ostrow: one fact of the two stays.
    assert (merged.passages, merged.phrases, merged.facts) == (2, -1, -1)
    assert [(row.document_id, row.passages) for row in merged.documents] == [("mill", 2)]
    assert (taken.passages, taken.phrases, taken.facts) == (1, 0, -1)
    assert around(memory, "Ostrow", steps=6) == before
    assert find_collection(database).version == 1
