"""GraphML and node-link JSON, read back by networkx."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import networkx
import pytest
from lxml import etree

from memory_graph.database import Database
from memory_graph.graph_files import Drawing, draw_collection, node_link, write_graphml, write_node_link
from memory_graph.inspect import ego_graph
from memory_graph.store.inspecting import page_ids
from memory_graph.types import Extraction, Mention, Triple
from tests.unit.factories import commit_documents, learn_document, new_collection

# A bell, an escape sequence, a vertical tab, a non-character: nothing that XML may hold.
WILD = "Bell\x07 \x1b[31mRed\x0b \ufffe"
TAMED = "Bell\ufffd \ufffd[31mRed\ufffd \ufffd"
MARKUP = "<b>\"Tom\" & 'Jerry'</b> ]]> \r\n\t🎺 日本"


def written(graph: Any, write: Any = write_graphml) -> str:
    file = io.StringIO()
    write(graph, file)
    return file.getvalue()


def read_graphml(text: str) -> Any:
    return networkx.read_graphml(io.BytesIO(text.encode()), force_multigraph=True)


def attributes(pairs: Any) -> list[tuple[Any, Mapping[str, Any]]]:
    return sorted(pairs, key=repr)


@pytest.fixture
def memory(database: Database) -> tuple[Database, int]:
    cid = new_collection(database).id
    wild = learn_document("wild", MARKUP, title=WILD)
    (passage,) = wild.passages
    names = Extraction(
        mentions=(Mention(WILD, 2), Mention(MARKUP, 1), Mention("Ada Quill", 3)),
        triples=(Triple(WILD, "likes\x07 & <eats>", "Only In A Fact"), Triple(WILD, "saw", "Ada Quill")),
    )
    commit_documents(
        database,
        cid,
        learn_document("plain", "Ada Quill likes Bram Oster.", "rain.", title="Plain"),
        replace(wild, passages=[replace(passage, extraction=names)]),
    )
    return database, cid


@pytest.mark.parametrize("texts", [False, True])
def test_both_forms_of_a_collection_read_back_the_same(memory: tuple[Database, int], texts: bool) -> None:
    database, cid = memory
    with database.read() as connection:
        drawing = draw_collection(connection, cid, "memory", texts=texts)
        listed = Drawing(nodes=list(drawing.nodes), edges=list(drawing.edges), about=drawing.about)
    document = json.loads(written(listed, write_node_link))
    graph = networkx.node_link_graph(document, edges="edges")
    assert graph.is_directed()
    assert graph.is_multigraph()
    assert graph.graph == {"collection": "memory"}
    assert attributes(graph.nodes(data=True)) == attributes(listed.nodes)
    assert attributes(graph.edges(keys=True, data=True)) == attributes(listed.edges)
    assert node_link(graph) == document
    # GraphML differs in nothing but the characters that XML forbids.
    again = read_graphml(written(listed))
    assert again.graph["collection"] == "memory"
    assert attributes(again.nodes(data=True)) == attributes((node, tamed(about)) for node, about in listed.nodes)
    assert attributes((start, end, about) for start, end, about in again.edges(data=True)) == attributes(
        (start, end, tamed(about)) for start, end, _, about in listed.edges
    )


def tamed(about: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.replace(WILD, TAMED).replace("\x07", "\ufffd") if isinstance(value, str) else value
        for name, value in about.items()
    }


def test_what_a_collection_holds_is_all_there(memory: tuple[Database, int]) -> None:
    database, cid = memory
    with database.read() as connection:
        drawing = draw_collection(connection, cid, "memory", texts=True)
        nodes, edges = list(drawing.nodes), list(drawing.edges)
    passages = {(about["document_id"], about["ordinal"]): about for _, about in nodes if about["kind"] == "passage"}
    assert set(passages) == {("plain", 0), ("plain", 1), ("wild", 0)}
    assert passages["wild", 0]["text"] == MARKUP
    assert passages["plain", 1]["title"] == "Plain"
    # One that only a fact names has its normalised words.
    names = {node: about["name"] for node, about in nodes if about["kind"] == "phrase"}
    assert sorted(names.values()) == sorted(["Ada Quill", "Bram Oster", WILD, MARKUP, "only in a fact"])
    relations = {
        (names[start], about["predicate"], names[end], about["sources"])
        for start, end, _, about in edges
        if about["kind"] == "relation"
    }
    assert relations == {
        ("Ada Quill", "likes", "Bram Oster", 1),
        (WILD, "likes\x07 & <eats>", "only in a fact", 1),
        (WILD, "saw", "Ada Quill", 1),
    }
    counts = sorted(about["count"] for _, _, _, about in edges if about["kind"] == "context")
    assert counts == [1, 1, 1, 2, 3]


def test_an_ego_graph_is_written_like_a_collection(memory: tuple[Database, int]) -> None:
    database, cid = memory
    with database.read() as connection:
        graph = ego_graph(connection, cid, "ada quill", hops=2)
    assert json.loads(written(graph, write_node_link)) == node_link(graph)
    again = read_graphml(written(graph))
    assert again.graph == {"center": "Ada Quill", "hops": 2, "limit": 100, "cut": False} | {
        name: value for name, value in again.graph.items() if name in ("node_default", "edge_default")
    }
    assert set(again) == set(graph)
    assert dict(again.nodes(data="distance")) == dict(graph.nodes(data="distance"))
    assert all("text" not in about for _, about in graph.nodes(data=True))


def test_graphml_is_well_formed_whatever_the_names(memory: tuple[Database, int]) -> None:
    database, cid = memory
    with database.read() as connection:
        text = written(draw_collection(connection, cid, "memory", texts=True))
    root = etree.fromstring(text.encode())
    assert root.tag == "{http://graphml.graphdrawing.org/xmlns}graphml"
    held = [element.text for element in root.iter() if element.tag.endswith("data")]
    assert TAMED in held
    assert MARKUP in held


def test_an_empty_collection_is_an_empty_graph(database: Database) -> None:
    cid = new_collection(database).id
    with database.read() as connection:
        assert len(read_graphml(written(draw_collection(connection, cid, "memory")))) == 0
        document = json.loads(written(draw_collection(connection, cid, "memory"), write_node_link))
    assert (document["nodes"], document["edges"]) == ([], [])


def test_pages_leave_nothing_out(database: Database) -> None:
    cid, other = new_collection(database).id, new_collection(database, "other").id
    for key in "abc":
        commit_documents(database, cid, learn_document(key, *(f"Text {key}{one}." for one in range(3))))
        commit_documents(database, other, learn_document(key, "Elsewhere."))
    with database.read() as connection:
        pages = list(page_ids(connection, cid, "passages", size=4))
    assert [len(page) for page in pages] == [4, 4, 1]
    flat = [one for page in pages for one in page]
    assert flat == sorted(set(flat))
