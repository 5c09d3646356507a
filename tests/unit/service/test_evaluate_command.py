"""``sharpwave eval`` before it learns anything: what it refuses, and what it prints of the conditions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evaluation.condition_file import read_conditions
from evaluation.conditions import make_markdown
from memory_graph.errors import UnreadableDocument
from memory_graph.store.jobs import Failure, Job
from service.cli import main
from service.commands.learned_set import check_learned

CLAIM = "conditions: [{name: mine, set: absent, tolerance: 1, expect: {recall@5: 50}}]"


@pytest.fixture
def evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs ``sharpwave eval …`` in an empty folder: status, standard output, standard error."""
    for name in [name for name in os.environ if name.startswith("SHARPWAVE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "claims.yaml").write_text(CLAIM)
    (tmp_path / "data").mkdir()

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sharpwave", "eval", *map(str, words)])
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # main sets its own; put back after the test
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mode", "dense"], "FOLDER: must be one folder, not 0. Or give --check."),
        (["one", "two"], "FOLDER: must be one folder, not 2. Or give --check."),
        (["nowhere"], "nowhere: there is no such folder."),
        (["data", "--data", "data"], "--data: goes with --check only."),
        (["data", "--conditions", "claims.yaml"], "--conditions: goes with --check only."),
        (["data", "--markdown"], "--markdown: goes with --check only."),
        (["--check", "--mode", "dense"], "--mode: goes without --check: a condition says how it searches."),
        (["--check", "--limit", "5"], "--limit: goes without --check"),
        (["--check", "--answers"], "--answers: goes without --check"),
        (["--check", "--runs", "data"], "--runs: goes without --check"),
        (["--check", "--walk", "exact"], "--walk: goes without --check"),
        (["--check", "--openie", "data"], "--openie: goes without --check"),
        (["--check", "--parity"], "--parity: goes without --check"),
        (["data", "--parity"], "--parity: ranks by triples: give their file with --openie."),
        (["--check", "--data", "nowhere"], "--data: there is no folder nowhere."),
        (["--check", "--conditions", "nowhere.yaml"], "nowhere.yaml: there is no such file or folder."),
        (["--check", "mine"], "NAME: there is no condition 'mine'. There are: samples-dense, "),
    ],
)
def test_what_does_not_go_together_is_refused(
    evaluate: Callable[..., tuple[int, str, str]], words: list[str], said: str
) -> None:
    status, out, err = evaluate(*words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert said in err


def test_run_files_are_refused_before_anything_is_learned(
    evaluate: Callable[..., tuple[int, str, str]], samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(*given: object) -> None:
        pytest.fail("it began to learn")

    monkeypatch.setattr("service.commands.evaluate.learn_set", learn)
    status, _, err = evaluate(samples, "--runs", "claims.yaml")
    assert status == 2
    assert "runs: claims.yaml cannot be written" in err


def test_a_set_that_is_not_learned_whole_is_not_scored() -> None:
    job = Job(
        id="1",
        collection="evaluation",
        state="succeeded",
        split="none",
        error=None,
        version=1,
        created_at=datetime.now(UTC),
        started_at=None,
        finished_at=None,
        seconds={},
        documents=5,
    )
    check_learned(job)
    failure = Failure(name="p3", reason="damaged", error="the extractor died")
    with pytest.raises(UnreadableDocument, match="p3: cannot be learned: the extractor died"):
        check_learned(replace(job, failed=1, failures=[failure]))
    with pytest.raises(UnreadableDocument, match="p3: cannot be learned, nor can 2 others: the extractor died"):
        check_learned(replace(job, failed=3, failures=[failure, failure, failure]))


def test_a_set_that_is_not_there_is_skipped(evaluate: Callable[..., tuple[int, str, str]]) -> None:
    assert evaluate("--check", "--data", "data", "--conditions", "claims.yaml") == (
        0,
        "SKIPPED mine: there is no folder absent\n0 OK, 0 FAIL, 1 SKIPPED\n",
        "",
    )
    status, out, _ = evaluate("--check", "mine", "--data", "data", "--conditions", "claims.yaml", "--json")
    document = json.loads(out)
    assert (status, document["failed"]) == (0, 0)
    assert document["conditions"][0]["state"] == "SKIPPED"


def test_the_table_of_what_is_expected_is_printed(evaluate: Callable[..., tuple[int, str, str]]) -> None:
    conditions = read_conditions()
    assert evaluate("--check", "--markdown") == (0, make_markdown(conditions), "")
    assert evaluate("--check", "samples-dense", "--markdown") == (
        0,
        make_markdown([one for one in conditions if one.name == "samples-dense"]),
        "",
    )
