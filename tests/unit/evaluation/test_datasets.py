"""Datasets: both layouts load whole, and what is wrong is named by file, line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.datasets import UNTYPED, Question, limit_questions, load_dataset
from memory_graph.errors import InvalidInput

SAMPLES = Path(__file__).resolve().parents[3] / "samples"

CORPUS = [{"id": f"p{n}", "title": f"Title {n}", "text": f"Text {n}."} for n in range(30)]
QUESTION = {"id": "q1", "question": "What?", "answers": ["Text", "text 2"], "gold_ids": ["p2", "p1"], "type": "2hop"}


def write_lines(path: Path, *lines: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "corpus.jsonl", *CORPUS)
    write_lines(tmp_path / "questions.jsonl", QUESTION)
    return tmp_path


def test_load_reads_a_corpus_of_passages(folder: Path) -> None:
    dataset = load_dataset(folder)
    assert dataset.name == folder.name
    assert dataset.split == "none"
    assert {(d.id, d.title, d.text) for d in dataset.documents} == {(p["id"], p["title"], p["text"]) for p in CORPUS}
    assert dataset.questions == (Question("q1", "What?", ("Text", "text 2"), ("p2", "p1"), "2hop"),)


def test_load_shuffles_the_corpus_the_same_way_every_time(folder: Path) -> None:
    file_order = [passage["id"] for passage in CORPUS]
    first, again, other, kept = (
        [document.id for document in load_dataset(folder, seed=seed).documents] for seed in (0, 0, 1, None)
    )
    assert first == again
    assert first not in (file_order, other)
    assert sorted(first) == sorted(file_order)
    assert kept == file_order


def test_load_reads_files_under_their_names_and_lines_under_their_ids(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    write_lines(documents / "harbour.md", "# Harbour", "", "Boats.")
    write_lines(documents / "old" / "mill.txt", "Mill", "", "Flour.")
    write_lines(documents / "notes.jsonl", {"id": "n1", "title": "One", "text": "First."}, {"text": "No id."})
    question = {"id": "q1", "question": "What?", "answers": ["Boats"], "gold_ids": ["harbour.md", "old/mill.txt", "n1"]}
    write_lines(tmp_path / "questions.jsonl", question)
    write_lines(tmp_path / "unanswerable.jsonl", {"id": "u1", "question": "Who?", "answers": [], "gold_ids": []})
    dataset = load_dataset(tmp_path)
    assert dataset.split == "recursive"
    ids = {document.id for document in dataset.documents}
    assert {"harbour.md", "old/mill.txt", "n1"} < ids
    assert len(ids) == 4
    assert [(question.type, question.unanswerable) for question in dataset.questions] == [
        (UNTYPED, False),
        (UNTYPED, True),
    ]


def test_the_sample_folder_loads() -> None:
    dataset = load_dataset(SAMPLES)
    assert dataset.name == "samples"
    assert dataset.split == "recursive"
    assert len(dataset.documents) == 42
    answerable = [question for question in dataset.questions if not question.unanswerable]
    assert len(answerable) == 20
    assert len(dataset.questions) == 25
    assert all(question.answers and question.gold_ids for question in answerable)
    ids = {document.id for document in dataset.documents}
    assert {gold_id for question in answerable for gold_id in question.gold_ids} <= ids
    assert "lissenholt.md" in ids
    assert "drummoyle-cake" in ids
    assert [question.type for question in answerable].count("two-hop") == 8


def test_a_question_with_gold_documents_and_no_answers_is_not_unanswerable() -> None:
    assert not Question("q", "What?", (), ("p1",)).unanswerable
    assert Question("q", "What?", (), ()).unanswerable


def test_load_passes_over_blank_lines_a_byte_order_mark_and_further_fields(folder: Path) -> None:
    line = json.dumps(QUESTION | {"decomposition": [{"answer": "x"}]})
    (folder / "questions.jsonl").write_bytes(b"\xef\xbb\xbf\r\n" + line.encode() + b"\r\n\r\n")
    assert len(load_dataset(folder).questions) == 1


@pytest.mark.parametrize(
    ("line", "where", "message"),
    [
        ("{", ":2", "is not JSON"),
        ("[1]", ":2", "is not a JSON object"),
        ("[" * 100_000, ":2", "nesting"),
        ({"id": None}, ":2: id", "is missing"),
        ({"id": 7}, ":2: id", "must be a string"),
        ({"id": "q1"}, ":2: id", "was used at"),
        ({"question": " "}, ":2: question", "must be a string that is not empty"),
        ({"question": "\ud800"}, ":2: question", "surrogate"),
        ({"answers": None}, ":2: answers", "is missing"),
        ({"answers": "Text"}, ":2: answers", "must be a list"),
        ({"answers": [2022]}, ":2: answers", "must be a string"),
        ({"answers": ["a", "a"]}, ":2: answers", "twice"),
        ({"gold_ids": None}, ":2: gold_ids", "is missing"),
        ({"gold_ids": ["p1", "p99"]}, ":2: gold_ids", "'p99' is not the id of a document"),
        ({"type": 2}, ":2: type", "must be a string"),
    ],
)
def test_load_names_what_is_wrong_with_a_question(folder: Path, line: Any, where: str, message: str) -> None:
    second = line if isinstance(line, str) else QUESTION | {"id": "q2"} | line
    write_lines(folder / "questions.jsonl", QUESTION, second)
    with pytest.raises(InvalidInput) as caught:
        load_dataset(folder)
    assert caught.value.field == f"{folder / 'questions.jsonl'}{where}"
    assert message in caught.value.message


def test_load_refuses_bytes_that_are_not_utf8(folder: Path) -> None:
    (folder / "questions.jsonl").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(InvalidInput, match=r"questions\.jsonl:1: is not valid UTF-8 at byte 8"):
        load_dataset(folder)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"corpus\.jsonl:4: is not JSON"),
        ({"title": "T", "text": "No id."}, r"corpus\.jsonl:4: id: is missing"),
        ({"id": "p1", "text": "Again."}, r"corpus\.jsonl:4: id: 'p1' was used on line 1"),
        ({"id": "p2"}, r"corpus\.jsonl:4: text: is missing"),
        ({"id": "p2", "text": " "}, r"corpus\.jsonl:4: text: is empty"),
        ({"id": "p2", "text": "Text.", "titel": "T"}, r"corpus\.jsonl:4: titel: is not a known field"),
    ],
)
def test_load_names_what_is_wrong_with_a_passage(folder: Path, line: Any, message: str) -> None:
    write_lines(folder / "corpus.jsonl", {"id": "p1", "text": "One."}, "", "  ", line)
    with pytest.raises(InvalidInput, match=message):
        load_dataset(folder)


def test_load_refuses_two_documents_of_one_id(tmp_path: Path) -> None:
    write_lines(tmp_path / "documents" / "a.md", "Text.")
    write_lines(tmp_path / "documents" / "b.jsonl", {"id": "a.md", "text": "Other."})
    write_lines(tmp_path / "questions.jsonl", QUESTION)
    with pytest.raises(InvalidInput, match=r"id: 'a\.md' is used by two documents"):
        load_dataset(tmp_path)


def test_load_refuses_a_document_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.pdf").write_bytes(b"no pdf")
    with pytest.raises(InvalidInput, match=r"a\.pdf"):
        load_dataset(tmp_path)


def test_load_refuses_folders_that_are_no_dataset(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no such folder"):
        load_dataset(tmp_path / "absent")
    write_lines(folder / "questions.jsonl")
    with pytest.raises(InvalidInput, match="holds no questions"):
        load_dataset(folder)
    (folder / "questions.jsonl").unlink()
    with pytest.raises(InvalidInput, match=r"questions\.jsonl: there is no such file"):
        load_dataset(folder)
    (folder / "documents").mkdir()
    with pytest.raises(InvalidInput, match="holds both"):
        load_dataset(folder)
    (folder / "corpus.jsonl").unlink()
    with pytest.raises(InvalidInput, match="documents: holds no documents"):
        load_dataset(folder)
    (folder / "documents").rmdir()
    with pytest.raises(InvalidInput, match="holds neither"):
        load_dataset(folder)


def test_load_refuses_answers_to_an_unanswerable_question(folder: Path) -> None:
    write_lines(folder / "unanswerable.jsonl", QUESTION | {"id": "u1"})
    with pytest.raises(InvalidInput, match=r"unanswerable\.jsonl:1: answers: must be empty"):
        load_dataset(folder)


def test_limit_draws_questions_and_keeps_their_order() -> None:
    samples = load_dataset(SAMPLES)
    drawn = limit_questions(samples, 8)
    assert len(drawn.questions) == 8
    assert drawn.documents == samples.documents
    assert drawn == limit_questions(samples, 8)
    places = [samples.questions.index(question) for question in drawn.questions]
    assert places == sorted(places)
    assert places != list(range(8))
    assert limit_questions(samples, 1000) == samples
    with pytest.raises(InvalidInput, match="limit: must be at least 1"):
        limit_questions(samples, 0)
