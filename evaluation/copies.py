"""Copies that are planted among the documents of a set, and what they do to its questions.

A copy of a gold document counts as that document, since it says the same: what falls is what copies crowd out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from evaluation.datasets import Dataset, Question
from evaluation.metrics import Estimate, estimate_difference, estimate_mean, recall_at_k
from evaluation.report import format_difference
from evaluation.searches import Search
from memory_graph.errors import InvalidInput
from memory_graph.types import Document

KS = (2, 5, 10)
# Of the words of a near copy so many are others: one in fifty, and one at least.
CHANGED_WORDS = 50
FRAME = ("Printed on day {day} of the year, sheet {sheet}.", "End of sheet {sheet}.")


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A set with copies: ``original`` names for each copy the document that it is one of, ``exact`` those not near."""

    dataset: Dataset
    original: Mapping[str, str]
    exact: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A memory and whether copies are folded in it: recall by k in 0..1, and how many different texts ten hits hold."""

    name: str
    recall: Mapping[int, Estimate]
    different: Estimate
    against_none: Mapping[int, Estimate] | None
    """Differences to the memory without copies, paired by question."""


def find_distractors(dataset: Dataset, search: Search, count: int) -> list[str]:
    """Return for each question the ``count`` documents that are found first and are not gold, each once."""
    found: dict[str, None] = {}
    for question in _scored(dataset):
        documents = dict.fromkeys(search(question.question, count + len(question.gold_ids)).documents)
        found |= dict.fromkeys([one for one in documents if one not in question.gold_ids][:count])
    return list(found)


def plant_copies(dataset: Dataset, distractors: Sequence[str], copies: int, *, seed: int = 0) -> Planted:
    """Add ``copies`` copies of each distractor, and of as many documents drawn at random.

    The first copy is exact, the second has other words in it, the third a line before and after it, and so on. All
    documents are shuffled, so a copy may be learned before what it copies. Errors: ``InvalidInput`` for no copies.
    """
    if copies < 1:
        raise InvalidInput("copies", "must be at least 1.")
    chance = random.Random(seed)
    by_id = {document.id: document for document in dataset.documents}
    others = [id for id in by_id if id not in set(distractors)]
    chosen = [*distractors, *chance.sample(others, min(len(distractors), len(others)))]
    words = [word for document in dataset.documents for word in document.text.split()]
    documents, original, exact = list(dataset.documents), {}, set()
    for id in chosen:
        for number in range(copies):
            copy = replace(by_id[id], id=f"{id}~copy{number + 1}", text=_copy(by_id[id], number, words, chance))
            if copy.id in by_id:
                raise InvalidInput("id", f"{copy.id!r} is a document of this set already.")
            documents.append(copy)
            original[copy.id] = id
            if number % 3 == 0:
                exact.add(copy.id)
    chance.shuffle(documents)
    return Planted(dataset=replace(dataset, documents=tuple(documents)), original=original, exact=frozenset(exact))


def measure_crowding(
    dataset: Dataset, searches: Mapping[str, Search], original: Mapping[str, str], *, progress: Callable[[str], None]
) -> list[Condition]:
    """Ask the questions of each memory, the first of which holds no copies."""
    found: list[Condition] = []
    baseline: dict[int, list[float]] = {}
    for name, search in searches.items():
        progress(name)
        recalls: dict[int, list[float]] = {k: [] for k in KS}
        different = []
        for question, ranked in _ask(dataset, search, original):
            for k in KS:
                recalls[k].append(recall_at_k(question.gold_ids, ranked, k))
            different.append(float(len(set(ranked))))
        baseline = baseline or recalls
        found.append(
            Condition(
                name=name,
                recall={k: _mean(values) for k, values in recalls.items()},
                different=_mean(different),
                against_none={k: estimate_difference(recalls[k], baseline[k]) for k in KS} if found else None,
            )
        )
    return found


def list_conditions(conditions: Sequence[Condition]) -> list[list[str]]:
    """Return a row a condition: recall in per cent, the differences in points, and how many hits of ten differ."""
    number = conditions[0].different.n
    rows = [[f"{number} questions", *(f"@{k}" for k in KS), *(f"difference @{k}" for k in KS), "different of 10"]]
    for one in conditions:
        differences = [format_difference(one.against_none[k]) if one.against_none else "" for k in KS]
        rows.append(
            [one.name, *(f"{one.recall[k].mean * 100:.1f}" for k in KS), *differences, f"{one.different.mean:.1f}"]
        )
    return rows


def _ask(dataset: Dataset, search: Search, original: Mapping[str, str]) -> Iterator[tuple[Question, list[str]]]:
    for question in _scored(dataset):
        documents = search(question.question, max(KS)).documents
        yield question, [original.get(document, document) for document in documents[: max(KS)]]


def _scored(dataset: Dataset) -> list[Question]:
    return [question for question in dataset.questions if question.gold_ids]


def _copy(document: Document, number: int, words: Sequence[str], chance: random.Random) -> str:
    if number % 3 == 0:
        return document.text
    if number % 3 == 1:
        own = document.text.split(" ")
        for place in chance.sample(range(len(own)), max(len(own) // CHANGED_WORDS, 1)):
            own[place] = chance.choice(words)
        return " ".join(own)
    before, after = (line.format(day=chance.randint(1, 365), sheet=chance.randint(1, 99)) for line in FRAME)
    return f"{before}\n{document.text}\n{after}"


def _mean(values: Sequence[float]) -> Estimate:
    estimate = estimate_mean(values)
    if estimate is None:
        raise InvalidInput("questions", "none names a gold document: retrieval cannot be scored.")
    return estimate
