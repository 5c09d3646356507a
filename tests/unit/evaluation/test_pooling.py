"""Pooling: questions keep pointing at their passages, copies are pooled once, and a fall is paired."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console

from evaluation.datasets import Dataset, Question
from evaluation.memory import RememberingEmbedder
from evaluation.pooling import add_distractors, cut_distractors, measure_drift, pool_sets
from evaluation.retrieval_eval import evaluate_retrieval
from evaluation.searches import Found
from evaluation.set_report import tabulate_drift
from memory_graph.errors import InvalidInput
from memory_graph.types import Document
from retrieval.testing import HashEmbedder


def make_set(name: str, texts: dict[str, str], gold: list[str]) -> Dataset:
    documents = tuple(Document(id=id, title="T", text=text) for id, text in texts.items())
    return Dataset(name, documents, (Question("q1", f"About {name}?", ("x",), tuple(gold)),), "none")


A = make_set("a", {"1": "plum", "2": "pear", "3": "fig"}, ["1", "2"])
B = make_set("b", {"1": "boat", "7": "pear"}, ["7", "1"])


def test_pooled_sets_share_their_documents_and_keep_their_questions() -> None:
    a, b = pool_sets([A, B])
    assert (a.name, b.name) == ("a", "b")
    assert a.documents == b.documents
    assert {document.id: document.text for document in a.documents} == {
        "a:1": "plum",
        "a:2": "pear",
        "a:3": "fig",
        "b:1": "boat",
    }
    assert a.questions[0].gold_ids == ("a:1", "a:2")
    assert b.questions[0].gold_ids == ("a:2", "b:1")  # the copy of b:7 that came first
    assert a.questions[0].question == A.questions[0].question


def test_copies_within_a_question_count_once() -> None:
    doubled = make_set("c", {"1": "plum", "2": "plum"}, ["1", "2"])
    pooled = pool_sets([doubled, B])[0]
    assert pooled.questions[0].gold_ids == ("c:1",)


def test_pooled_documents_are_shuffled_the_same_way_every_time() -> None:
    many = make_set("m", {str(n): f"text {n}" for n in range(40)}, ["3"])
    first, again, other = (
        [document.id for document in pool_sets([many, B], seed=seed)[0].documents] for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_sets_that_cannot_be_pooled_are_refused() -> None:
    with pytest.raises(InvalidInput, match="is the name of two sets"):
        pool_sets([A, A])
    with pytest.raises(InvalidInput, match=r"must hold corpus\.jsonl"):
        pool_sets([A, Dataset("files", (), (), "recursive")])


def test_distractors_lie_among_the_passages_under_names_of_their_own() -> None:
    pooled = pool_sets([A, B])
    with_books = add_distractors(pooled, [Document(id="x.md#0", text="whale"), Document(id="a:1", text="sea")])
    assert with_books[0].documents == with_books[1].documents
    ids = [document.id for document in with_books[0].documents]
    assert sorted(ids) == ["a:1", "a:2", "a:3", "b:1", "books:a:1", "books:x.md#0"]
    assert with_books[1].questions == pooled[1].questions


def test_distractors_are_as_long_as_they_can_be(tmp_path: Path, tokenizer_file: Path) -> None:
    for name in ("one", "two"):
        sentences = (f"In the {name} valley, house number {n} had a green door and a cat." for n in range(200))
        (tmp_path / f"{name}.txt").write_text("\n\n".join(sentences))
    sizes = (220, 64)
    long, size = cut_distractors(tmp_path, 10, tokenizer_file, sizes=sizes)
    assert (len(long), size) == (10, 220)
    assert [one.id for one in cut_distractors(tmp_path, 10, tokenizer_file, sizes=sizes)[0]] == [one.id for one in long]
    said: list[str] = []
    short, size = cut_distractors(tmp_path, 60, tokenizer_file, sizes=sizes, progress=said.append)
    assert (len(short), size) == (60, 64)
    assert len({one.id for one in short}) == 60
    assert len({one.text for one in short}) == 60
    assert max(len(one.text) for one in short) < min(len(one.text) for one in long)
    assert [text[-18:] for text in said] == ["at most 220 tokens", " at most 64 tokens"]
    with pytest.raises(InvalidInput, match=r"--passages: must be at most \d+"):
        cut_distractors(tmp_path, 10_000, tokenizer_file, sizes=sizes)


def test_drift_is_what_the_same_questions_lose() -> None:
    pooled = pool_sets([A, B])
    found_alone = {"About a?": ["1", "2"], "About b?": ["1", "7"]}
    found_pooled = {"About a?": ["a:1", "b:1"], "About b?": ["a:2", "b:1"]}
    alone, larger = (
        {one.name: [evaluate_retrieval(one, lambda q, k: Found(found[q][:k]), way="dense")] for one in sets}  # noqa: B023
        for sets, found in (([A, B], found_alone), (pooled, found_pooled))
    )
    drifts = measure_drift(
        alone, larger, memory="all sets", passages_alone={"a": 3, "b": 2}, passages=len(pooled[0].documents)
    )
    assert [(drift.set, drift.passages_alone, drift.passages) for drift in drifts] == [("a", 3, 4), ("b", 2, 4)]
    assert drifts[0].change["recall@5"].mean == pytest.approx(-0.5)
    assert drifts[1].change["recall@5"].mean == 0
    written = json.loads(json.dumps(drifts[0].to_json()))
    assert written["change"]["recall"]["5"]["mean"] == -0.5
    assert written["way"] == "dense"
    console = Console(file=StringIO(), width=140)
    console.print(tabulate_drift(drifts))
    assert isinstance(console.file, StringIO)
    assert "-50.0 [-50.0, -50.0]" in console.file.getvalue().replace("−", "-")


class Counting(HashEmbedder):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked.extend(texts)
        return super().encode(texts)


def test_a_text_is_embedded_once() -> None:
    inner = Counting()
    embedder = RememberingEmbedder(inner)
    first = embedder.encode(["plum", "pear", "plum"])
    second = embedder.encode(["pear", "fig"])
    assert inner.asked == ["plum", "pear", "fig"]
    assert np.array_equal(first, HashEmbedder().encode(["plum", "pear", "plum"]))
    assert np.array_equal(second, HashEmbedder().encode(["pear", "fig"]))
    assert embedder.encode([]).shape == (0, embedder.dim)
    assert embedder.name == inner.name
