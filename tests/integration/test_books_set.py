"""The questions over books, held to the books where these are there: each quote stands once, in its own passage."""

from __future__ import annotations

from pathlib import Path

import pytest

import evaluation
from evaluation.books import load_books, read_book_questions
from ingest.splitter import Splitter

QUESTIONS = Path(evaluation.__file__).parent / "sets" / "books" / "questions.jsonl"


def test_every_quote_is_found_and_two_hops_need_two_passages(tokenizer_file: Path) -> None:
    roots = [parent / "shared" / "data" / "books" for parent in Path(__file__).parents[2].parents]
    books = next((root for root in roots if root.is_dir()), None)
    if books is None:
        pytest.skip("the books are not there: looked for shared/data/books beside the checkout and above")
    dataset = load_books(books, QUESTIONS, Splitter(tokenizer_file))  # refuses a quote that is not found once
    assert [question.id for question in dataset.questions] == [one.id for one in read_book_questions(QUESTIONS)]
    hops = {question.id: (question.type, len(question.gold_ids)) for question in dataset.questions}
    assert {hop for hop in hops.values()} == {("2hop", 2), ("1hop", 1)}
