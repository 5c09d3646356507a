"""LoCoMo: questions about long conversations, whose evidence are single turns (Maharana et al. 2024, arXiv:2402.17753).

A conversation is a memory of its own, as it is for the two who talk: a question is asked of that memory alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evaluation.datasets import Dataset, Question
from evaluation.lines import check_text, check_texts, read_objects
from evaluation.metrics import Estimate, estimate_difference, estimate_mean
from evaluation.retrieval_eval import RankedQuestion, RetrievalReport, Scores, evaluate_retrieval, nest_scores
from evaluation.searches import Search
from ingest.files import show_path
from ingest.formats import clean_text
from memory_graph.errors import InvalidInput
from memory_graph.types import Document

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "adversarial"}
"""The data's numbers and the names of the paper's types."""
UNANSWERABLE = CATEGORIES[5]
"""Asks for what was never said: its turns tempt, and finding them is scored, but apart from the others."""
KS = (5, 10)
MEASURES = tuple(f"recall@{k}" for k in KS)

_TIME = "%I:%M %p on %d %B, %Y"


@dataclass(frozen=True, kw_only=True)
class LocomoReport:
    """How one way of searching did, by conversation; scores in 0..1 are means over questions."""

    way: str
    conversations: Mapping[str, RetrievalReport]

    def rows(self, *, category: str | None = None) -> list[RankedQuestion]:
        """Return the questions of all conversations: of one category, or all that can be answered."""
        return [
            row
            for report in self.conversations.values()
            for row in report.rows
            if (row.type == category if category else row.type != UNANSWERABLE)
        ]

    @property
    def answerable(self) -> Scores:
        """The scores over all questions that can be answered, each counting the same."""
        return average(self.rows())

    @property
    def by_category(self) -> dict[str, Scores]:
        """The scores of each category that has questions, in the order of the data's numbers."""
        rows = {name: self.rows(category=name) for name in CATEGORIES.values()}
        return {name: average(some) for name, some in rows.items() if some}

    @property
    def by_conversation(self) -> dict[str, Scores]:
        """The scores of each conversation over its questions that can be answered."""
        rows = {
            name: [row for row in report.rows if row.type != UNANSWERABLE]
            for name, report in self.conversations.items()
        }
        return {name: average(some) for name, some in rows.items() if some}

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes."""
        return {
            "way": self.way,
            "n_questions": len(self.rows()),
            "answerable": nest_scores(self.answerable),
            "by_category": {name: nest_scores(scores) for name, scores in self.by_category.items()},
            "by_conversation": {name: nest_scores(scores) for name, scores in self.by_conversation.items()},
            "conversations": {name: report.to_json() for name, report in self.conversations.items()},
        }


def load_locomo(folder: Path) -> list[Dataset]:
    """Read ``corpus.jsonl`` (a dated turn a line) and ``questions.jsonl``, a data set a conversation.

    A turn becomes "speaker (day): text", with the caption of its picture where it has one, under the title of its
    session. The data says no time zone: its times are taken as UTC. A question of category 5 has no answers.
    Errors: ``InvalidInput`` naming the file, the line and the field.
    """
    if not folder.is_dir():
        raise InvalidInput(show_path(folder), "there is no such folder.")
    turns: dict[str, list[Document]] = {}
    places: dict[str, str] = {}
    for place, fields in read_objects(folder / "corpus.jsonl"):
        turn = _read_turn(place, fields)
        _check_new(place, turn.id, places)
        turns.setdefault(check_text(f"{place}: conversation", fields.get("conversation")), []).append(turn)
    questions: dict[str, list[Question]] = {name: [] for name in turns}
    places = {}
    for place, fields in read_objects(folder / "questions.jsonl"):
        conversation = check_text(f"{place}: conversation", fields.get("conversation"))
        if conversation not in turns:
            raise InvalidInput(f"{place}: conversation", f"{conversation!r} has no turns in corpus.jsonl.")
        question = _read_question(place, fields)
        _check_new(place, question.id, places)
        known = {turn.id for turn in turns[conversation]}
        for gold_id in question.gold_ids:
            if gold_id not in known:
                raise InvalidInput(f"{place}: gold_ids", f"{gold_id!r} is not the id of a turn of {conversation!r}.")
        questions[conversation].append(question)
    if not any(questions.values()):
        raise InvalidInput(show_path(folder / "questions.jsonl"), "holds no questions.")
    return [Dataset(name, tuple(turns[name]), tuple(some), "none") for name, some in questions.items() if some]


def evaluate_locomo(
    datasets: Sequence[Dataset], search: Callable[[Dataset], Search], *, way: str = "search"
) -> LocomoReport:
    """Ask each conversation's questions of its own memory, which ``search`` gives for its data set."""
    return LocomoReport(
        way=way,
        conversations={
            dataset.name: evaluate_retrieval(dataset, search(dataset), KS, way=way)
            for dataset in datasets
            if any(question.gold_ids for question in dataset.questions)
        },
    )


def average(rows: Sequence[RankedQuestion]) -> Scores:
    """Return the mean of each measure over questions, none where there are no questions."""
    if not rows:
        return {}
    estimates = {name: estimate_mean([row.scores[name] for row in rows]) for name in rows[0].scores}
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def compare_locomo(report: LocomoReport, against: LocomoReport, measure: str) -> Estimate:
    """Return how much more ``report`` scores over the questions that can be answered: a paired difference in -1..1.

    Errors: ``InvalidInput`` where they are not of the same questions.
    """
    ours, theirs = report.rows(), against.rows()
    if [row.id for row in ours] != [row.id for row in theirs]:
        raise InvalidInput("against", "is of other questions: only scores of the same questions can be paired.")
    return estimate_difference([row.scores[measure] for row in ours], [row.scores[measure] for row in theirs])


def _read_turn(place: str, fields: Mapping[str, Any]) -> Document:
    speaker, text = (check_text(f"{place}: {name}", fields.get(name)) for name in ("speaker", "text"))
    said = check_text(f"{place}: datetime", fields.get("datetime"))
    try:
        time = datetime.strptime(said, _TIME).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(f"{place}: datetime", f'{said!r} is not a time like "1:56 pm on 8 May, 2023".') from None
    session = check_text(f"{place}: session", fields.get("session"))
    caption = fields.get("image_caption")
    picture = f" [picture: {check_text(f'{place}: image_caption', caption)}]" if caption is not None else ""
    return Document(
        id=check_text(f"{place}: id", fields.get("id")),
        text=clean_text(f"{speaker} ({time.day} {time:%B %Y}): {text}{picture}"),
        title=session.replace("_", " ").capitalize(),
        metadata={"speaker": speaker, "session": session},
        occurred_at=time,
    )


def _read_question(place: str, fields: Mapping[str, Any]) -> Question:
    number, answer = fields.get("category"), fields.get("answer")
    category = CATEGORIES.get(number) if isinstance(number, int) and not isinstance(number, bool) else None
    if category is None:
        raise InvalidInput(f"{place}: category", f"must be a number from 1 to 5, not {number!r}.")
    if isinstance(answer, int):  # a year
        answer = str(answer)
    answers = () if category == UNANSWERABLE else (check_text(f"{place}: answer", answer),)
    return Question(
        id=check_text(f"{place}: id", fields.get("id")),
        question=check_text(f"{place}: question", fields.get("question")),
        answers=answers,
        gold_ids=check_texts(f"{place}: gold_ids", fields.get("gold_ids")),
        type=category,
    )


def _check_new(place: str, id: str, places: dict[str, str]) -> None:
    first = places.setdefault(id, place)
    if first != place:
        raise InvalidInput(f"{place}: id", f"{id!r} was used at {first} already. Ids must differ.")
