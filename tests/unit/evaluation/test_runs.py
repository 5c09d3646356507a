"""Run files: read back by a reader of their format, they give the scores of the report; whole files or none."""

from __future__ import annotations

import math
import os
from collections import defaultdict
from pathlib import Path
from urllib.parse import unquote

import pytest

from evaluation.datasets import Dataset, Question
from evaluation.retrieval_eval import RetrievalReport, evaluate_retrieval
from evaluation.runs import encode_id, make_folder, write_runs
from evaluation.searches import Found
from memory_graph.errors import InvalidInput

QUESTIONS = (
    Question("q 1", "one", (), ("old letters/to nils.md", "b%20")),
    Question("q\u00a02", "two", (), ("ærø\u2028.md",)),
    Question("q3", "three", (), ("d", "e", "f")),
    Question("u1", "none", (), ()),
)
FOUND = {
    "one": ["x", "b%20", "b ", "old letters/to nils.md"],
    "two": ["ærø.md", "ærø\u2028.md"],
    "three": ["f", "p", "q", "r", "s", "e", "t", "u", "v", "w", "d"],
}


def search(question: str, count: int) -> Found:
    return Found(FOUND[question][:count])


@pytest.fixture
def report() -> RetrievalReport:
    return evaluate_retrieval(Dataset("tiny", (), QUESTIONS, "none"), search, way="graph,walk=exact")


def read_run(path: Path) -> dict[str, list[str]]:
    """Read a run as scorers do: columns at any white space, documents by falling score whatever the order of lines."""
    scored: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in reversed(path.read_text("utf-8").splitlines()):
        question, q0, document, rank, score, tag = line.split()
        assert (q0, tag) == ("Q0", "graph,walk=exact")
        assert int(rank) >= 1
        scored[unquote(question)].append((float(score), unquote(document)))
    for pairs in scored.values():
        assert len({score for score, _ in pairs}) == len(pairs)  # no tie for a scorer to break in its own way
    return {question: [document for _, document in sorted(pairs, reverse=True)] for question, pairs in scored.items()}


def read_qrels(path: Path) -> dict[str, set[str]]:
    gold: dict[str, set[str]] = defaultdict(set)
    for line in path.read_text("utf-8").splitlines():
        question, zero, document, relevance = line.split()
        assert (zero, relevance) == ("0", "1")
        gold[unquote(question)].add(unquote(document))
    return gold


def test_the_files_give_the_scores_of_the_report(report: RetrievalReport, tmp_path: Path) -> None:
    run_path, qrels_path = write_runs(tmp_path / "new" / "folder", [report])
    assert (run_path.name, qrels_path.name) == ("tiny.graph,walk=exact.run", "tiny.qrels")
    run, gold = read_run(run_path), read_qrels(qrels_path)
    assert list(gold) == ["q 1", "q\u00a02", "q3"]
    recall, all_gold, ndcg, mrr = [], [], [], []
    for question, wanted in gold.items():
        gains = [document in wanted for document in run[question][:10]]
        recall.append(sum(gains[:5]) / len(wanted))
        all_gold.append(wanted <= set(run[question][:10]))
        best = sum(1 / math.log2(place + 2) for place in range(len(wanted)))
        ndcg.append(sum(gain / math.log2(place + 2) for place, gain in enumerate(gains)) / best)
        mrr.append(next((1 / (place + 1) for place, gain in enumerate(gains) if gain), 0.0))
    means = {name: sum(values) / 3 for name, values in [("r", recall), ("a", all_gold), ("n", ndcg), ("m", mrr)]}
    scores = report.scores
    assert means["r"] == pytest.approx(scores["recall@5"].mean) == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert means["a"] == pytest.approx(scores["all_gold@10"].mean) == pytest.approx(2 / 3)
    assert means["n"] == pytest.approx(scores["ndcg@10"].mean)
    assert means["m"] == pytest.approx(scores["mrr"].mean) == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)


@pytest.mark.parametrize(
    ("id", "column"),
    [
        ("old letter.md", "old%20letter.md"),
        ("100%", "100%25"),
        ("a\tb\nc\r", "a%09b%0Ac%0D"),
        ("a\u00a0b\u3000c\u2028", "a%C2%A0b%E3%80%80c%E2%80%A8"),
        ("\x1b[31m\x85", "%1B[31m%C2%85"),
        ("Ærø/東京,=.md", "Ærø/東京,=.md"),
    ],
)
def test_an_id_is_one_column_and_comes_back(id: str, column: str) -> None:
    assert encode_id(id) == column
    assert unquote(column) == id
    assert column.split() == [column]
    assert column.splitlines() == [column]


def test_one_file_for_each_way_and_one_of_judgements(report: RetrievalReport, tmp_path: Path) -> None:
    (tmp_path / "tiny.qrels").write_text("old\n")
    other = evaluate_retrieval(Dataset("tiny", (), QUESTIONS, "none"), search, way="dense")
    write_runs(tmp_path, [report, other])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "tiny.dense.run",
        "tiny.graph,walk=exact.run",
        "tiny.qrels",
    ]
    assert len((tmp_path / "tiny.qrels").read_text().splitlines()) == 6  # the old one is replaced


def test_a_file_appears_whole_or_not_at_all(
    report: RetrievalReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.qrels").write_text("old\n")

    def refuse(source: Path, target: Path) -> None:
        assert Path(source).read_text("utf-8").count("\n") > 5  # all was written before it would take its name
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InvalidInput, match=r"runs: .*tiny.* cannot be written \(No space left on device\)"):
        write_runs(tmp_path, [report])
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.qrels"]
    assert (tmp_path / "tiny.qrels").read_text() == "old\n"


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidInput, match=r"runs: .*file.* cannot be written"):
            make_folder(folder)
