"""Questions of learned sets with known gold documents: what rankers are learned from and rankings scored on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.datasets import Dataset
from evaluation.metrics import Estimate, estimate_mean, recall_at_k
from retrieval.view import View

SUB_QUESTION = "sub-question"
KS = (2, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question to learn from: which documents are gold, and which questions share its fold."""

    question: str
    gold_ids: tuple[str, ...]
    group: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Taught:
    """A set that was learned into a memory: its view, and the document's id of each row of passages.

    ``remade`` are views of the same passages, in the same rows, whose graph was made in other ways, by their names.
    """

    name: str
    view: View
    document_of: Sequence[str]
    questions: Sequence[Asked]
    remade: Mapping[str, View] = field(default_factory=dict)


def read_sub_questions(folder: Path, dataset: Dataset) -> list[Asked]:
    """Return the single-hop questions of a set whose lines have a ``decomposition``, answers put in for ``#1``, ….

    Those that are no sentence ("Carl Zeiss >> country") are left out.
    """
    known, found = {document.id for document in dataset.documents}, []
    for line in (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        raw = json.loads(line) if line.strip() else {}
        answers: list[str] = []
        for step in raw.get("decomposition", ()):
            text = step["question"]
            for number, answer in enumerate(answers, start=1):
                text = text.replace(f"#{number}", answer)
            answers.append(step["answer"])
            if ">>" not in text and step["gold_id"] in known:
                group, gold = f"{dataset.name}/{raw['id']}", (step["gold_id"],)
                found.append(Asked(question=text, gold_ids=gold, group=group, type=SUB_QUESTION))
    return found


def questions_of(dataset: Dataset) -> list[Asked]:
    """Return the questions of a set that have gold documents."""
    return [
        Asked(question=one.question, gold_ids=one.gold_ids, group=f"{dataset.name}/{one.id}", type=dataset.name)
        for one in dataset.questions
        if one.gold_ids
    ]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Recall at 2, 5 and 10 of one way of ranking, by kind of question: each scored without having learned from it.

    ``values`` are those of the questions, in their order.
    """

    name: str
    values: dict[str, dict[int, list[float]]]

    @property
    def recall(self) -> dict[str, dict[int, Estimate]]:
        """The means with their intervals."""
        return {
            kind: {k: estimate for k, found in by_k.items() if (estimate := estimate_mean(found))}
            for kind, by_k in self.values.items()
        }


def score_rankings(name: str, ranked: Iterable[tuple[Taught, Asked, Sequence[int]]]) -> Scores:
    """Score rankings of passages, rows best first: of several of one document, the best placed counts."""
    values: dict[str, dict[int, list[float]]] = {}
    for taught, asked, rows in ranked:
        documents = list(dict.fromkeys(taught.document_of[row] for row in rows))
        for k, of_kind in values.setdefault(asked.type, {k: [] for k in KS}).items():
            of_kind.append(recall_at_k(asked.gold_ids, documents, k))
    return Scores(name=name, values=values)
