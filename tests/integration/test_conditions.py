"""``eval`` with the real models: what is claimed of the samples holds, and what does not hold is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.condition_file import read_conditions
from tests.integration.installation import Installation

TINY = {
    "corpus.jsonl": [
        {"id": "the bridge", "title": "Thessel Bridge", "text": "The Thessel Bridge was designed by Ambrose Tindaly."},
        {"id": "the lens", "title": "Coronet lens", "text": "The Coronet lens was ground at Hollisgarth."},
    ],
    "questions.jsonl": [
        {"id": "q1", "question": "Who designed the Thessel Bridge?", "answers": [], "gold_ids": ["the bridge"]},
        {"id": "q2", "question": "Where was the Coronet lens ground?", "answers": [], "gold_ids": ["the lens"]},
    ],
}


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    """A file of three conditions on a set of two passages: one holds, one cannot, one has no set."""
    (tmp_path / "tiny").mkdir()
    for name, entries in TINY.items():
        (tmp_path / "tiny" / name).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    path = tmp_path / "claims.yaml"
    path.write_text(
        "conditions:\n"
        "- {name: right, set: tiny, options: {mode: dense}, tolerance: 0, expect: {recall@2: 100}}\n"
        "- {name: wrong, set: tiny, options: {mode: graph, limit: 1}, tolerance: 1, expect: {recall@2: 50, mrr: 100}}\n"
        "- {name: absent, set: other, tolerance: 1, expect: {recall@2: 50}}\n"
    )
    return path


def test_what_is_claimed_of_the_samples_holds(installation: Installation, tmp_path: Path) -> None:
    """The sets that do not ship with the program are skipped: an empty folder is given for them."""
    ran = installation.run("eval", "--check", "--data", tmp_path, "--json", timeout_s=280)
    states = {one["name"]: one["state"] for one in ran.json["conditions"]}
    assert states == {
        condition.name: "OK" if condition.set == "samples" else "SKIPPED" for condition in read_conditions()
    }
    assert ran.json["failed"] == 0


def test_a_claim_that_does_not_hold_ends_with_1(installation: Installation, claims: Path) -> None:
    ran = installation.run("eval", "--check", "--conditions", claims, "--data", claims.parent, status=1, timeout_s=280)
    assert ran.out.splitlines() == [
        "OK      right: recall@2 100.00 (100.0), each ± 0.0",
        "FAIL    wrong: recall@2 100.00 (not 50.0), MRR 100.00 (100.0), each ± 1.0",
        "SKIPPED absent: there is no folder other",
        "1 OK, 1 FAIL, 1 SKIPPED",
    ]


def test_run_files_of_two_ways(installation: Installation, claims: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    ways = ("--mode", "dense", "--mode", "graph", "--walk", "exact")
    ran = installation.run("eval", claims.parent / "tiny", *ways, "--runs", runs, "--json", timeout_s=280)
    dense, graph = ran.json["retrieval"]
    assert (dense["mode"], dense["walk"], graph["mode"]) == ("dense", "exact", "graph")
    assert dense["recall"]["2"]["mean"] == graph["recall"]["2"]["mean"] == 1
    (difference,) = ran.json["differences"]
    assert (difference["way"], difference["against"]) == (graph["way"], dense["way"])
    assert difference["recall"]["2"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 2}
    names = ["tiny.dense,walk=exact.run", "tiny.graph,walk=exact.run", "tiny.qrels"]
    assert sorted(path.name for path in runs.iterdir()) == names
    assert (runs / names[2]).read_text() == "q1 0 the%20bridge 1\nq2 0 the%20lens 1\n"
    rows = [line.split(" ") for line in (runs / names[0]).read_text().splitlines()]
    assert [row[:2] + row[3:5] for row in rows if row[0] == "q1"] == [
        ["q1", "Q0", "1", "1.000000"],
        ["q1", "Q0", "2", "0.500000"],
    ]
    assert {row[2] for row in rows} == {"the%20bridge", "the%20lens"}
