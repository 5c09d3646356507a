"""The pinned versions install wherever we say that we run."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.metadata import metadata as metadata_of
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[3]
PINS = dict(re.findall(r"^([\w.-]+)==(\S+)", (REPOSITORY / "constraints.txt").read_text("utf-8"), re.MULTILINE))


def installed() -> list[str]:
    """The pinned packages that are there: those of the extras that `make setup` leaves out are not."""
    found = []
    for name in PINS:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def test_every_pin_installs_on_the_oldest_python_that_we_name() -> None:
    """Debian 12's own is 3.11.2: a pin that needs 3.11.5 shows there as versions in conflict."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    oldest = re.fullmatch(r">=([\d.]+)", project["requires-python"])
    assert oldest is not None
    names = installed()
    assert len(names) > 100
    asked = {name: metadata_of(name).get("Requires-Python", "") for name in names}
    assert {name: said for name, said in asked.items() if f"{oldest[1]}.0" not in SpecifierSet(said)} == {}


def test_what_is_installed_is_what_is_pinned() -> None:
    assert {name: version(name) for name in installed() if version(name) != PINS[name]} == {}


def test_what_the_project_asks_for_by_name_is_pinned() -> None:
    named = {canonicalize_name(Requirement(line).name) for line in requires("sharpwave") or []}
    known = {canonicalize_name(name) for name in PINS}
    # Of torch there are builds, its version stands in the Makefile; the other is for a machine with a GPU.
    assert named - known == {"torch", "faiss-gpu"}
