"""Questions over whole books, whose gold passages are found by a short quote from each.

A book is cut by the product's own splitter, and each passage is a document of its own: so a ranking is scored by
passages, and what the questions point at does not move when the splitter changes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.datasets import UNTYPED, Dataset, Question, read_documents
from evaluation.lines import check_text, check_texts, read_objects
from ingest.files import show_path
from ingest.splitter import Splitter
from memory_graph.errors import InvalidInput
from memory_graph.types import Document


@dataclass(frozen=True, kw_only=True)
class Quote:
    """A few words that stand in one place of one file, and where they were asked for (file, line and field)."""

    file: str
    text: str
    place: str


@dataclass(frozen=True, kw_only=True)
class BookQuestion:
    """A question as it was written: its gold passages are those that hold the quotes."""

    id: str
    question: str
    answers: tuple[str, ...]
    type: str
    gold: tuple[Quote, ...]


def load_books(
    folder: Path, questions: Path, splitter: Splitter, *, every: bool = False, seed: int | None = 0
) -> Dataset:
    """Cut the books of a folder into passages, and find the passages that the questions of a file need.

    Only the books that a question needs are taken, or ``every`` one. A passage's id is ``file#ordinal``, its title the
    book's. The passages are shuffled with ``seed``, since gold passages may be neighbours; None keeps their order.
    Errors: ``InvalidInput`` naming file, line and field, and the quote where it stands nowhere or twice.
    """
    if not folder.is_dir():
        raise InvalidInput(show_path(folder), "there is no such folder.")
    asked = read_book_questions(questions)
    needed = {quote.file for question in asked for quote in question.gold}
    books = {book.id: book for book in read_documents(folder) if every or book.id in needed}
    passages = {id: cut_book(book, splitter) for id, book in books.items()}
    found = tuple(
        Question(
            question.id,
            question.question,
            question.answers,
            tuple(dict.fromkeys(_find_passage(quote, folder, books, passages) for quote in question.gold)),
            question.type,
        )
        for question in asked
    )
    documents = [passage for cut in passages.values() for passage in cut]
    if seed is not None:
        random.Random(seed).shuffle(documents)
    return Dataset(name=folder.resolve().name, documents=tuple(documents), questions=found, split="none")


def read_book_questions(path: Path) -> list[BookQuestion]:
    """Read the questions of a file, a JSON object a line; errors: ``InvalidInput`` naming file, line and field."""
    places: dict[str, str] = {}
    questions = []
    for place, fields in read_objects(path):
        question = BookQuestion(
            id=check_text(f"{place}: id", fields.get("id")),
            question=check_text(f"{place}: question", fields.get("question")),
            answers=check_texts(f"{place}: answers", fields.get("answers")),
            type=check_text(f"{place}: type", fields.get("type", UNTYPED)),
            gold=tuple(_read_gold(f"{place}: gold", fields.get("gold"))),
        )
        first = places.setdefault(question.id, place)
        if first != place:
            raise InvalidInput(f"{place}: id", f"{question.id!r} was used at {first} already. Ids must differ.")
        questions.append(question)
    if not questions:
        raise InvalidInput(show_path(path), "holds no questions.")
    return questions


def cut_book(book: Document, splitter: Splitter) -> list[Document]:
    """Return the passages of a book as documents of their own, in order."""
    return [
        Document(
            id=f"{book.id}#{passage.ordinal}",
            title=book.title,
            text=passage.text,
            source=book.source,
            metadata=book.metadata,
            occurred_at=book.occurred_at,
        )
        for passage in splitter.split(book)
    ]


def _read_gold(where: str, value: Any) -> Iterator[Quote]:
    if not isinstance(value, list) or not value:
        raise InvalidInput(where, 'must be a list of one or more {"file": …, "quote": …}.')
    for item in value:
        if not isinstance(item, dict):
            raise InvalidInput(where, 'must hold objects like {"file": …, "quote": …}.')
        file = check_text(f"{where}: file", item.get("file"))
        yield Quote(file=file, text=check_text(f"{where}: quote", item.get("quote")), place=where)


def _find_passage(quote: Quote, folder: Path, books: dict[str, Document], passages: dict[str, list[Document]]) -> str:
    """Return the id of the passage that holds a quote."""
    book = books.get(quote.file)
    if book is None:
        raise InvalidInput(f"{quote.place}: file", f"{quote.file!r} is not a file of {show_path(folder)}.")
    times = book.text.count(quote.text)
    if times != 1:
        found = "nowhere" if times == 0 else f"{times} times"
        raise InvalidInput(
            f"{quote.place}: quote", f"{quote.text!r} stands {found} in {quote.file}; it must stand once."
        )
    for passage in passages[quote.file]:
        if quote.text in passage.text:
            return passage.id
    raise InvalidInput(
        f"{quote.place}: quote",
        f"{quote.text!r} runs over the border of two passages of {quote.file}; take fewer words.",
    )
