"""Ego graphs, evidence paths and communities, against networkx on the whole graph and against expectations by hand."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import networkx
import pytest

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound
from memory_graph.evidence import EvidencePaths, evidence_paths
from memory_graph.graph_files import draw_collection
from memory_graph.inspect import HUB, NAMES_PER_PASSAGE, Communities, communities, ego_graph
from memory_graph.types import Extraction, Mention
from tests.unit.factories import (
    commit_documents,
    forget_document,
    learn_document,
    new_collection,
    random_history,
    replay,
)

REPOSITORY = Path(__file__).resolve().parents[3]


def learn(database: Database, *texts: str, title: str = "", key: str = "doc") -> int:
    """Commit one document with one passage a text into a new collection; return the collection's id."""
    cid = new_collection(database).id
    commit_documents(database, cid, learn_document(key, *texts, title=title))
    return cid


def ego(database: Database, cid: int, center: str, **bounds: Any) -> Any:
    with database.read() as connection:
        return ego_graph(connection, cid, center, **bounds)


def paths(database: Database, cid: int, source: str, target: str, **bounds: Any) -> EvidencePaths:
    with database.read() as connection:
        return evidence_paths(connection, cid, source, target, **bounds)


def groups(database: Database, cid: int, **bounds: Any) -> Communities:
    with database.read() as connection:
        return communities(connection, cid, **bounds)


def whole(database: Database, cid: int) -> Any:
    """Return the whole collection as an undirected networkx graph."""
    graph = networkx.Graph()
    with database.read() as connection:
        drawing = draw_collection(connection, cid, "memory")
        graph.add_nodes_from(drawing.nodes)
        graph.add_edges_from((start, end) for start, end, _, _ in drawing.edges)
    return graph


def labels(graph: Any) -> list[str]:
    """Return a graph's nodes as people read them, in order."""
    return [about.get("name") or f"{about['document_id']}/{about['ordinal']}" for _, about in graph.nodes(data=True)]


def chains(found: EvidencePaths) -> list[list[str]]:
    return [[chain[0].source, *(step.target for step in chain)] for chain in found.paths]


@pytest.fixture(params=[1, 2, 3])
def random_memory(request: pytest.FixtureRequest, database: Database) -> tuple[Database, int, Any]:
    """A memory with a history, and all of its graph."""
    cid = new_collection(database).id
    for step in random_history(request.param):
        replay(database, cid, step)
    sparse = [f"Sparse{one} likes Sparse{one + 1}." for one in range(6)]
    commit_documents(database, cid, learn_document("chain", *sparse, "Bram Oster saw Sparse0."))
    return database, cid, whole(database, cid)


# Ego graphs


@pytest.mark.parametrize("hops", [1, 2, 3, 6])
def test_without_a_cut_an_ego_graph_is_that_of_networkx(random_memory: tuple[Database, int, Any], hops: int) -> None:
    database, cid, graph = random_memory
    for node, about in graph.nodes(data=True):
        if about["kind"] == "phrase":
            found = ego(database, cid, about["name"].upper(), hops=hops, limit=2000)
            expected = networkx.ego_graph(graph, node, radius=hops)
            assert found.graph == {"center": about["name"], "hops": hops, "limit": 2000, "cut": False}
            assert set(found) == set(expected)
            assert {frozenset(edge) for edge in found.edges()} == {frozenset(edge) for edge in expected.edges()}
            lengths = networkx.single_source_shortest_path_length(graph, node, cutoff=hops)
            assert dict(found.nodes(data="distance")) == dict(lengths)


@pytest.mark.parametrize("limit", [1, 2, 5, 9])
def test_a_cut_ego_graph_holds_the_nearest(random_memory: tuple[Database, int, Any], limit: int) -> None:
    database, cid, graph = random_memory
    for node, about in graph.nodes(data=True):
        if about["kind"] == "phrase":
            found = ego(database, cid, about["name"], hops=3, limit=limit)
            lengths = networkx.single_source_shortest_path_length(graph, node, cutoff=3)
            assert found.graph["cut"] is (len(lengths) > limit)
            assert len(found) == min(limit, len(lengths))
            distances = [hop for _, hop in found.nodes(data="distance")]
            assert distances == sorted(lengths.values())[:limit]
            assert networkx.is_connected(found.to_undirected())


def test_of_equally_near_nodes_the_best_connected_stay(database: Database) -> None:
    cid = learn(
        database,
        "Ada Quill.",
        "Ada Quill met Bram Oster and Cora Finch.",
        "Ada Quill. Ada Quill. Ada Quill.",
        "Ada Quill met Bram Oster.",
    )
    order = ["Ada Quill", "doc/2", "doc/1", "doc/3", "doc/0"]  # named three times; then by how many names they hold
    for limit in range(1, 6):
        found = ego(database, cid, "ada quill", limit=limit)
        assert labels(found) == order[:limit]
        assert found.graph["cut"] is (limit < 5)
    # Of the names beyond, the one that two of the passages mention comes first.
    assert labels(ego(database, cid, "ada quill", hops=2, limit=6))[5:] == ["Bram Oster"]


def test_nodes_and_edges_say_what_they_are(database: Database) -> None:
    cid = learn(
        database, "Ada Quill likes Bram Oster. Ada Quill rests.", "Ada Quill likes Bram Oster.", title="Letters"
    )
    found = ego(database, cid, "Ada Quill")
    by_name = dict(zip(labels(found), found, strict=True))
    ada, bram, first = by_name["Ada Quill"], by_name["Bram Oster"], by_name["doc/0"]
    assert found.nodes[ada] == {"kind": "phrase", "name": "Ada Quill", "distance": 0}
    assert found.nodes[first] == {
        "kind": "passage",
        "title": "Letters",
        "document_id": "doc",
        "ordinal": 0,
        "distance": 1,
    }
    assert found.edges[first, ada, "context"] == {"kind": "context", "count": 2}
    assert found.edges[first, bram, "context"] == {"kind": "context", "count": 1}
    assert found.edges[ada, bram, "likes"] == {"kind": "relation", "predicate": "likes", "sources": 2}
    assert not found.has_edge(bram, ada)  # who likes whom is not lost
    assert ego(database, cid, "Ada Quill", texts=True).nodes[first]["text"].startswith("Ada Quill likes")


def test_a_hub_is_followed_to_its_strongest_passages_only(database: Database) -> None:
    cid = new_collection(database).id
    many = [f"Hub City {one}." for one in range(HUB)]
    commit_documents(database, cid, learn_document("many", *many, "Hub City met Ada Quill. Hub City won."))
    found = ego(database, cid, "hub city", hops=1, limit=2000)
    assert (len(found), found.graph["cut"]) == (HUB + 1, True)
    assert labels(found)[1] == f"many/{HUB}"  # mentioned twice there
    # A direct connection is found, however many passages either name has.
    assert chains(paths(database, cid, "Hub City", "Ada Quill")) == [["Hub City", "Ada Quill"]]
    assert groups(database, cid).cut


# Evidence paths


def phrase_graph(graph: Any) -> Any:
    """Return the names of a whole graph, joined where a passage mentions both or a fact relates them."""
    joined = networkx.Graph()
    for node, about in graph.nodes(data=True):
        near = list(graph[node])
        if about["kind"] == "phrase":
            joined.add_node(about["name"])
            joined.add_edges_from(
                (about["name"], graph.nodes[one]["name"]) for one in near if graph.nodes[one]["kind"] == "phrase"
            )
        else:
            joined.add_edges_from(combinations([graph.nodes[one]["name"] for one in near], 2))
    return joined


@pytest.mark.parametrize("steps", [1, 2, 4, 6])
def test_paths_are_all_the_shortest(random_memory: tuple[Database, int, Any], steps: int) -> None:
    database, cid, graph = random_memory
    joined = phrase_graph(graph)
    for source, target in combinations(sorted(joined), 2):
        found = paths(database, cid, source, target, steps=steps, paths=20)
        expected = (
            sorted(networkx.all_shortest_paths(joined, source, target))
            if networkx.has_path(joined, source, target)
            else []
        )
        assert not found.cut
        if expected and len(expected[0]) - 1 <= steps:
            assert sorted(chains(found)) == expected
            assert found.reason is None
        else:
            assert found.paths == ()
            assert found.reason == f"they are not connected within {steps} step{'s' * (steps > 1)}"


def test_every_step_shows_what_it_rests_on(database: Database) -> None:
    cid = new_collection(database).id
    commit_documents(
        database,
        cid,
        learn_document("one", "Ada Quill likes Bram Oster.", title="First letter"),
        learn_document("two", "Rain.", "Cora Finch waited for Bram Oster.", title="Second letter"),
    )
    found = paths(database, cid, "ADA  quill", "cora finch")
    assert (found.source, found.target, found.reason, found.cut) == ("Ada Quill", "Cora Finch", None, False)
    ((first, second),) = found.paths
    assert (first.source, first.target, first.shared) == ("Ada Quill", "Bram Oster", 1)
    ((subject, predicate, object_),) = [(fact.subject, fact.predicate, fact.object) for fact in first.facts]
    assert (subject, predicate, object_) == ("Ada Quill", "likes", "Bram Oster")
    assert first.facts[0].passages == first.passages
    assert second.facts == ()
    (evidence,) = second.passages
    assert (evidence.document_id, evidence.title, evidence.ordinal) == ("two", "Second letter", 1)
    assert evidence.snippet == "Cora Finch waited for Bram Oster."


def test_a_fact_is_shown_in_its_own_direction(database: Database) -> None:
    cid = learn(database, "Ada Quill likes Bram Oster.")
    ((step,),) = paths(database, cid, "Bram Oster", "Ada Quill").paths
    assert (step.source, step.target) == ("Bram Oster", "Ada Quill")
    assert (step.facts[0].subject, step.facts[0].object) == ("Ada Quill", "Bram Oster")


def test_paths_through_rarer_names_come_first(database: Database) -> None:
    cid = learn(
        database,
        "Ada Quill, London.",
        "London, Bram Oster.",
        "London.",
        "London, Cora Finch.",
        "Ada Quill, Old Mill.",
        "Old Mill, Bram Oster.",
    )
    found = paths(database, cid, "Ada Quill", "Bram Oster")
    assert chains(found) == [["Ada Quill", name, "Bram Oster"] for name in ("Old Mill", "London")]
    only = paths(database, cid, "Ada Quill", "Bram Oster", paths=1)
    assert chains(only) == [["Ada Quill", "Old Mill", "Bram Oster"]]
    assert only.cut


def test_a_search_that_met_its_limit_says_so(database: Database) -> None:
    cid = learn(database, *(f"Name{one} saw Name{one + 1}." for one in range(6)))
    assert len(chains(paths(database, cid, "Name0", "Name6", steps=6))[0]) == 7
    found = paths(database, cid, "Name0", "Name6", steps=6, limit=3)
    assert found.paths == ()
    assert found.cut
    assert found.reason is not None
    assert "among 3 names and passages" in found.reason


def test_a_long_passage_is_quoted_where_both_names_stand(database: Database) -> None:
    filler = "and nothing else happened on that day, " * 20
    near = f"{filler}until Ada Quill met Bram Oster at last. {filler}"
    far = f"Cora Finch set out, {filler} {filler} and only then came Dora Lunt."
    cid = learn(database, near, far)
    ((step,),) = paths(database, cid, "Ada Quill", "Bram Oster").paths
    assert "until Ada Quill met Bram Oster at last." in step.passages[0].snippet
    assert step.passages[0].snippet.startswith("… ")
    assert step.passages[0].snippet.endswith(" …")
    assert len(step.passages[0].snippet) < 260
    ((step,),) = paths(database, cid, "Cora Finch", "Dora Lunt").paths
    assert "Cora Finch set out" in step.passages[0].snippet
    assert "came Dora Lunt." in step.passages[0].snippet
    assert len(step.passages[0].snippet) < 260


def test_a_name_has_no_path_to_itself(database: Database) -> None:
    cid = learn(database, "Ada Quill.")
    with pytest.raises(InvalidInput, match="the same name"):
        paths(database, cid, "Ada Quill", "ada  QUILL")


# Communities


def circles(*members: Sequence[str], bridge: str = "") -> list[str]:
    """Return texts in which every two members of a circle meet twice."""
    texts = [f"{one}, {other}. {one}." for names in members for one, other in combinations(names, 2) for _ in "ab"]
    return [*texts, bridge] if bridge else texts


ARTISTS = ("Ada Quill", "Bram Oster", "Cora Finch", "Dora Lunt")
TOWNS = ("Dunmore", "Fennay", "Lissen")


def test_circles_of_names_are_found(database: Database) -> None:
    cid = learn(database, *circles(ARTISTS, TOWNS, bridge="Ada Quill, Dunmore."), "Nils Abberlow.", "Nobody.")
    found = groups(database, cid)
    assert [set(one.phrases) for one in found.communities] == [set(ARTISTS), set(TOWNS)]
    assert [one.size for one in found.communities] == [4, 3]
    assert all(one.label == one.phrases[:5] for one in found.communities)
    assert (found.considered, found.alone, found.cut) == (9, 2, False)


def test_the_best_connected_names_are_the_label(database: Database) -> None:
    names = ("Zeno", "Fennay", "Dunmore", "Ada Quill", "Bram Oster", "Cora Finch")
    cid = learn(database, *([", ".join(names)] * 3), "Zeno, Fennay.", "Zeno, Dunmore.", "Zeno, Dunmore.")
    (only,) = groups(database, cid).communities
    assert only.phrases == ("Zeno", "Dunmore", "Fennay", "Ada Quill", "Bram Oster", "Cora Finch")
    assert only.label == only.phrases[:5]


def test_communities_are_a_function_of_what_lives(database: Database) -> None:
    """The order of learning, and what was forgotten since, change nothing."""
    texts = circles(ARTISTS, TOWNS, ("Xenia", "Yoric", "Zeno"), bridge="Ada Quill, Dunmore, Xenia.")
    one, other = new_collection(database, "one").id, new_collection(database, "other").id
    commit_documents(database, one, *(learn_document(str(place), text) for place, text in enumerate(texts)))
    shuffled = list(enumerate(texts))
    random.Random(5).shuffle(shuffled)
    commit_documents(database, other, learn_document("gone", "Zeno, Cora Finch, Lissen, Yoric, Dora Lunt."))
    commit_documents(database, other, *(learn_document(str(place), text) for place, text in shuffled))
    forget_document(database, other, "gone")
    assert groups(database, one) == groups(database, one)
    # But for their ids, which tell when names were learned.
    first, second = (
        [(found.size, found.label, found.phrases) for found in groups(database, cid).communities]
        for cid in (one, other)
    )
    assert first == second
    assert len(groups(database, one).communities) == 3


def test_only_the_best_connected_names_are_grouped(database: Database) -> None:
    cid = learn(database, *circles(ARTISTS, TOWNS))
    found = groups(database, cid, limit=4)
    assert [set(one.phrases) for one in found.communities] == [set(ARTISTS)]
    assert (found.considered, found.alone, found.cut) == (4, 0, True)
    assert not groups(database, cid, limit=7).cut


def test_a_crowded_passage_pairs_its_strongest_names_only(database: Database) -> None:
    names = [f"Name{one}" for one in range(NAMES_PER_PASSAGE + 5)]
    cid = learn(database, ", ".join(names) + ", " + ", ".join(names[5:]))
    found = groups(database, cid)
    (only,) = found.communities
    assert set(only.phrases) == set(names[5:])
    assert (found.alone, found.cut) == (5, True)


# Bad input


@pytest.mark.parametrize(
    ("bounds", "field"),
    [({"hops": 0}, "hops"), ({"hops": -1}, "hops"), ({"hops": 7}, "hops"), ({"limit": 0}, "limit"),
     ({"limit": -5}, "limit"), ({"limit": 2001}, "limit")],
)  # fmt: skip
def test_a_bound_of_an_ego_graph_that_makes_no_sense(database: Database, bounds: dict[str, int], field: str) -> None:
    cid = learn(database, "Ada Quill.")
    with pytest.raises(InvalidInput) as raised:
        ego(database, cid, "Ada Quill", **bounds)
    assert raised.value.field == field


@pytest.mark.parametrize("bounds", [{"steps": 0}, {"steps": 7}, {"paths": 0}, {"limit": -1}])
def test_a_bound_of_paths_that_makes_no_sense(database: Database, bounds: dict[str, int]) -> None:
    cid = learn(database, "Ada Quill saw Bram Oster.")
    with pytest.raises(InvalidInput) as raised:
        paths(database, cid, "Ada Quill", "Bram Oster", **bounds)
    assert raised.value.field in bounds


@pytest.mark.parametrize("limit", [0, -3, 5001])
def test_a_bound_of_communities_that_makes_no_sense(database: Database, limit: int) -> None:
    cid = learn(database, "Ada Quill.")
    with pytest.raises(InvalidInput, match="limit: must be 1 to 5000"):
        groups(database, cid, limit=limit)


def test_an_unknown_name_brings_those_that_are_like_it(database: Database) -> None:
    cid = learn(database, "Ada Quill saw Bram Oster and Cora Finch in Brambury.")
    for typed, expected in (("Bram Ostler", "Bram Oster"), ("Finch", "Cora Finch"), ("Mr Quill", "Ada Quill")):
        with pytest.raises(NotFound) as raised:
            ego(database, cid, typed)
        assert raised.value.near[0] == expected
        assert f"phrase '{typed}' does not exist; near it: '{expected}'" in raised.value.message
    with pytest.raises(NotFound, match=r"phrase 'Zz_%' does not exist$"):
        paths(database, cid, "Ada Quill", "Zz_%")


@pytest.mark.parametrize("name", ["", " ", "…", "\0", "\x1b"])
def test_a_name_without_letters_is_refused(database: Database, name: str) -> None:
    cid = learn(database, "Ada Quill.")
    with pytest.raises(InvalidInput, match="holds no letter or digit"):
        ego(database, cid, name)


def test_an_empty_collection(database: Database) -> None:
    cid = new_collection(database).id
    assert groups(database, cid) == Communities(communities=(), considered=0, alone=0, cut=False)
    with pytest.raises(NotFound):
        ego(database, cid, "Ada Quill")
    with pytest.raises(NotFound):
        paths(database, cid, "Ada Quill", "Bram Oster")


def test_names_of_another_collection_are_not_seen(database: Database) -> None:
    mine, other = new_collection(database, "mine").id, new_collection(database, "other").id
    commit_documents(database, mine, learn_document("a", "Ada Quill saw Bram Oster."))
    commit_documents(database, other, learn_document("a", "Ada Quill likes Cora Finch.", "Cora Finch saw Bram Oster."))
    assert set(labels(ego(database, mine, "Ada Quill", hops=6))) == {"Ada Quill", "Bram Oster", "a/0"}
    with pytest.raises(NotFound) as raised:
        ego(database, mine, "Cora Finch")
    assert raised.value.near == ()
    assert groups(database, mine).considered == 2


@pytest.mark.parametrize("name", ["Élodie Ångström", "Ольга Петровна", "ΣΊΣΥΦΟΣ"])
def test_names_in_any_script(database: Database, name: str) -> None:
    cid = new_collection(database).id
    learned = learn_document("doc", f"{name} saw Bram Oster.")
    found = Extraction(mentions=(Mention(name, 1), Mention("Bram Oster", 1)))
    commit_documents(database, cid, replace(learned, passages=[replace(learned.passages[0], extraction=found)]))
    assert labels(ego(database, cid, name.lower()))[0] == name
    assert chains(paths(database, cid, "bram oster", name)) == [["Bram Oster", name]]


# Who pays for it


def test_only_the_views_for_people_import_networkx() -> None:
    """Neither a search nor any other command comes by networkx."""
    late, views = (
        "memory_graph/graph_files.py",
        {"memory_graph/inspect.py", "memory_graph/evidence.py", "memory_graph/name_graph.py"},
    )
    for package in ("service", "evaluation", "ingest", "retrieval", "memory_graph"):
        for file in (REPOSITORY / package).rglob("*.py"):
            path = file.relative_to(REPOSITORY).as_posix()
            tree = ast.parse(file.read_text())
            everywhere, at_once = _modules(ast.walk(tree)), _modules(tree.body)
            assert "networkx" not in everywhere or path in {late, *views}, path
            assert "networkx" not in at_once or path in views, path
            assert path in views or not {file.removesuffix(".py").replace("/", ".") for file in views} & at_once, path


def _modules(nodes: Any) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_command_line_starts_without_networkx() -> None:
    code = "import sys, service.cli; sys.exit('networkx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, timeout=120).returncode == 0
