"""Conditions as YAML, read strictly: what is not understood is refused, and the refusal names the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from evaluation.conditions import Condition
from evaluation.retrieval_eval import list_measures
from evaluation.ways import PARITY, Way, check_option, list_choices
from ingest.files import explain_os_error, show_path
from memory_graph.errors import InvalidInput

_NUMBER = (int, float)
_KINDS: Mapping[type | tuple[type, ...], str] = {
    str: "a text",
    list: "a list",
    dict: "a mapping",
    int: "a whole number",
    _NUMBER: "a number",
}


def read_conditions(path: Path | None = None) -> list[Condition]:
    """Read a file of conditions, the one that ships with the package if none is given.

    Errors: ``InvalidInput`` naming the file, the condition and the field.
    """
    if path is None:
        return parse_conditions(resources.files("evaluation").joinpath("conditions.yaml").read_text("utf-8"))
    try:
        return parse_conditions(path.read_text("utf-8"), show_path(path))
    except UnicodeDecodeError as error:
        raise InvalidInput(show_path(path), f"is not valid UTF-8 at byte {error.start}.") from None
    except OSError as error:
        raise InvalidInput(show_path(path), explain_os_error(path, error).detail) from None


def parse_conditions(text: str, file: str = "conditions.yaml") -> list[Condition]:
    """Read conditions from YAML: a list below ``conditions``; errors: ``InvalidInput`` naming condition and field."""
    try:
        _check_keys(yaml.compose(text, yaml.SafeLoader), set())
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InvalidInput(f"{file}{line}", f"is not YAML that can be read: {error.problem}.") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(file, f"is not YAML that can be read: {str(error).splitlines()[0]}.") from None
    top = _Fields(file, document)
    entries = top.take("conditions", list)
    top.end(["conditions"])
    if not entries:
        raise InvalidInput(f"{file}: conditions", "is empty.")
    found: dict[str, Condition] = {}
    for number, entry in enumerate(entries, start=1):
        condition = _parse_condition(f"{file}: condition {number}", entry)
        if condition.name in found:
            raise InvalidInput(f"{file}: condition {number}: name", f"{condition.name!r} was used already.")
        found[condition.name] = condition
    return list(found.values())


def _check_keys(node: yaml.Node | None, seen: set[int]) -> None:
    """Refuse a key that stands twice in one mapping, where YAML would keep the last; an aliased node is seen once."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, seen)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} stands twice", problem_mark=key.start_mark)
                keys.add(key.value)
            _check_keys(value, seen)


class _Fields:
    """The fields of one mapping, each taken once; what is left over is a mistake."""

    def __init__(self, place: str, mapping: Any) -> None:
        if not isinstance(mapping, dict):
            raise InvalidInput(place, "must be a mapping of fields.")
        self.place = place
        self._left = dict(mapping)

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        value = self._left.pop(name, default)
        if value is None:
            raise InvalidInput(f"{self.place}: {name}", "is missing.")
        # A bool is an int in Python, and no number here.
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidInput(f"{self.place}: {name}", f"must be {_KINDS[kind]}, not {value!r}.")
        return value

    def end(self, known: Iterable[str]) -> None:
        for name in self._left:
            raise InvalidInput(f"{self.place}: {name}", f"is not a field. There are: {', '.join(known)}.")


def _parse_condition(place: str, entry: Any) -> Condition:
    taken = _Fields(place, entry)
    name = taken.take("name", str)
    if not name.strip() or any(letter.isspace() for letter in name):
        raise InvalidInput(f"{place}: name", "must be one word.")
    taken.place = place = f"{place} ({name})"
    folder = PurePosixPath(taken.take("set", str))
    if folder.is_absolute() or ".." in folder.parts or not folder.name:
        raise InvalidInput(f"{place}: set", "must be the name of a folder below the data folder.")
    options = dict(taken.take("options", dict, {}))
    limit = _Fields(f"{place}: options", {"limit": options.pop("limit", 0)}).take("limit", int)
    if limit < 0:
        raise InvalidInput(f"{place}: options: limit", "must be at least 0.")
    openie = _parse_openie(f"{place}: options: openie", options.pop("openie", None))
    tolerance = _check_percent(f"{place}: tolerance", taken.take("tolerance", _NUMBER))
    expect = taken.take("expect", dict)
    if not expect:
        raise InvalidInput(f"{place}: expect", "is empty: a claim has a score at least.")
    taken.end(["name", "set", "options", "tolerance", "expect"])
    return Condition(
        name=name,
        set=str(folder),
        way=_parse_way(f"{place}: options", options, openie),
        limit=limit,
        openie=openie,
        tolerance=tolerance,
        expect={measure: _parse_score(f"{place}: expect", measure, score) for measure, score in expect.items()},
    )


def _parse_openie(place: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not value or PurePosixPath(value).name != value:
        raise InvalidInput(place, f"must be the name of a file in the set's folder, not {value!r}.")
    return value


def _parse_way(place: str, options: Mapping[Any, Any], openie: str) -> Way:
    known = list_choices()
    for name, value in options.items():
        if name not in known:
            raise InvalidInput(
                f"{place}: {name}", f"is not an option. There are: {', '.join([*known, 'limit', 'openie'])}."
            )
        check_option(f"{place}: {name}", name, value)
    way = Way(**options)
    if way.parity and not openie:
        raise InvalidInput(f"{place}: parity", "ranks by triples: name their file with openie.")
    if way.parity and way != PARITY:
        others = ", ".join(name for name in way.changed if name != "parity")
        raise InvalidInput(f"{place}: parity", f"goes without {others}.")
    return way


def _parse_score(place: str, measure: Any, score: Any) -> float:
    if measure not in list_measures():
        raise InvalidInput(f"{place}: {measure}", f"is not a measure. There are: {', '.join(list_measures())}.")
    if not isinstance(score, _NUMBER) or isinstance(score, bool):
        raise InvalidInput(f"{place}: {measure}", f"must be a number, not {score!r}.")
    return _check_percent(f"{place}: {measure}", score)


def _check_percent(place: str, value: float) -> float:
    if not 0 <= value <= 100:  # nan is not, either
        raise InvalidInput(place, "must be per cent, from 0 to 100.")
    return float(value)
