"""Triples that a model made go through the product's own pipeline, and bad files are refused with their line."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evaluation.datasets import Dataset, load_dataset
from evaluation.openie import OpenieExtractor, count_tokens, openie_extractions, read_openie
from ingest.extraction_pool import ExtractionPool
from memory_graph.errors import InvalidInput
from memory_graph.types import Mention, Triple
from service.cli import app
from tests.unit.factories import write_lines

LINES: list[dict[str, Any]] = [
    {
        "id": "quill",
        "entities": ["Ada Quill", "the Old Mill Society", "Ada Quill"],
        "triples": [
            ["Ada Quill", "founded", "the Old Mill Society"],
            ["Ada Quill", "founded", "the Old Mill Society"],
            ["Ada Quill", "is tall"],
            ["…", "is", "Ada Quill"],
        ],
    },
    {"id": "mill", "entities": [], "triples": [["Old Mill Society", "owns", "a mill by the lake"]]},
]


def make_set(folder: Path, *lines: Any) -> tuple[Dataset, Path]:
    write_lines(
        folder / "corpus.jsonl",
        {"id": "quill", "title": "Ada Quill", "text": "Ada Quill founded a society.\nADA  QUILL led it."},
        {"id": "mill", "title": "Old Mill Society", "text": "It owns a mill."},
    )
    question = {"id": "q", "question": "Who founded what owns a mill?", "answers": [], "gold_ids": ["quill", "mill"]}
    write_lines(folder / "questions.jsonl", question)
    return load_dataset(folder), write_lines(folder / "openie.jsonl", *lines)


def test_what_a_line_says_is_what_its_passage_holds(tmp_path: Path) -> None:
    dataset, path = make_set(tmp_path, *LINES)
    readings = read_openie(path, dataset)
    assert readings["quill"].left_out == 1
    texts = {document.id: document.text for document in dataset.documents}
    extractor = OpenieExtractor(openie_extractions(dataset, readings))
    mill, quill = extractor.extract([texts["mill"], texts["quill"]])
    assert quill.triples == (Triple("Ada Quill", "founded", "Old Mill Society"),)
    assert quill.mentions == (Mention("Ada Quill", 2), Mention("Old Mill Society", 1))
    assert mill.triples == (Triple("Old Mill Society", "owns", "mill by the lake"),)
    assert mill.mentions == ()


def test_it_runs_in_the_child_process_like_any_extractor(tmp_path: Path) -> None:
    dataset, path = make_set(tmp_path, *LINES)
    extractions = openie_extractions(dataset, read_openie(path, dataset))
    texts = [document.text for document in dataset.documents]
    pool = ExtractionPool(partial(OpenieExtractor, extractions))
    try:
        found, _ = pool.collect(texts, pool.submit(texts))
    finally:
        pool.close()
    assert found == OpenieExtractor(extractions).extract(texts)


def test_equal_texts_share_what_was_read_in_either(tmp_path: Path) -> None:
    write_lines(tmp_path / "corpus.jsonl", *({"id": id_, "title": id_, "text": "Same words."} for id_ in "ab"))
    write_lines(tmp_path / "questions.jsonl", {"id": "q", "question": "?", "answers": [], "gold_ids": ["a"]})
    lines = [{"id": id_, "entities": [name], "triples": []} for id_, name in (("a", "Same"), ("b", "Words"))]
    dataset = load_dataset(tmp_path)
    readings = read_openie(write_lines(tmp_path / "openie.jsonl", *lines), dataset)
    (found,) = OpenieExtractor(openie_extractions(dataset, readings)).extract(["Same words."])
    assert {mention.text for mention in found.mentions} == {"Same", "Words"}
    with pytest.raises(InvalidInput, match="--openie"):
        OpenieExtractor(openie_extractions(dataset, readings)).extract(["Other words."])


def test_tokens_are_counted_where_every_line_gives_them(tmp_path: Path) -> None:
    dataset, path = make_set(tmp_path, *(line | {"tokens": 700} for line in LINES))
    assert count_tokens(read_openie(path, dataset)) == 1400
    dataset, path = make_set(tmp_path, LINES[0] | {"tokens": 700}, LINES[1])
    assert count_tokens(read_openie(path, dataset)) is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"id": None}, ":2: id"),
        ({"id": "nobody"}, ":2: id"),
        ({"id": "quill"}, ":2: id"),
        ({"entities": None}, ":2: entities"),
        ({"entities": "Ada"}, ":2: entities"),
        ({"entities": ["Ada", 7]}, ":2: entities"),
        ({"entities": [" "]}, ":2: entities"),
        ({"triples": {}}, ":2: triples"),
        ({"triples": [["a", "b", "c"], "a b c"]}, ":2: triples, number 2"),
        ({"triples": [["a", "b", None]]}, ":2: triples, number 1"),
        ({"triples": [["a", "b", "\ud800"]]}, ":2: triples, number 1"),
        ({"tokens": -1}, ":2: tokens"),
        ({"tokens": True}, ":2: tokens"),
        ({"tokens": "700"}, ":2: tokens"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(tmp_path: Path, change: dict[str, Any], where: str) -> None:
    dataset, path = make_set(tmp_path, LINES[0], LINES[1] | change)
    with pytest.raises(InvalidInput) as caught:
        read_openie(path, dataset)
    assert f"{path}{where}" in caught.value.message


def test_a_document_without_a_line_is_named(tmp_path: Path) -> None:
    dataset, path = make_set(tmp_path, LINES[0])
    with pytest.raises(InvalidInput, match="'mill'"):
        read_openie(path, dataset)
    path.unlink()
    with pytest.raises(InvalidInput, match=r"openie\.jsonl"):
        read_openie(path, dataset)


def test_documents_that_are_split_have_no_lines(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.md").write_text("Ada Quill founded a society.")
    write_lines(tmp_path / "questions.jsonl", {"id": "q", "question": "?", "answers": [], "gold_ids": ["a.md"]})
    with pytest.raises(InvalidInput, match="--openie"):
        read_openie(tmp_path / "openie.jsonl", load_dataset(tmp_path))


def test_eval_learns_a_memory_of_the_triples(tmp_path: Path) -> None:
    _, path = make_set(tmp_path, *LINES)
    given = ["eval", str(tmp_path), "--openie", str(path), "--mode", "graph"]
    ran = CliRunner().invoke(app, [*given, "--parity", "--json"])
    assert ran.exit_code == 0, ran.output
    own, parity = json.loads(ran.stdout)["retrieval"]
    assert (own["way"], parity["way"]) == ("graph", "parity")
    assert own["recall"]["2"]["mean"] == parity["recall"]["2"]["mean"] == 1.0
    ran = CliRunner().invoke(app, ["eval", str(tmp_path), "--openie", str(tmp_path / "none.jsonl")])
    assert isinstance(ran.exception, InvalidInput)
    ran = CliRunner().invoke(app, ["eval", str(tmp_path), "--parity"])
    assert "--openie" in str(ran.exception)
