"""``sharpwave eval answers``: what is refused before anything is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_graph.errors import InvalidInput
from service.cli import app


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [("--strategy", "guess", "closed, direct, notes, warm"), ("--order", "worst", "edges")],
)
def test_an_unknown_name_is_refused_with_those_that_are_known(
    option: str, value: str, known: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.commands.answers.learn_set", lambda *given: pytest.fail("it began to learn"))
    ran = CliRunner().invoke(app, ["eval", "answers", str(tmp_path), option, value])
    assert isinstance(ran.exception, InvalidInput)
    assert ran.exception.message.startswith(f"{option}: must be one of {known}")
