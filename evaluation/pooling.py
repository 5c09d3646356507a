"""Scale drift: the same questions in a larger memory, with the passages of other sets and of books as distractors."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evaluation.books import cut_book
from evaluation.datasets import Dataset, Question, read_documents
from evaluation.retrieval_eval import RetrievalReport, Scores, compare_reports, nest_scores
from ingest.files import show_path
from ingest.splitter import SplitParams, Splitter
from memory_graph.errors import InvalidInput
from memory_graph.types import Document

SIZES = (220, 160, 110, 80, 64)
"""The most tokens of a distractor, tried from the splitter's default down to the least that it allows."""

_MIN_SHARE = 120 / 220  # of the most tokens: the splitter's defaults


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How one way of searching did on one set, in its own memory and in a larger one, on the same questions."""

    set: str
    memory: str
    """What the larger memory holds."""
    passages_alone: int
    passages: int
    alone: RetrievalReport
    pooled: RetrievalReport

    @property
    def change(self) -> Scores:
        """What the larger memory changes, by measure: paired differences in -1..1, below 0 where it falls."""
        return compare_reports(self.pooled, self.alone)

    def to_json(self) -> dict[str, Any]:
        """Return the figures as what ``json.dumps`` takes."""
        return {
            "set": self.set,
            "memory": self.memory,
            "way": self.alone.way,
            "passages_alone": self.passages_alone,
            "passages": self.passages,
            "alone": self.alone.to_json(),
            "pooled": self.pooled.to_json(),
            "change": nest_scores(self.change),
        }


def pool_sets(datasets: Sequence[Dataset], *, seed: int = 0) -> list[Dataset]:
    """Return the sets with the passages of all of them: the same documents in each, its own questions.

    Ids become ``set:id``. A passage that several sets hold, with equal title and text, is pooled once: a second copy of
    a gold passage would count as a miss. Shuffled with ``seed``.
    Errors: ``InvalidInput`` for sets of one name, or one whose documents are not passages yet.
    """
    names = [dataset.name for dataset in datasets]
    for dataset in datasets:
        if dataset.split != "none":
            raise InvalidInput(dataset.name, "must hold corpus.jsonl, a passage a line: others are not pooled.")
        if names.count(dataset.name) > 1:
            raise InvalidInput(dataset.name, "is the name of two sets. Give folders of different names.")
    first: dict[tuple[str, str], str] = {}
    ids: dict[str, str] = {}  # of a set's passage → of the passage that stands for it
    documents = []
    for dataset in datasets:
        for document in dataset.documents:
            id = f"{dataset.name}:{document.id}"
            ids[id] = first.setdefault((document.title, document.text), id)
            if ids[id] == id:
                documents.append(replace(document, id=id))
    random.Random(seed).shuffle(documents)
    return [
        replace(
            dataset,
            documents=tuple(documents),
            questions=tuple(_point(question, dataset.name, ids) for question in dataset.questions),
        )
        for dataset in datasets
    ]


def add_distractors(datasets: Sequence[Dataset], distractors: Sequence[Document], *, seed: int = 0) -> list[Dataset]:
    """Return pooled sets with further passages among theirs, shuffled with ``seed``; ids become ``books:id``."""
    documents = [*datasets[0].documents, *(replace(document, id=f"books:{document.id}") for document in distractors)]
    random.Random(seed).shuffle(documents)
    return [replace(dataset, documents=tuple(documents)) for dataset in datasets]


def cut_distractors(
    folder: Path,
    count: int,
    tokenizer_file: Path,
    *,
    sizes: Sequence[int] = SIZES,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> tuple[list[Document], int]:
    """Return ``count`` passages of the books in a folder, drawn with ``seed``, and the most tokens that each has.

    Passages are as long as the splitter makes them by default where that gives enough, else the books are cut into
    shorter ones: the longest of ``sizes`` that gives enough. No text comes twice.
    Errors: ``InvalidInput`` where the shortest give too few.
    """
    books = list(read_documents(folder))
    cut: list[Document] = []
    for size in sizes:
        if progress is not None:
            progress(f"Cutting {len(books)} books into passages of at most {size} tokens")
        splitter = Splitter(tokenizer_file, SplitParams(max_tokens=size, min_tokens=int(size * _MIN_SHARE)))
        cut = [passage for book in books for passage in cut_book(book, splitter)]
        if len(cut) >= count:
            return random.Random(seed).sample(cut, count), size
    raise InvalidInput("--passages", f"must be at most {len(cut)}: {show_path(folder)} gives no more, not {count}.")


def measure_drift(
    alone: Mapping[str, Sequence[RetrievalReport]],
    pooled: Mapping[str, Sequence[RetrievalReport]],
    *,
    memory: str,
    passages_alone: Mapping[str, int],
    passages: int,
) -> list[Drift]:
    """Pair what each way found for each set, in its own memory and in the larger one; both in the same order."""
    return [
        Drift(
            set=name,
            memory=memory,
            passages_alone=passages_alone[name],
            passages=passages,
            alone=ours,
            pooled=theirs,
        )
        for name, reports in alone.items()
        for ours, theirs in zip(reports, pooled[name], strict=True)
    ]


def _point(question: Question, name: str, ids: Mapping[str, str]) -> Question:
    return replace(question, gold_ids=tuple(dict.fromkeys(ids[f"{name}:{id}"] for id in question.gold_ids)))
