"""Verbs that are imported when they are run: what ``--help`` says of them, and what a verb does without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from memory_graph.database import Database, upgrade_schema
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


HEAVY = frozenset(
    {"numpy", "numba", "torch", "faiss", "spacy", "sklearn", "dbos", "alembic", "fastapi", "nicegui", "mcp"}
)


def loaded_by(code: str, data_dir: Path) -> list[set[str]]:
    """Return the modules that a new process holds at each ``look()`` in ``code``."""
    begin = "import sys\ndef look():\n    print('LOADED', *sys.modules)\n"
    ran = subprocess.run(
        [sys.executable, "-c", begin + code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=os.environ | {"SHARPWAVE_DATA_DIR": str(data_dir)},
    )
    return [set(line.split()[1:]) for line in ran.stdout.splitlines() if line.startswith("LOADED")]


def loaded_by_verbs(verbs: list[list[str]], data_dir: Path) -> list[set[str]]:
    """Return the modules that one process holds after each of the verbs."""
    return loaded_by(
        "import service.cli\n"
        f"for words in {verbs!r}:\n"
        "    sys.argv = ['sharpwave', *words]\n"
        "    try:\n        service.cli.main()\n    except SystemExit:\n        pass\n"
        "    look()\n",
        data_dir,
    )


def test_no_verb_is_imported_for_a_line(tmp_path: Path) -> None:
    verbs = [["--version"], ["--help"], ["nothing"]]
    found = loaded_by_verbs(verbs, tmp_path)
    for words, loaded in zip(verbs, found, strict=True):
        assert "service.commands.late_group" in loaded
        assert not loaded & (HEAVY | {"sqlalchemy", "service.settings", "service.commands.server"}), words


def test_a_verb_that_reads_rows_imports_nothing_that_learns_searches_or_serves(tmp_path: Path) -> None:
    upgrade_schema(Database(f"sqlite:///{tmp_path / 'sharpwave.db'}"))
    verbs = [["config"], ["collections"], ["jobs"], ["purges"], ["retention"], ["audit"], ["models"], ["corrections"]]
    found = loaded_by_verbs(verbs, tmp_path)
    for words, loaded in zip(verbs, found, strict=True):
        assert "service.settings" in loaded
        assert loaded & HEAVY <= {"numpy"}, words  # the rows' own types


def test_the_process_that_holds_the_port_imports_nothing_that_answers(tmp_path: Path) -> None:
    [loaded] = loaded_by("import service.cli, service.commands.server; look()", tmp_path)
    assert "service.supervisor" in loaded
    assert loaded & HEAVY <= {"numpy"}


def test_the_extractor_leaves_pytorch_out_and_importable(extractor_folder: Path, tmp_path: Path) -> None:
    made = f"import pathlib, ingest.extraction as e; e.SpacyExtractor(pathlib.Path({str(extractor_folder)!r}))"
    [loaded] = loaded_by(f"{made}; look(); import importlib.util as u; assert u.find_spec('torch')", tmp_path)
    assert "spacy" in loaded
    assert "torch" not in loaded
