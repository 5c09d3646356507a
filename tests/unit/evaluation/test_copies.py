"""Copies that are planted are copies, and a copy of a gold document counts as it."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.copies import find_distractors, list_conditions, measure_crowding, plant_copies
from evaluation.datasets import Dataset, Question
from evaluation.searches import Found, Search
from ingest.dedupe import sign
from memory_graph.errors import InvalidInput
from memory_graph.types import Document

DOCUMENTS = tuple(
    Document(id=f"d{n}", title=f"D{n}", text=" ".join(f"w{n}-{m}" for m in range(100))) for n in range(20)
)
QUESTIONS = (
    Question("q1", "one?", ("x",), ("d0",)),
    Question("q2", "two?", ("x",), ("d1", "d2")),
    Question("q3", "declined?", (), ()),
)
SET = Dataset(name="s", documents=DOCUMENTS, questions=QUESTIONS, split="none")


def _search(**ranked: list[str]) -> Search:
    return lambda question, count: Found(ranked[question.removesuffix("?")][:count])


def _quiet(_name: str) -> None:
    pass


def test_distractors_are_what_is_found_first_and_is_not_gold() -> None:
    search = _search(one=["d0", "d5", "d6", "d7"], two=["d5", "d1", "d2", "d8", "d9"])
    assert find_distractors(SET, search, 2) == ["d5", "d6", "d8"]


def test_copies_are_exact_or_near_and_of_distractors_and_others() -> None:
    planted = plant_copies(SET, ["d5", "d6"], 3, seed=1)
    by_id = {document.id: document for document in planted.dataset.documents}
    assert len(by_id) == len(planted.dataset.documents) == 20 + 4 * 3
    assert planted.original.keys() == by_id.keys() - {document.id for document in DOCUMENTS}
    assert {"d5", "d6"} < set(planted.original.values())
    assert len(set(planted.original.values())) == 4
    for copy, original in planted.original.items():
        one, other = sign(by_id[copy]), sign(by_id[original])
        assert (one.text_hash == other.text_hash) == (copy in planted.exact)
        assert one.values is not None
        assert other.values is not None
        assert np.mean(one.values == other.values) > 0.7
    assert len(planted.exact) == 4


def test_the_seed_decides() -> None:
    once, again, other = (plant_copies(SET, ["d5"], 2, seed=seed) for seed in (1, 1, 2))
    assert once == again != other


def test_there_must_be_copies_and_ids_for_them() -> None:
    with pytest.raises(InvalidInput, match="copies"):
        plant_copies(SET, ["d5"], 0)
    taken = Dataset(
        name="s", documents=(*DOCUMENTS, Document(id="d5~copy1", text="x y z")), questions=QUESTIONS, split="none"
    )
    with pytest.raises(InvalidInput, match="d5~copy1"):
        plant_copies(taken, ["d5"], 1)


def test_copies_crowd_out_and_a_copy_of_gold_counts() -> None:
    none = _search(one=["d9", "d0", "d3"], two=["d1", "d2"])
    crowded = _search(one=["d9", "d9~copy1", "d0~copy1"], two=["d1", "d2"])
    original = {"d9~copy1": "d9", "d0~copy1": "d0"}
    first, second = measure_crowding(SET, {"no copies": none, "keep": crowded}, original, progress=_quiet)
    assert first.against_none is None
    assert (first.recall[2].mean, second.recall[2].mean, second.recall[5].mean) == (1.0, 0.5, 1.0)
    assert second.against_none is not None
    assert second.against_none[2].mean == -0.5
    assert (first.different.mean, second.different.mean) == (2.5, 2.0)
    header, _, row = list_conditions([first, second])
    assert header[0] == "2 questions"
    assert row[:2] == ["keep", "50.0"]
    assert row[-1] == "2.0"


def test_a_set_without_gold_documents_is_refused() -> None:
    empty = Dataset(name="s", documents=DOCUMENTS, questions=QUESTIONS[2:], split="none")
    with pytest.raises(InvalidInput, match="gold"):
        measure_crowding(empty, {"no copies": _search()}, {}, progress=_quiet)
