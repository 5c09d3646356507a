"""The documentation says what the code does: settings, routes, error codes, verbs, and links that lead somewhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import FastAPI

from memory_graph import errors as error_tree
from service import errors as service_errors
from service.app import create_app
from service.cli import app as cli
from service.config_file import SECRETS
from service.openapi import all_codes
from service.settings import Settings, read_settings

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
# Read outside of Settings, by retrieval/models.py and service/config_file.py.
OTHER_VARIABLES = {"SHARPWAVE_MODELS_DIR", "HF_ENDPOINT", "SHARPWAVE_CONFIG"}
SKIPPED_FOLDERS = {"node_modules", "dist", "data", "build"}

_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _headings(path: Path) -> list[str]:
    return _HEADING.findall(_FENCE.sub("", path.read_text("utf-8")))


def _sections(path: Path) -> dict[str, str]:
    """Return the text under each heading, up to the next one."""
    parts = re.split(r"^#{1,6} (.+?)\s*$", _FENCE.sub("", path.read_text("utf-8")), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _pages() -> list[Path]:
    return sorted(
        path
        for path in REPOSITORY.rglob("*.md")
        if not any(part.startswith(".") or part in SKIPPED_FOLDERS for part in path.relative_to(REPOSITORY).parts)
        and "documents" not in path.parts
    )


def _anchor(heading: str) -> str:
    """Return a heading's anchor as code hosts make it: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")


def _variables() -> dict[str, Any]:
    return {f"SHARPWAVE_{name.upper()}": field for name, field in Settings.model_fields.items()}


def _verbs() -> Iterator[tuple[str, list[str]]]:
    """Yield each verb that can be run, with its long options."""

    def walk(command: Any, name: str) -> Iterator[tuple[str, list[str]]]:
        below = getattr(command, "commands", {})
        default = getattr(command, "default", None)  # the command that stands for its group
        if not below:
            options = [one for parameter in command.params for one in parameter.opts if one.startswith("--")]
            yield name, [option for option in options if option != "--help"]
        for word, one in below.items():
            yield from walk(one, name if word == default else f"{name} {word}")

    yield from walk(typer.main.get_command(cli), "sharpwave")


def _routes(app: FastAPI) -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in app.openapi()["paths"].items() for method in methods}


def _codes() -> set[str]:
    return set(all_codes()) | {"http_error"}


def test_every_setting_has_its_heading_and_every_heading_its_setting() -> None:
    named = [heading for heading in _headings(DOCS / "configuration.md") if re.fullmatch(r"[A-Z][A-Z0-9_]+", heading)]
    assert len(named) == len(set(named))
    assert set(named) == set(_variables()) | OTHER_VARIABLES


@pytest.mark.parametrize("name", sorted(_variables()))
def test_the_documented_default_is_the_default(name: str) -> None:
    section = _sections(DOCS / "configuration.md")[name]
    found = re.search(r"^Default: (.+)$", section, re.MULTILINE)
    assert found is not None
    assert re.search(rf"^Example: `{name}=.+`$", section, re.MULTILINE)
    default = _variables()[name].get_default()
    if isinstance(default, bool):
        assert found[1].startswith(f"`{str(default).lower()}`")
    elif isinstance(default, str | int | float):
        assert found[1].startswith("empty" if default == "" else f"`{default}`")


def test_the_documented_file_is_one_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    example = re.search(r"```toml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    (tmp_path / "key").write_text("hush\n")
    (tmp_path / "sharpwave.toml").write_text(re.sub(r"/run/secrets/[\w-]+", str(tmp_path / "key"), example[1]))
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SHARPWAVE_{name.upper()}", raising=False)
    monkeypatch.delenv("SHARPWAVE_CONFIG", raising=False)
    settings = read_settings(data_dir=tmp_path)
    assert (settings.port, settings.api_workers) == (8080, 2)
    assert settings.admin_key.get_secret_value() == "hush"
    named = page.split("Secrets may lie in files of their own")[1].split("###")[0]
    assert [name for name in SECRETS if f"`{name}`" not in named] == []


def test_every_route_is_documented_and_every_documented_route_exists(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    headings = _headings(DOCS / "api.md")
    documented = {heading for heading in headings if re.match(r"(GET|POST|PUT|PATCH|DELETE) /", heading)}
    assert documented == _routes(app)


def test_every_error_code_is_documented() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    documented = set(re.findall(r"^\| `([a-z_]+)` \| (?:\d{3}|any) \|", page, re.MULTILINE))
    assert documented == _codes()


def test_every_code_in_the_source_is_known() -> None:
    """A refusal that is made at the edge stands in ``EDGE_CODES``, so that the API's description has it too."""
    for path in (REPOSITORY / "service").rglob("*.py"):
        found = re.findall(
            r"""\bproblem\(\s*[45]\d\d,\s*"([a-z_]+)\"|return [45]\d\d, "([a-z_]+)\"""", path.read_text("utf-8")
        )
        assert {one or other for one, other in found} <= _codes(), path


def test_the_documented_status_of_a_code_is_its_status() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", page, re.MULTILINE))
    assert documented == {code: str(status) for code, status in all_codes().items()}


def test_the_documented_status_of_an_error_is_its_status() -> None:
    page = (DOCS / "errors.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `([a-z_]+)` \| (\d{3}) \|", page, re.MULTILINE))
    for _, kind in inspect.getmembers(error_tree, inspect.isclass):
        if issubclass(kind, error_tree.SharpwaveError):
            error = kind.__new__(kind)  # the table goes by the class; the constructors differ
            assert documented[kind.code] == str(service_errors.status_of(error)), kind.code


@pytest.mark.parametrize(("verb", "options"), list(_verbs()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_verb_is_documented_with_its_options(verb: str, options: list[str]) -> None:
    sections = _sections(DOCS / "cli.md")
    found = [text for heading, text in sections.items() if re.match(rf"{re.escape(verb)}($| [A-Z\[])", heading)]
    assert len(found) == 1
    assert [option for option in options if f"`{option}`" not in found[0]] == []


def test_no_verb_is_documented_that_is_not_there() -> None:
    documented = {re.split(r" [A-Z\[]", one)[0] for one in _headings(DOCS / "cli.md") if one.startswith("sharpwave ")}
    assert documented == {verb for verb, _ in _verbs()}


@pytest.mark.parametrize("page", _pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        aim = (page.parent / name).resolve() if name else page
        assert aim.exists(), target
        if anchor:
            assert anchor in {_anchor(heading) for heading in _headings(aim)}, target


@pytest.mark.parametrize(
    "page", ["ARCHITECTURE.md", "CONTRIBUTING.md", *sorted(f"docs/{one.name}" for one in DOCS.glob("*.md"))]
)
def test_source_files_that_are_named_exist(page: str) -> None:
    text = (REPOSITORY / page).read_text("utf-8")
    named = re.findall(r"\b(?:service|evaluation|ingest|retrieval|memory_graph|tests)/[\w/]+\.(?:py|toml)\b", text)
    assert [name for name in named if "NNNN" not in name and not (REPOSITORY / name).exists()] == []


def test_every_decision_is_in_both_indexes() -> None:
    for index, prefix in ((DOCS / "README.md", "decisions/"), (REPOSITORY / "ARCHITECTURE.md", "docs/decisions/")):
        text = index.read_text("utf-8")
        assert [one.name for one in (DOCS / "decisions").glob("*.md") if f"({prefix}{one.name})" not in text] == []
