"""The benchmarks over conversations and over growing memories, as a user runs them, on small sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.installation import Installation

PATIENCE_S = 280  # on a busy machine
TURNS = [
    ("Ada", "I planted a plum tree behind the barn."),
    ("Bo", "My sister Wilma sails to Karravik on Sunday."),
    ("Ada", "Is Wilma still painting lighthouses?"),
    ("Bo", "She is! The last one hangs in the town hall."),
]
PLACES = {"harbour": "boats", "mill": "flour", "quarry": "slate", "orchard": "cider", "foundry": "bells"}


def write_lines(path: Path, *lines: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    turns = [
        {
            "id": f"{talk}:{n}",
            "conversation": talk,
            "session": "session_1",
            "datetime": "1:56 pm on 8 May, 2023",
            "speaker": speaker,
            "text": text,
        }
        for talk in ("c1", "c2")
        for n, (speaker, text) in enumerate(TURNS)
    ]
    asked = [("What did Ada plant?", 4, ["0"]), ("Where does Wilma sail?", 1, ["1"]), ("What did Bo plant?", 5, ["0"])]
    write_lines(folder / "corpus.jsonl", *turns)
    write_lines(
        folder / "questions.jsonl",
        *(
            {
                "id": f"{talk}:q{n}",
                "conversation": talk,
                "question": question,
                "answer": None if category == 5 else "x",
                "category": category,
                "gold_ids": [f"{talk}:{gold}" for gold in golds],
            }
            for talk in ("c1", "c2")
            for n, (question, category, golds) in enumerate(asked)
        ),
    )
    return folder


def make_set(folder: Path, town: str) -> Path:
    texts = {what: f"The {what} of {town} is known for its {good}." for what, good in PLACES.items()}
    write_lines(folder / "corpus.jsonl", *({"id": id, "title": id, "text": text} for id, text in texts.items()))
    questions = [
        {"id": f"q{n}", "question": f"What is made in the {what} of {town}?", "answers": [good], "gold_ids": [what]}
        for n, (what, good) in enumerate(PLACES.items())
    ]
    write_lines(folder / "questions.jsonl", *questions)
    return folder


def test_conversations_are_scored_by_category_and_mode(installation: Installation, conversations: Path) -> None:
    ran = installation.run(
        "bench", "locomo", conversations, "--mode", "dense", "--mode", "graph", "--json", timeout_s=PATIENCE_S
    )
    dense, graph = ran.json["reports"]
    assert (dense["way"], graph["way"]) == ("dense", "graph")
    for report in (dense, graph):
        assert report["n_questions"] == 4
        assert report["answerable"]["recall"]["5"]["mean"] == 1  # a talk has four turns
        assert list(report["by_category"]) == ["multi-hop", "single-hop", "adversarial"]
        assert set(report["by_conversation"]) == {"c1", "c2"}
    (difference,) = ran.json["differences"]
    assert (difference["way"], difference["against"]) == ("graph", "dense")
    assert difference["recall"]["5"]["mean"] == 0


def test_drift_is_measured_in_a_larger_memory(installation: Installation, tmp_path: Path) -> None:
    sets = [make_set(tmp_path / town.lower(), town) for town in ("Karravik", "Dunvarrick")]
    books = tmp_path / "books"
    books.mkdir()
    (books / "tides.txt").write_text("\n\n".join(f"On day {day} the tide rose and fell as ever." for day in range(60)))
    ran = installation.run(
        "bench",
        "drift",
        *sets,
        "--distractors",
        books,
        "--passages",
        "4",
        "--mode",
        "dense",
        "--json",
        timeout_s=PATIENCE_S,
    )
    drifts = ran.json["drift"]
    assert [(one["set"], one["passages_alone"], one["passages"]) for one in drifts] == [
        ("karravik", 5, 10),
        ("dunvarrick", 5, 10),
        ("karravik", 5, 14),
        ("dunvarrick", 5, 14),
    ]
    for drift in drifts:
        fall = drift["pooled"]["recall"]["2"]["mean"] - drift["alone"]["recall"]["2"]["mean"]
        assert drift["change"]["recall"]["2"]["mean"] == pytest.approx(fall)
        assert drift["alone"]["recall"]["5"]["mean"] == 1  # five passages in all
    tables = installation.run("bench", "drift", *sets, "--mode", "dense", "--limit", "2", timeout_s=PATIENCE_S)
    assert "all sets, 10 passages" in tables.out


def test_bad_input_is_named(installation: Installation, tmp_path: Path, conversations: Path) -> None:
    only = make_set(tmp_path / "only", "Karravik")
    for arguments, message in (
        (("locomo", tmp_path / "absent"), "there is no such folder"),
        (("locomo", conversations, "--mode", "magic"), "--mode: must be one of"),
        (("drift", only), "must be two sets or more"),
        (("drift", only, only), "is the name of two sets"),
    ):
        assert message in installation.run("bench", *arguments, status=2).err
