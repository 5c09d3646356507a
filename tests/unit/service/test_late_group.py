"""Verbs that are imported when they are run: what ``--help`` says of them, and what a verb does without."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from service.cli import Sharpwave, app

GROUP = typer.main.get_command(app)


@pytest.mark.parametrize("name", Sharpwave.verbs)
def test_the_line_in_the_list_is_the_first_of_the_verb(name: str) -> None:
    verb = Sharpwave.verbs[name]
    command = verb.load(name)
    assert command.name == name
    assert " ".join(command.help.split("\n\n")[0].split()) == verb.line


def test_help_lists_every_verb_in_order() -> None:
    said = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).output
    listed = [line.strip("│ ").split(maxsplit=1) for line in said.split(" Commands ")[1].splitlines() if "│" in line]
    assert [(name, line.strip()) for name, line in listed] == [
        (name, verb.line) for name, verb in Sharpwave.verbs.items()
    ]


def test_a_verb_that_is_none_is_refused_with_one_that_is_near() -> None:
    ran = CliRunner().invoke(app, ["serch", "x"])
    assert ran.exit_code == 2
    assert "'search'" in ran.output


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["nothing"]])
def test_no_verb_is_imported_for_a_line(words: list[str]) -> None:
    look = (
        "import sys, service.cli as cli\n"
        f"sys.argv = ['sharpwave', *{words!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(ran.stdout.split("LOADED")[1].split())
    assert "service.commands.late_group" in loaded
    assert loaded.isdisjoint({"sqlalchemy", "numpy", "fastapi", "service.settings", "service.commands.server"})
