"""Books: passages are cut as the product cuts them, and a quote that is not found once is named with its place."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import evaluation
from evaluation.books import BookQuestion, load_books, read_book_questions
from evaluation.datasets import Question
from ingest.splitter import Splitter
from memory_graph.errors import InvalidInput

SHIPPED = Path(evaluation.__file__).parent / "sets" / "books" / "questions.jsonl"
FILLER = " ".join(f"On day {day} the tide came in, and nobody on the quay looked up." for day in range(16))
GOLD = {"file": "harbour.md", "quote": "The keeper was called Orrin."}
QUESTION = {"id": "q1", "question": "Who?", "answers": ["Orrin"], "type": "2hop", "gold": [GOLD]}


@pytest.fixture(scope="module")
def splitter(tokenizer_file: Path) -> Splitter:
    return Splitter(tokenizer_file)


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "shelf"
    folder.mkdir()
    parts = ["# The Harbour", "The keeper was called Orrin.", FILLER, "The lamp was lit by a girl.", FILLER.upper()]
    (folder / "harbour.md").write_text("\n\n".join(parts))
    (folder / "mill.txt").write_text(f"The miller had one goose.\n\n{FILLER}\n\nTwice told. Twice told.\n")
    (folder / "unasked.txt").write_text("Nobody asks about this one.\n")
    return folder


def write_questions(folder: Path, *questions: Any) -> Path:
    path = folder.parent / "questions.jsonl"
    texts = [one if isinstance(one, str) else json.dumps(one) for one in questions]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def test_gold_passages_are_those_that_hold_the_quotes(books: Path, splitter: Splitter) -> None:
    second = {"file": "harbour.md", "quote": "lit by a girl"}
    other = {"file": "mill.txt", "quote": "had one goose"}
    path = write_questions(books, QUESTION | {"gold": [GOLD, second, other]})
    dataset = load_books(books, path, splitter)
    assert (dataset.name, dataset.split) == ("shelf", "none")
    texts = {document.id: document.text for document in dataset.documents}
    gold = dataset.questions[0].gold_ids
    assert gold[0] == "harbour.md#0"
    assert gold[1].startswith("harbour.md#")
    assert gold[1] != gold[0]
    assert gold[2] == "mill.txt#0"
    for id, quote in zip(gold, (GOLD["quote"], second["quote"], other["quote"]), strict=True):
        assert quote in texts[id]
        assert sum(quote in text for text in texts.values()) == 1
    assert {document.title for document in dataset.documents} == {"The Harbour", "mill"}


def test_two_quotes_of_one_passage_make_one_gold_passage(books: Path, splitter: Splitter) -> None:
    path = write_questions(books, QUESTION | {"gold": [GOLD, {"file": "harbour.md", "quote": "keeper was"}]})
    assert load_books(books, path, splitter).questions == (
        Question("q1", "Who?", ("Orrin",), ("harbour.md#0",), "2hop"),
    )


def test_only_the_books_that_are_asked_about_are_taken_or_every_one(books: Path, splitter: Splitter) -> None:
    path = write_questions(books, QUESTION)
    asked, every = (load_books(books, path, splitter, every=every) for every in (False, True))
    assert {document.id.partition("#")[0] for document in asked.documents} == {"harbour.md"}
    assert {document.id.partition("#")[0] for document in every.documents} == {"harbour.md", "mill.txt", "unasked.txt"}


def test_the_passages_are_shuffled_the_same_way_every_time(books: Path, splitter: Splitter) -> None:
    path = write_questions(books, QUESTION)
    first, again, kept = (
        [document.id for document in load_books(books, path, splitter, every=True, seed=seed).documents]
        for seed in (0, 0, None)
    )
    assert first == again
    assert first != kept
    assert sorted(first) == sorted(kept)
    harbour = [id for id in kept if id.startswith("harbour.md")]
    assert harbour == [f"harbour.md#{ordinal}" for ordinal in range(len(harbour))]


@pytest.mark.parametrize(
    ("gold", "field", "message"),
    [
        ([], "gold", "must be a list of one or more"),
        (["harbour.md"], "gold", "must hold objects"),
        ([{"file": "harbour.md"}], "gold: quote", "is missing"),
        ([{"quote": "x"}], "gold: file", "is missing"),
        ([GOLD | {"file": "harbor.md"}], "gold: file", "'harbor.md' is not a file of"),
        ([GOLD | {"quote": "called Orin"}], "gold: quote", "'called Orin' stands nowhere in harbour.md"),
        ([{"file": "mill.txt", "quote": "Twice told."}], "gold: quote", "stands 2 times in mill.txt"),
    ],
)
def test_what_is_wrong_with_gold_is_named_with_its_place(
    books: Path, splitter: Splitter, gold: Any, field: str, message: str
) -> None:
    path = write_questions(books, QUESTION, "", QUESTION | {"id": "q2", "gold": gold})
    with pytest.raises(InvalidInput, match=message) as caught:
        load_books(books, path, splitter)
    assert caught.value.field == f"{path}:3: {field}"


def test_a_quote_over_the_border_of_two_passages_is_refused(books: Path, splitter: Splitter) -> None:
    text = (books / "harbour.md").read_text()
    cut = load_books(books, write_questions(books, QUESTION), splitter, seed=None).documents
    border = text.index(cut[1].text)
    across = text[border - 20 : border + 20]
    assert text.count(across) == 1
    path = write_questions(books, QUESTION | {"gold": [{"file": "harbour.md", "quote": across}]})
    with pytest.raises(InvalidInput, match="runs over the border of two passages"):
        load_books(books, path, splitter)


def test_questions_and_folders_that_cannot_be_used_are_refused(books: Path, splitter: Splitter) -> None:
    with pytest.raises(InvalidInput, match="holds no questions"):
        load_books(books, write_questions(books), splitter)
    with pytest.raises(InvalidInput, match="'q1' was used at"):
        load_books(books, write_questions(books, QUESTION, QUESTION), splitter)
    with pytest.raises(InvalidInput, match="there is no such folder"):
        load_books(books / "absent", write_questions(books, QUESTION), splitter)
    with pytest.raises(InvalidInput, match="there is no such file"):
        load_books(books, books / "absent.jsonl", splitter)


def shipped() -> list[BookQuestion]:
    return read_book_questions(SHIPPED)


def test_the_shipped_questions_are_as_many_and_as_varied_as_they_say() -> None:
    questions = shipped()
    assert Counter(question.type for question in questions) == {"2hop": 70, "1hop": 32}
    two_hop = [question for question in questions if question.type == "2hop"]
    assert len({quote.file for question in two_hop for quote in question.gold}) == 34
    assert sum(len({quote.file for quote in question.gold}) == 2 for question in two_hop) == 5
    assert len({question.question for question in questions}) == len(questions)


def test_the_shipped_questions_need_their_quotes_and_quote_briefly() -> None:
    for question in shipped():
        assert question.answers, question.id
        quotes = [(quote.file, quote.text) for quote in question.gold]
        assert len(set(quotes)) == {"2hop": 2, "1hop": 1}[question.type], question.id
        for _, text in quotes:
            assert len(text.split()) <= 20, question.id
            assert text not in question.question, question.id
