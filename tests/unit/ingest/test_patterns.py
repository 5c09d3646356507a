"""Paths with wild cards."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.patterns import expand_path
from memory_graph.errors import InvalidInput


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.md", "b.txt", "c.png", ".hidden.md", "deep/d.md", "deep/er/e.md", ".git/f.md", "x[1].md"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.md", ["a.md", "x[1].md"]),
        ("?.md", ["a.md"]),
        ("[ab].*", ["a.md", "b.txt"]),
        ("*", ["a.md", "b.txt", "deep", "x[1].md"]),
        ("**/*.md", ["a.md", "deep/d.md", "deep/er/e.md", "x[1].md"]),
        ("deep/**", ["deep", "deep/er"]),
        ("*/d.md", ["deep/d.md"]),
        (".*.md", [".hidden.md"]),
        ("x[1].md", ["x[1].md"]),  # there is such a file
        ("c.png", ["c.png"]),
        ("none.md", ["none.md"]),  # a path: that it is missing is for the reader to say
        ("*.png", []),
    ],
)
def test_a_pattern_matches_as_a_shells_would(folder: Path, pattern: str, found: list[str]) -> None:
    assert [str(one.relative_to(folder)) for one in expand_path(str(folder / pattern))] == found


def test_a_relative_pattern_is_read_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert expand_path("deep/*.md") == [Path("deep/d.md")]
    assert expand_path("*.txt") == [Path("b.txt")]


def test_a_pattern_may_begin_at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert expand_path("~/*.txt") == [folder / "b.txt"]


def test_links_in_a_circle_are_not_followed_for_ever(folder: Path) -> None:
    (folder / "deep" / "back").symlink_to(folder)
    (folder / "deep" / "again").symlink_to(folder)
    found = expand_path(str(folder / "**" / "d.md"))
    assert found == [folder / "deep" / "d.md"]


@pytest.mark.parametrize(
    ("pattern", "message"), [("*.pdf", "matches nothing"), ("none/*", "matches nothing"), ("a**/*", "malformed")]
)
def test_a_pattern_that_matches_nothing_is_named(folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        expand_path(str(folder / pattern))
    assert pattern in refused.value.message
