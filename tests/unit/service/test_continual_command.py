"""``sharpwave eval`` and ``eval continual``: which of the two is meant, and what is refused before it runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from memory_graph.errors import InvalidInput
from service.cli import app, main
from service.commands.default_group import DefaultGroup

runner = CliRunner()


@pytest.fixture
def group() -> typer.Typer:
    """A noun that repeats what it is given, with a verb of its own."""
    nouns = typer.Typer()
    noun = typer.Typer(cls=DefaultGroup)
    nouns.add_typer(noun, name="noun")
    nouns.command()(lambda: None)

    @noun.command(DefaultGroup.default)
    def itself(word: str, loud: bool = False) -> None:
        typer.echo(f"itself {word} {loud}")

    @noun.command()
    def verb(word: str) -> None:
        typer.echo(f"verb {word}")

    return nouns


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["folder"], "itself folder False"),
        (["--loud", "folder"], "itself folder True"),
        (["folder", "--loud"], "itself folder True"),
        (["default"], "itself default False"),
        (["default", "--loud"], "itself default True"),
        (["./verb"], "itself ./verb False"),
        (["verb", "folder"], "verb folder"),
        (["verb", "default"], "verb default"),
    ],
)
def test_the_noun_stands_for_itself_unless_a_verb_is_named(group: typer.Typer, words: list[str], said: str) -> None:
    ran = runner.invoke(group, ["noun", *words])
    assert (ran.exit_code, ran.output) == (0, said + "\n")


@pytest.mark.parametrize("words", [[], ["--help"], ["--nope"], ["a", "b"]])
def test_usage_names_no_hidden_word(group: typer.Typer, words: list[str]) -> None:
    ran = runner.invoke(group, ["noun", *words])
    assert ran.exit_code == (0 if words == ["--help"] else 2)
    usage = re.search(r"Usage: (.*?)\s*$", ran.output, re.MULTILINE)
    assert usage is not None
    assert usage[1].startswith("root noun [OPTIONS]")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs ``sharpwave`` and returns its status and what it printed."""

    def run_main(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sharpwave", *map(str, words)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main sets its own; put back after the test
        with pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, *capsys.readouterr()

    return run_main


@pytest.mark.parametrize("words", [["eval"], ["eval", "continual"]])
def test_a_folder_that_is_not_there_is_one_line(run: Callable[..., tuple[int, str, str]], words: list[str]) -> None:
    assert run(*words, "no-such-folder") == (2, "", "error: no-such-folder: there is no such folder.\n")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (["--commits", "1"], "--commits: must be from 2 to 42"),
        (["--commits", "43"], "--commits: must be from 2 to 42"),
        (["--k", "0"], "--k: must be from 1 to 100"),
        (["--k", "101"], "--k: must be from 1 to 100"),
        (["--window", "1"], "--window: must be at least 2"),
        (["--plot", "plot.png"], "--plot: must be a file whose name ends in .svg"),
        (["--plot", "no-such-folder/plot.svg"], "--plot: there is no folder no-such-folder"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(samples: Path, options: list[str], field: str) -> None:
    ran = runner.invoke(app, ["eval", "continual", str(samples), *options])
    assert isinstance(ran.exception, InvalidInput)
    assert str(ran.exception).startswith(field)


def test_a_plot_cannot_replace_a_folder(samples: Path, tmp_path: Path) -> None:
    (tmp_path / "plot.svg").mkdir()
    ran = runner.invoke(app, ["eval", "continual", str(samples), "--plot", str(tmp_path / "plot.svg")])
    assert isinstance(ran.exception, InvalidInput)
    assert "is a folder" in str(ran.exception)
