"""``sharpwave eval ablations`` and ``eval sweep``: what is refused before anything is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_graph.errors import InvalidInput
from service.cli import app
from tests.unit.factories import write_lines

runner = CliRunner()


@pytest.fixture(autouse=True)
def _nothing_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(*given: object) -> None:
        pytest.fail("it began to learn")

    monkeypatch.setattr("service.commands.taught.learn_set", learn)


def _make_set(folder: Path, *gold_ids: str) -> Path:
    folder.mkdir(parents=True)
    write_lines(folder / "corpus.jsonl", {"id": "a", "title": "", "text": "Ada drew a tower."})
    question = {"id": "1", "question": "Who?", "answers": [], "gold_ids": gold_ids}
    write_lines(folder / "questions.jsonl", question)
    return folder


@pytest.mark.parametrize("verb", ["ablations", "sweep"])
def test_what_cannot_be_told_apart_or_scored_is_refused(verb: str, tmp_path: Path) -> None:
    one, same = _make_set(tmp_path / "one" / "set", "a"), _make_set(tmp_path / "two" / "set", "a")
    for folders, said in (
        ([tmp_path / "nowhere"], "there is no such folder"),
        ([one, same], "FOLDER: two sets have the same name"),
        ([_make_set(tmp_path / "three")], "has no question with gold documents"),
    ):
        ran = runner.invoke(app, ["eval", verb, *map(str, folders)])
        assert isinstance(ran.exception, InvalidInput)
        assert said in str(ran.exception)


def test_the_ranker_cannot_be_learned_without_what_learns_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.commands.studies.find_spec", lambda name: None)
    ran = runner.invoke(app, ["eval", "ablations", str(_make_set(tmp_path / "set", "a"))])
    assert isinstance(ran.exception, InvalidInput)
    assert "--no-ranker" in str(ran.exception)
