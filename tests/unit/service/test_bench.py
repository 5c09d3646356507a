"""The benchmarks run on small memories, and print what they promise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_graph.errors import InvalidInput
from service.cli import app

runner = CliRunner()


def test_walks_are_measured_side_by_side() -> None:
    pytest.importorskip("igraph", reason="the bench extra is not installed")
    ran = runner.invoke(app, ["bench", "walk", "--sizes", "300,600", "--queries", "5", "--json"])
    assert ran.exit_code == 0, ran.output
    rows = json.loads(ran.stdout)["rows"]
    assert [row["passages"] for row in rows] == [300, 600]
    for row in rows:
        assert row["edges"] > 20 * row["passages"]
        assert row["recall_at_10"] >= 0.9
        assert 0 < row["l1_error"] < 1
        assert row["igraph_gap"] < 1e-6
        assert row["edges_touched"] > 0
        assert row["igraph_over_push"] == pytest.approx(row["igraph_ms"] / row["push_ms"])
        assert row["exact_over_push"] == pytest.approx(row["exact_ms"] / row["push_ms"])


def test_walks_without_igraph_are_a_table_too() -> None:
    ran = runner.invoke(app, ["bench", "walk", "--sizes", "300", "--queries", "2", "--no-igraph"])
    assert ran.exit_code == 0, ran.output
    assert "recall@10 of push against exact" in ran.stdout
    assert "–" in ran.stdout


def test_searches_are_measured_with_commits_and_a_merge(tmp_path: Path) -> None:
    ran = runner.invoke(app, ["bench", "search", "--sizes", "600", "--folder", str(tmp_path), "--json"])
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(ran.stdout)["rows"]
    assert row["passages"] == 600
    assert row["ann_recall_at_100"] == 1.0  # so few are scanned
    assert set(row["stages_ms"]) == {"view", "embed", "dense", "lexical", "walk", "read"}
    assert row["search_ms"] > 0
    assert row["fresh_ms"] > 0
    assert row["unasked_ms"] > 0
    assert row["merge_s"] > 0
    assert row["parts_mb"]["vectors"] == pytest.approx(600 * 384 * 2 / 1e6)
    assert list(tmp_path.iterdir()) == []


def test_adding_is_measured_in_memories_of_several_sizes(tmp_path: Path) -> None:
    options = ("--sizes", "0,300", "--documents", "2", "--folder", str(tmp_path), "--json")
    ran = runner.invoke(app, ["bench", "adding", *options])
    assert ran.exit_code == 0, ran.output
    empty, filled = json.loads(ran.stdout)["rows"]
    assert (empty["passages"], filled["passages"]) == (0, 300)
    assert (empty["learn_ratio"], empty["commit_ratio"], empty["searchable_ratio"]) == (1.0, 1.0, 1.0)
    for row in (empty, filled):
        assert 0 < row["commit_ms"] < row["learn_ms"]
        assert row["searchable_ms"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sizes", ["", "many", "10000,", "50", "-1"])
@pytest.mark.parametrize("command", ["walk", "search", "adding"])
def test_sizes_that_make_no_sense_are_refused(command: str, sizes: str) -> None:
    ran = runner.invoke(app, ["bench", command, "--sizes", sizes])
    assert isinstance(ran.exception, InvalidInput)
    assert "--sizes" in str(ran.exception)


def test_a_collection_without_edges_has_no_walk(tmp_path: Path) -> None:
    ran = runner.invoke(app, ["bench", "walk", "--collection", "default", "--data-dir", str(tmp_path)])
    assert "default" in str(ran.exception)
