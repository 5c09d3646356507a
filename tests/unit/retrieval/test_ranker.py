"""The chain ranker's weights: written, read, refused, and summed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memory_graph.errors import InvalidInput
from retrieval.chains import FEATURES, SECOND_FEATURES
from retrieval.ranker import ChainRanker, Trees, read_ranker
from tests.unit.rankers import graded, random_ranker

DESCRIBED = np.random.default_rng(5).normal(size=(200, len(SECOND_FEATURES))).round(9)


def _write(folder: Path, content: Any, name: str = "weights.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _sum_plainly(trees: Trees, features: np.ndarray) -> list[float]:
    found = []
    for row in features:
        total = 0.0
        for root in trees.roots.tolist():
            node = root
            while node >= 0:
                side = trees.lefts if row[trees.features[node]] <= trees.thresholds[node] else trees.rights
                node = int(side[node])
            total += float(trees.values[-1 - node])
        found.append(1 / (1 + np.exp(-total)))
    return found


def test_trees_are_summed() -> None:
    for seed in range(5):
        ranker = random_ranker(seed)
        for trees, width in ((ranker.first, len(FEATURES)), (ranker.second, len(SECOND_FEATURES))):
            features = DESCRIBED[:, :width]
            assert trees.predict(features) == pytest.approx(_sum_plainly(trees, features))
            assert trees.predict(features[:0]).tolist() == []


def test_what_is_at_the_threshold_goes_left() -> None:
    trees = graded(FEATURES, cosine=20.0)
    features = np.zeros((3, len(FEATURES)))
    features[:, FEATURES.index("cosine")] = [0.0, 1e-9, 0.05]
    assert trees.predict(features) == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-1))])


def test_weights_are_read_as_they_were_written(tmp_path: Path) -> None:
    ranker = random_ranker(3)
    ranker = ChainRanker(first=ranker.first, second=ranker.second, provenance={"trained on": "nothing"})
    read = read_ranker(_write(tmp_path, ranker.to_json()))
    assert read.provenance == {"trained on": "nothing"}
    for mine, theirs in ((ranker.first, read.first), (ranker.second, read.second)):
        for name, values in vars(mine).items():
            np.testing.assert_allclose(vars(theirs)[name], values, rtol=1e-6)
            assert vars(theirs)[name].dtype == values.dtype
    again = read_ranker(_write(tmp_path, read.to_json(), "again.json"))  # nothing is lost any more
    assert again.to_json() == read.to_json()
    np.testing.assert_array_equal(again.second.predict(DESCRIBED), read.second.predict(DESCRIBED))


Change = Callable[[dict[str, Any]], Any]


def _put(look: str, name: str, value: Any) -> Change:
    def change(found: dict[str, Any]) -> None:
        found[look][name] = value(found[look][name]) if callable(value) else value

    return change


def _drop(*path: str) -> Change:
    def change(found: dict[str, Any]) -> None:
        inner = found
        for name in path[:-1]:
            inner = inner[name]
        del inner[path[-1]]

    return change


BAD: dict[str, Change] = {
    "another format": lambda found: found.update(format=2),
    "no format": _drop("format"),
    "no first look": _drop("first"),
    "a look that is a list": lambda found: found.update(second=[1]),
    "a look that is nothing": lambda found: found.update(second=None),
    "no provenance": _drop("provenance"),
    "provenance that is a number": lambda found: found.update(provenance=3),
    "no columns": _drop("first", "columns"),
    "other columns": _put("first", "columns", lambda columns: columns[::-1]),
    "columns of the other look": _put("second", "columns", list(FEATURES)),
    "columns that are a number": _put("second", "columns", 3),
    "no roots": _drop("second", "roots"),
    "no root": _put("second", "roots", []),
    "a root that is not there": _put("second", "roots", [10**6]),
    "a leaf that is not there": _put("first", "roots", [-(10**6)]),
    "a root that is no whole number": _put("first", "roots", [0.5]),
    "a number beyond all": _put("first", "roots", [10**30]),
    "roots in rows": _put("first", "roots", lambda roots: [[one] for one in roots]),
    "a child that is not there": _put("second", "lefts", lambda lefts: [10**6, *lefts[1:]]),
    "a leaf below that is not there": _put("second", "rights", lambda rights: [-(10**6), *rights[1:]]),
    "a circle": _put("second", "lefts", lambda lefts: [0, *lefts[1:]]),
    "a node too few": _put("second", "rights", lambda rights: rights[:-1]),
    "a threshold too many": _put("first", "thresholds", lambda thresholds: [*thresholds, 0.0]),
    "a threshold that is text": _put("first", "thresholds", lambda thresholds: ["high", *thresholds[1:]]),
    "a threshold that is nothing": _put("first", "thresholds", lambda thresholds: [None, *thresholds[1:]]),
    "a threshold without end": _put("first", "thresholds", lambda thresholds: [float("inf"), *thresholds[1:]]),
    "a value that is no number": _put("second", "values", lambda values: [float("nan"), *values[1:]]),
    "values that are one number": _put("second", "values", 1.0),
    "values that are missing": _put("second", "values", []),
    "a feature that is not there": _put("first", "features", lambda places: [len(FEATURES), *places[1:]]),
    "a feature before the first": _put("first", "features", lambda places: [-1, *places[1:]]),
    "features in rows": _put("first", "features", lambda places: [[place] for place in places]),
    "something unknown": _put("first", "bias", 1.0),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD.keys())
def test_damaged_weights_are_refused_by_name(tmp_path: Path, change: Change) -> None:
    found = json.loads(json.dumps(random_ranker(1).to_json()))
    change(found)
    path = _write(tmp_path, found)
    with pytest.raises(InvalidInput) as caught:
        read_ranker(path)
    assert caught.value.field == str(path)
    assert "make ranker" in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", '"text"', '{"format": 1}', "\ud800"])
def test_what_are_no_weights_is_refused_by_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "weights.json"
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidInput) as caught:
        read_ranker(path)
    assert caught.value.field == str(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        with pytest.raises(InvalidInput) as caught:
            read_ranker(path)
        assert caught.value.field == str(path)


def test_shipped_weights_can_be_read() -> None:
    ranker = read_ranker()
    assert len(ranker.first.roots) > 0 < len(ranker.second.roots)
