"""Conditions are read strictly: every mistake is refused by the name of its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.condition_file import parse_conditions, read_conditions
from evaluation.ways import Way
from memory_graph.errors import InvalidInput

GOOD: dict[str, Any] = {
    "name": "tiny-exact",
    "set": "sets/tiny",
    "options": {"mode": "graph", "walk": "exact", "limit": 20},
    "tolerance": 1,
    "expect": {"recall@5": 61.5, "mrr": 80},
}


def write(**changes: Any) -> str:
    entry = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return yaml.safe_dump({"conditions": [entry]})


def test_a_condition_is_read() -> None:
    (condition,) = parse_conditions(write())
    assert (condition.name, condition.set, condition.limit, condition.tolerance) == ("tiny-exact", "sets/tiny", 20, 1.0)
    assert condition.way == Way(mode="graph", walk="exact")
    assert condition.expect == {"recall@5": 61.5, "mrr": 80.0}
    assert condition.command == "sharpwave eval sets/tiny --mode graph --walk exact --limit 20"


def test_without_options_the_search_is_the_default() -> None:
    (condition,) = parse_conditions(write(options=None))
    assert (condition.way, condition.limit) == (Way(), 0)
    assert condition.command == "sharpwave eval sets/tiny --mode graph"


def test_a_file_of_triples_is_an_option() -> None:
    (condition,) = parse_conditions(write(options={"openie": "openie.jsonl", "parity": True}))
    assert (condition.way, condition.openie) == (Way(parity=True), "openie.jsonl")
    assert condition.needed == "sets/tiny/openie.jsonl"
    assert condition.command == "sharpwave eval sets/tiny --parity --openie sets/tiny/openie.jsonl"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": None}, "condition 1: name: is missing"),
        ({"name": "two words"}, "condition 1: name: must be one word"),
        ({"name": ""}, "condition 1: name: must be one word"),
        ({"name": 5}, "condition 1: name: must be a text, not 5"),
        ({"set": None}, r"condition 1 \(tiny-exact\): set: is missing"),
        ({"set": "/etc"}, "set: must be the name of a folder below"),
        ({"set": "../other"}, "set: must be the name of a folder below"),
        ({"set": "."}, "set: must be the name of a folder below"),
        ({"options": ["mode"]}, "options: must be a mapping"),
        ({"options": {"mode": "sparse"}}, "options: mode: must be one of .*dense.*, not 'sparse'"),
        ({"options": {"moed": "dense"}}, "options: moed: is not an option. There are: mode, .*walk, .*limit"),
        ({"options": {"limit": -1}}, "options: limit: must be at least 0"),
        ({"options": {"limit": True}}, "options: limit: must be a whole number, not True"),
        ({"options": {"limit": 2.5}}, "options: limit: must be a whole number, not 2.5"),
        ({"options": {"openie": "../x.jsonl"}}, "options: openie: must be the name of a file in the set's folder"),
        ({"options": {"openie": 7}}, "options: openie: must be the name of a file in the set's folder, not 7"),
        ({"options": {"parity": True}}, "options: parity: ranks by triples"),
        ({"options": {"parity": "yes"}}, "options: parity: must be one of False, True, not 'yes'"),
        ({"options": {"parity": True, "openie": "x", "walk": "exact"}}, "options: parity: goes without walk"),
        ({"tolerance": None}, "tolerance: is missing"),
        ({"tolerance": "1 %"}, "tolerance: must be a number, not '1 %'"),
        ({"tolerance": -1}, "tolerance: must be per cent, from 0 to 100"),
        ({"tolerance": float("nan")}, "tolerance: must be per cent"),
        ({"expect": None}, "expect: is missing"),
        ({"expect": {}}, "expect: is empty"),
        ({"expect": {"recall@3": 50}}, "expect: recall@3: is not a measure. There are: recall@2, .*mrr"),
        ({"expect": {"mrr": "high"}}, "expect: mrr: must be a number, not 'high'"),
        ({"expect": {"mrr": False}}, "expect: mrr: must be a number, not False"),
        ({"expect": {"mrr": 101}}, "expect: mrr: must be per cent, from 0 to 100"),
        ({"expected": {}}, r"condition 1 \(tiny-exact\): expected: is not a field. There are: name, set"),
    ],
)
def test_mistakes_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=rf"conditions.yaml: .*{message}"):
        parse_conditions(write(**changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "conditions.yaml: must be a mapping"),
        ("- a", "conditions.yaml: must be a mapping"),
        ("conditions: 5", "conditions: must be a list, not 5"),
        ("conditions: []", "conditions: is empty"),
        ("conditions: [5]", "condition 1: must be a mapping"),
        ("conditions: [{name: a, set: b, tolerance: 1, expect: {mrr: 1}}]\nmore: 1", "more: is not a field"),
        ("conditions: [{name: a, name: b}]", "conditions.yaml:1: .*'name' stands twice"),
        ("a: [", "conditions.yaml:1: is not YAML that can be read"),
        ("conditions: !!python/name:os.system", "is not YAML that can be read"),
        ("conditions: &a [*a]", "condition 1: must be a mapping"),
        ("\x00", "is not YAML that can be read"),
        ("[" * 5000, "is not YAML that can be read"),
    ],
)
def test_files_that_are_something_else_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_conditions(text)


def test_a_name_is_used_once() -> None:
    text = yaml.safe_dump({"conditions": [GOOD, GOOD]})
    with pytest.raises(InvalidInput, match=r"condition 2: name: 'tiny-exact' was used already"):
        parse_conditions(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    with pytest.raises(InvalidInput, match=r"claims\.yaml: there is no such file"):
        read_conditions(path)
    path.write_bytes(b"\xff")
    with pytest.raises(InvalidInput, match=r"claims\.yaml: is not valid UTF-8 at byte 0"):
        read_conditions(path)
    path.write_text(write(tolerance=None))
    with pytest.raises(InvalidInput, match=r"claims.yaml: condition 1 \(tiny-exact\): tolerance: is missing"):
        read_conditions(path)
    path.write_text(write())
    assert read_conditions(path)[0].name == "tiny-exact"
