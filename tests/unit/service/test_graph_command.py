"""``sharpwave graph`` as its users see it: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx
import pytest

from memory_graph.database import Database
from memory_graph.types import Extraction, Mention
from service.cli import main
from tests.unit.factories import commit_documents, learn_document, new_collection

WILD = "Red\x1b[31m \x07Bell"


@dataclass(frozen=True)
class Ended:
    """A command that has ended; ``said`` is its standard output with single spaces."""

    status: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return " ".join(self.out.split())

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def memory(database: Database) -> Database:
    """A database with the collections ``default``, ``empty`` and ``islands``."""
    cid = new_collection(database, "default").id
    new_collection(database, "empty")
    wild = learn_document("wild", "Something rang.", title="Bell\x07 [bold]")
    rung = Extraction(mentions=(Mention(WILD, 1), Mention("Ada Quill", 1)))
    commit_documents(
        database,
        cid,
        learn_document("one", "Ada Quill likes Bram Oster. Ada Quill waved.", title="First letter"),
        learn_document("two", "Bram Oster saw Cora Finch.", title="Second [letter]"),
        learn_document("far", "Dora Lunt.", title="Far"),
        replace(wild, passages=[replace(wild.passages[0], extraction=rung)]),
    )
    islands = new_collection(database, "islands").id
    commit_documents(database, islands, learn_document("a", "Fennay, Skelmay."))
    return database


@pytest.fixture
def graph(
    memory: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """A function that runs ``sharpwave graph …`` on the memory."""
    for name in [name for name in os.environ if name.startswith("SHARPWAVE_")]:
        monkeypatch.delenv(name)

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["sharpwave", "graph", *map(str, words), "--data-dir", str(tmp_path)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main sets its own; put back after the test
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Ended(status, captured.out, captured.err)

    return run


def assert_fails(ended: Ended, status: int, *said: str) -> None:
    assert (ended.status, ended.out) == (status, "")
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("error: ")
    for one in said:
        assert one in ended.err


def test_ego_shows_passages_and_facts(graph: Callable[..., Ended]) -> None:
    ended = graph("ego", "ada  QUILL")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("Ada Quill\n")
    assert "── First letter one · passage 1 ×2" in ended.out
    assert "── —likes→ Bram Oster" in ended.out
    assert "Cora Finch" not in ended.out
    assert "←likes— Ada Quill" in graph("ego", "Bram Oster").out
    further = graph("ego", "Ada Quill", "--hops", 3)
    assert "Second [letter] two" in further.out
    assert "Cora Finch" in further.out
    assert "More is connected" not in further.out
    assert "Red [31m  Bell" in further.out  # a name cannot drive the terminal
    assert "\x1b" not in further.out
    assert "\x07" not in further.out


def test_ego_says_when_it_was_cut(graph: Callable[..., Ended]) -> None:
    ended = graph("ego", "Ada Quill", "--limit", 2)
    assert "More is connected than these 2 names and passages; see --limit." in ended.said
    assert graph("ego", "Ada Quill", "--limit", 2, "--json").json["graph"]["cut"] is True


def test_ego_as_json_is_a_networkx_graph(graph: Callable[..., Ended]) -> None:
    document = graph("ego", "Ada Quill", "--hops", 2, "--json").json
    assert document["graph"] == {"center": "Ada Quill", "hops": 2, "limit": 100, "cut": False, "collection": "default"}
    found = networkx.node_link_graph(document, edges="edges")
    assert {about.get("name") for _, about in found.nodes(data=True)} >= {"Ada Quill", "Bram Oster", WILD}
    assert {about["kind"] for _, _, about in found.edges(data=True)} == {"context", "relation"}


def test_path_shows_the_passages_between(graph: Callable[..., Ended]) -> None:
    ended = graph("path", "Ada Quill", "Cora Finch")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("Ada Quill → Bram Oster → Cora Finch\n")
    assert "Ada Quill —likes→ Bram Oster" in ended.out
    assert ended.out.count("“Ada Quill likes Bram Oster. Ada Quill waved.”") == 1
    assert "Second [letter] two · passage 1" in ended.out
    assert "“Bram Oster saw Cora Finch.”" in ended.out
    document = graph("path", "Ada Quill", "Cora Finch", "--json").json
    assert (document["source"], document["target"], document["reason"], document["cut"]) == (
        "Ada Quill",
        "Cora Finch",
        None,
        False,
    )
    ((first, second),) = document["paths"]
    assert first["facts"][0]["predicate"] == "likes"
    assert second["passages"][0]["snippet"] == "Bram Oster saw Cora Finch."


def test_no_path_is_an_answer_with_its_reason(graph: Callable[..., Ended]) -> None:
    ended = graph("path", "Ada Quill", "Dora Lunt")
    assert (ended.status, ended.err) == (0, "")
    assert ended.said == "No path between Ada Quill and Dora Lunt: they are not connected within 4 steps."
    document = graph("path", "Ada Quill", "Cora Finch", "--steps", 1, "--json").json
    assert (document["paths"], document["reason"]) == ([], "they are not connected within 1 step")


def test_communities(graph: Callable[..., Ended]) -> None:
    document = graph("communities", "--json").json
    assert (document["considered"], document["alone"], document["cut"]) == (5, 1, False)
    assert sorted(name for one in document["communities"] for name in one["phrases"]) == sorted(
        ["Ada Quill", "Bram Oster", "Cora Finch", WILD]
    )
    ended = graph("communities", "-c", "islands")
    assert ended.status == 0
    assert "Fennay · Skelmay" in ended.out
    assert "2 names in 1 community" in ended.said
    assert "see --limit" in graph("communities", "--limit", 2).said
    empty = graph("communities", "-c", "empty")
    assert (empty.status, empty.said) == (0, "No names yet.")
    assert graph("communities", "-c", "empty", "--json").json == {
        "communities": [],
        "considered": 0,
        "alone": 0,
        "cut": False,
    }


def test_export_of_a_collection(graph: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "graph.graphml"
    ended = graph("export", "-o", file)
    assert (ended.status, ended.out) == (0, "")
    assert f"Wrote {file}" in ended.err
    whole = networkx.read_graphml(file, force_multigraph=True)
    kinds = [kind for _, kind in whole.nodes(data="kind")]
    assert (kinds.count("passage"), kinds.count("phrase")) == (4, 5)
    document = graph("export", "--format", "node-link").json
    assert {node["id"] for node in document["nodes"]} == set(whole)
    assert len(document["edges"]) == whole.number_of_edges()
    assert not any("text" in node for node in document["nodes"])
    texts = graph("export", "--format", "node-link", "--texts").json
    assert "Dora Lunt." in [node.get("text") for node in texts["nodes"]]
    empty = graph("export", "--format", "node-link", "-c", "empty").json
    assert (empty["nodes"], empty["edges"], empty["graph"]) == ([], [], {"collection": "empty"})


def test_export_of_what_is_around_a_name(graph: Callable[..., Ended]) -> None:
    around = graph(
        "export", "--format", "node-link", "--center", "Ada Quill", "--hops", 2, "--limit", 4, "--texts"
    ).json
    assert around["graph"]["cut"] is True
    assert len(around["nodes"]) == 4
    ego = graph("ego", "Ada Quill", "--hops", 2, "--limit", 4, "--json").json
    assert [node["id"] for node in around["nodes"]] == [node["id"] for node in ego["nodes"]]
    assert around["edges"] == ego["edges"]


def test_export_replaces_only_what_it_may(graph: Callable[..., Ended], tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text("mine")
    words = ("export", "--format", "node-link", "-o", file)
    assert_fails(graph(*words), 1, "exists already", "--force")
    assert file.read_text() == "mine"
    # Nothing is left half-written: not where it fails, and not aside.
    assert_fails(graph(*words, "--force", "--center", "Nobody Known"), 1, "does not exist")
    assert file.read_text() == "mine"
    assert graph(*words, "--force").status == 0
    assert json.loads(file.read_text())["graph"] == {"collection": "default"}
    assert_fails(graph("export", "-o", tmp_path), 2, "is not a file")
    assert_fails(graph("export", "-o", tmp_path / "nowhere" / "graph.xml"), 1, "cannot write", "No such file")
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("verb", [["ego", "x"], ["path", "x", "y"], ["communities"], ["export"]])
def test_an_unknown_collection(graph: Callable[..., Ended], verb: list[str]) -> None:
    assert_fails(graph(*verb, "-c", "atlantis"), 1, "collection 'atlantis' does not exist")


def test_unknown_names(graph: Callable[..., Ended]) -> None:
    assert_fails(graph("ego", "Ada Quil"), 1, "phrase 'Ada Quil' does not exist; near it: 'Ada Quill'")
    assert_fails(graph("path", "Ada Quill", "Finch"), 1, "near it: 'Cora Finch'")
    assert_fails(graph("ego", "Ada Quill", "-c", "empty"), 1, "phrase 'Ada Quill' does not exist")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ego", "Ada Quill", "--hops", "0"], "hops: must be 1 to 6"),
        (["ego", "Ada Quill", "--limit", "-1"], "limit: must be 1 to 2000"),
        (["ego", "…"], "holds no letter or digit"),
        (["path", "Ada Quill", "Bram Oster", "--steps", "0"], "steps: must be 1 to 6"),
        (["path", "Ada Quill", "Bram Oster", "--paths", "21"], "paths: must be 1 to 20"),
        (["path", "Ada Quill", "ada quill"], "the same name"),
        (["communities", "--limit", "-1"], "limit: must be 1 to 5000"),
        (["export", "--center", "Ada Quill", "--hops", "0"], "hops: must be 1 to 6"),
        (["export", "--hops", "1"], "--hops: goes with --center"),
        (["export", "--limit", "1"], "--limit: goes with --center"),
    ],
)
def test_bad_usage_ends_with_2(graph: Callable[..., Ended], words: list[str], said: str) -> None:
    assert_fails(graph(*words), 2, said)
