"""Questions with known answers over known documents, read from a folder and checked before anything runs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from evaluation.lines import check_text, check_texts, read_objects
from ingest.readers import content_id, find_files, read_file
from memory_graph.errors import InvalidInput, UnreadableDocument
from memory_graph.types import Document

Split: TypeAlias = Literal["none", "recursive"]

UNTYPED = "untyped"


@dataclass(frozen=True)
class Question:
    """A question and what is known about it.

    ``answers`` are the accepted spellings, ``gold_ids`` the documents that carry the answer. No answers but gold
    documents: it scores retrieval only. Neither: the documents do not hold the answer, and declining is right.
    """

    id: str
    question: str
    answers: tuple[str, ...]
    gold_ids: tuple[str, ...]
    type: str = UNTYPED

    @property
    def unanswerable(self) -> bool:
        """Whether the right reply is to decline."""
        return not self.answers and not self.gold_ids


@dataclass
class Dataset:
    """Documents and the questions to ask about them; ``split`` says how the documents become passages."""

    name: str
    documents: tuple[Document, ...]
    questions: tuple[Question, ...]
    split: Split


def load_dataset(folder: Path, *, seed: int | None = 0) -> Dataset:
    """Read a folder of ``corpus.jsonl`` (a passage a line) or ``documents/``, with ``questions.jsonl``.

    ``unanswerable.jsonl`` adds to the questions where it exists. The documents are shuffled with ``seed``, because
    gold documents of one question often stand next to each other in a file and a ranking must not profit from that;
    None keeps their order. Errors: ``InvalidInput`` naming the file, the line and the field.
    """
    if not folder.is_dir():
        raise InvalidInput(str(folder), "there is no such folder.")
    corpus, files = folder / "corpus.jsonl", folder / "documents"
    if corpus.exists() == files.exists():
        found = "both" if corpus.exists() else "neither"
        raise InvalidInput(str(folder), f"must hold either corpus.jsonl or documents/, but holds {found}.")
    documents = list(_read_corpus(corpus) if corpus.exists() else read_documents(files))
    known: set[str] = set()
    for document in documents:
        if document.id in known:
            raise InvalidInput(str(files), f"id: {document.id!r} is used by two documents. Ids must differ.")
        known.add(document.id)
    if seed is not None:
        random.Random(seed).shuffle(documents)
    return Dataset(
        name=folder.resolve().name,
        documents=tuple(documents),
        questions=tuple(_read_questions(folder, known)),
        split="none" if corpus.exists() else "recursive",
    )


def limit_questions(dataset: Dataset, limit: int, *, seed: int = 0) -> Dataset:
    """Keep ``limit`` questions drawn with ``seed``, in their order, and all documents.

    Drawn, not the first ones: sets are often sorted by type. Errors: ``InvalidInput`` for a limit below 1.
    """
    if limit < 1:
        raise InvalidInput("limit", "must be at least 1.")
    count = len(dataset.questions)
    drawn = sorted(random.Random(seed).sample(range(count), min(limit, count)))
    return replace(dataset, questions=tuple(dataset.questions[index] for index in drawn))


def _read_corpus(path: Path) -> Iterator[Document]:
    for number, document in enumerate(_refuse_unreadable(read_file(path))):
        # The reader makes an id from the content where there is none; here questions must be able to name it.
        if document.id == content_id(document.title, document.text):
            lines = [line for line, text in enumerate(path.read_bytes().split(b"\n"), start=1) if text.strip()]
            raise InvalidInput(f"{path}:{lines[number]}: id", "is missing.")
        yield document


def read_documents(folder: Path) -> Iterator[Document]:
    """Read the files of a folder; their id is their path in it, or each line's own for ``.jsonl``.

    Errors: ``InvalidInput`` for a file that cannot be read, or none at all.
    """
    found = False
    for item in find_files([folder]):
        if isinstance(item, UnreadableDocument):
            raise InvalidInput(item.name, item.detail)
        for document in _refuse_unreadable(read_file(item)):
            found = True
            own_id = item.suffix.lower() == ".jsonl"
            yield document if own_id else replace(document, id=item.relative_to(folder).as_posix())
    if not found:
        raise InvalidInput(str(folder), "holds no documents.")


def _refuse_unreadable(items: Iterable[Document | UnreadableDocument]) -> Iterator[Document]:
    for item in items:
        if isinstance(item, UnreadableDocument):
            raise InvalidInput(item.name, item.detail)
        yield item


def _read_questions(folder: Path, known: set[str]) -> Iterator[Question]:
    places: dict[str, str] = {}
    for name in ("questions.jsonl", "unanswerable.jsonl"):
        path = folder / name
        if name == "unanswerable.jsonl" and not path.exists():
            continue
        for place, fields in read_objects(path):
            question = _parse_question(place, fields)
            first = places.setdefault(question.id, place)
            if first != place:
                raise InvalidInput(f"{place}: id", f"{question.id!r} was used at {first} already. Ids must differ.")
            for gold_id in question.gold_ids:
                if gold_id not in known:
                    raise InvalidInput(f"{place}: gold_ids", f"{gold_id!r} is not the id of a document of this set.")
            if name == "unanswerable.jsonl" and not question.unanswerable:
                raise InvalidInput(f"{place}: answers", "must be empty here, and gold_ids too.")
            yield question
    if not places:
        raise InvalidInput(str(folder / "questions.jsonl"), "holds no questions.")


def _parse_question(place: str, fields: dict[str, Any]) -> Question:
    return Question(
        id=check_text(f"{place}: id", fields.get("id")),
        question=check_text(f"{place}: question", fields.get("question")),
        answers=check_texts(f"{place}: answers", fields.get("answers")),
        gold_ids=check_texts(f"{place}: gold_ids", fields.get("gold_ids")),
        type=check_text(f"{place}: type", fields.get("type", UNTYPED)),
    )
