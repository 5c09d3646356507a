"""``sharpwave corrections`` as its users see it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from memory_graph.database import Database
from service.cli import main
from tests.unit.factories import EMBEDDER, commit_documents, content_of, learn_document, new_collection


@pytest.fixture
def memory(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    cid = new_collection(database, "default").id
    commit_documents(
        database, cid, learn_document("a", "US likes Mexico."), learn_document("b", "United States likes Peru.")
    )
    monkeypatch.setenv("SHARPWAVE_DATABASE_URL", database.url.render_as_string(hide_password=False))
    monkeypatch.setenv("SHARPWAVE_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("service.wiring.open_embedder", lambda _settings: EMBEDDER)
    return database


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["sharpwave", "corrections", *words])
    status = 0
    try:
        main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_corrections_are_made_listed_and_undone(
    memory: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content_of(memory, "default")

    def sharpwave(*words: str) -> Any:
        status, out, err = run(capsys, monkeypatch, *words, "--json")
        assert status == 0, err
        return json.loads(out)

    merged = sharpwave("merge", "US", "--into", "United States", "--reason", "the same")
    assert (merged["id"], merged["kind"], merged["passages"], merged["reason"]) == (1, "merge", 1, "the same")
    assert merged["made_by"].endswith("command line)")
    assert sharpwave("split", "Mexico", "--into", "New Mexico", "--document", "a")["what"]["documents"] == ["a"]
    assert sharpwave("retract", "United States", "likes", "Peru")["passages"] == 1
    assert content_of(memory, "default")["facts"] == [("united states", "likes", "new mexico")]
    for number in (2, 1, 3):
        assert sharpwave("undo", str(number))["state"] == "undone"
    assert content_of(memory, "default") == before
    listed = sharpwave("list")["corrections"]
    assert [(one["id"], one["state"]) for one in listed] == [(3, "undone"), (2, "undone"), (1, "undone")]
    assert sharpwave("list", "--standing")["corrections"] == []


def test_people_are_told_in_a_line(
    memory: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(capsys, monkeypatch)[1].strip() == "No corrections."
    _, _, err = run(capsys, monkeypatch, "merge", "US", "--into", "United States")
    assert err.strip() == "Made: correction 1, merge US into United States; it changed 1 passages."
    assert "merge US into" in " ".join(run(capsys, monkeypatch, "list")[1].split())


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("merge", "Nobody", "--into", "US"), 1, "phrase 'Nobody' does not exist"),
        (("merge", "US", "--into", "us"), 2, "names.0: 'US' and 'us' are one name already"),
        (("split", "US", "--into", "A"), 2, "surface: say which"),
        (("retract", "US", "hates", "Mexico"), 1, "fact 'US hates Mexico' does not exist"),
        (("undo", "9"), 1, "correction '9' does not exist"),
        (("merge", "US", "--into", "A", "--collection", "nowhere"), 1, "collection 'nowhere' does not exist"),
    ],
)
def test_what_cannot_be_done_ends_in_a_line(
    memory: Database,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    status: int,
    told: str,
) -> None:
    ended, _, err = run(capsys, monkeypatch, *words)
    assert ended == status
    assert told in err
    assert len(err.strip().splitlines()) == 1
