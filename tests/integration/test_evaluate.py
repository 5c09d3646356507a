"""``eval`` and ``eval continual`` on the samples, with the real models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.integration.installation import Installation


def test_samples_are_kept_while_they_are_learned(installation: Installation, samples: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the bench extra is not installed")
    plot = tmp_path / "plot.svg"
    ran = installation.run(
        "eval", "continual", samples, "--commits", 4, "--k", 3, "--window", 2, "--plot", plot, "--json", timeout_s=240
    )
    report = ran.json
    assert (report["dataset"], report["order"], report["commits"]) == ("samples", "file", 4)
    assert report["state"] == {"equal": True, "differences": [], "vectors": "reused by text"}
    parts = report["parts"]
    assert sum(part["documents"] for part in parts) == 42
    assert sum(part["questions"] for part in parts) == 20
    assert [part["versions"] for part in parts] == [1] * 4
    assert [way["way"] for way in report["ways"]] == ["dense", "hybrid", "graph"]
    for way in report["ways"]:
        assert set(way["recall"]) == {"2", "3", "5", "10"}
        for recall in way["recall"].values():
            for number, (part, row) in enumerate(zip(parts, recall["matrix"], strict=True)):
                asked = [commit >= number and part["questions"] > 0 for commit in range(4)]
                assert [score is not None for score in row] == asked
                assert all(0 <= score <= 1 for score in row if score is not None)
            assert recall["pooled"][-1] == recall["at_once"]
            assert recall["metrics"][0]["forgetting"] is None
            assert set(recall["metrics"][-1]["windowed_forgetting"]) == {"2"}
        assert way["recall"]["5"]["pooled"][-1]["mean"] >= 0.85
        for read in way["reads"][1:]:
            assert read["reads"] == read["answered"] > 0
            assert read["failed"] == read["empty"] == read["short"] == 0
            assert read["availability"] == 1.0
    texts = [text.text for text in ElementTree.parse(plot).iter("{http://www.w3.org/2000/svg}text")]
    assert "recall@3, %" in texts
    assert not installation.data_dir.exists()


@pytest.mark.parametrize("words", [("--mode", "dense", "--limit", 4), ()], ids=["options first", "plain"])
def test_eval_goes_on_taking_a_folder(
    make_installation: Callable[..., Installation], samples: Path, words: tuple[object, ...]
) -> None:
    ran = make_installation().run("eval", *words, samples, "--json", timeout_s=240)
    reports = ran.json["retrieval"]
    assert [report["mode"] for report in reports] == (["dense"] if words else ["dense", "hybrid", "graph"])
    for report in reports:  # of the four that are drawn, some may have no gold documents
        assert 1 <= report["n_questions"] <= 4 if words else report["n_questions"] == 20


def test_ingredients_and_values_are_studied(make_installation: Callable[..., Installation], samples: Path) -> None:
    installation = make_installation()
    walks = installation.run("eval", "ablations", samples, "--no-ranker", "--json", timeout_s=240).json
    assert list(walks) == ["walk"]
    whole, *others = walks["walk"]["samples"]
    assert whole["differences"] == {}
    assert len(others) >= 10
    for one in others:
        for k, difference in one["differences"].items():
            assert difference["mean"] == pytest.approx(one["recall"][k]["mean"] - whole["recall"][k]["mean"])
    tried = installation.run("eval", "sweep", samples, "--json", timeout_s=240).json
    defaults = [one["recall"]["samples"] for one in tried if one["is_default"] and one["parameter"] != "hybrid_weight"]
    assert all(recall == whole["recall"] for recall in defaults)
    report = installation.run("eval", samples, "--mode", "graph", "--rerank", "none", "--json", timeout_s=240).json
    assert {k: one["mean"] for k, one in report["retrieval"][0]["recall"].items()} == {
        k: one["mean"] for k, one in whole["recall"].items()
    }
