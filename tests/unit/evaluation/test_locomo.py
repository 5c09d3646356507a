"""LoCoMo: dated turns become memories of their own, and the adversarial questions stay apart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from evaluation.datasets import Dataset
from evaluation.locomo import LocomoReport, compare_locomo, evaluate_locomo, load_locomo
from evaluation.searches import Found, Search
from evaluation.set_report import tabulate_categories, tabulate_conversations
from memory_graph.errors import InvalidInput

TURN = {
    "id": "c1:D1:1",
    "conversation": "c1",
    "session": "session_1",
    "datetime": "1:56 pm on 8 May, 2023",
    "speaker": "Ada",
    "text": "I planted a plum tree.",
}
TURNS = [
    TURN,
    TURN | {"id": "c1:D2:1", "session": "session_2", "datetime": "12:05 am on 9 June, 2023", "text": "It blooms!"},
    TURN | {"id": "c1:D2:2", "session": "session_2", "speaker": "Bo", "text": "Look.", "image_caption": "a white tree"},
    TURN | {"id": "c2:D1:1", "conversation": "c2", "speaker": "Cy", "text": "I sold the boat."},
]
QUESTION = {
    "id": "c1:q0",
    "conversation": "c1",
    "question": "What did Ada plant?",
    "answer": "a plum tree",
    "adversarial_answer": None,
    "category": 4,
    "gold_ids": ["c1:D1:1"],
}
QUESTIONS = [
    QUESTION,
    QUESTION | {"id": "c1:q1", "question": "When?", "answer": 2023, "category": 2, "gold_ids": ["c1:D1:1", "c1:D2:1"]},
    QUESTION | {"id": "c1:q2", "question": "What did Bo plant?", "answer": None, "category": 5},
    QUESTION | {"id": "c1:q3", "question": "Is she a gardener?", "answer": "Likely", "category": 3, "gold_ids": []},
    QUESTION | {"id": "c2:q0", "conversation": "c2", "question": "What did Cy sell?", "gold_ids": ["c2:D1:1"]},
]
FOUND = {
    "What did Ada plant?": ["c1:D1:1"],
    "When?": ["c1:D2:1", "c1:D2:2"],
    "What did Bo plant?": [],
    "What did Cy sell?": [],
}


def write_lines(path: Path, lines: Sequence[Any]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def write(folder: Path, turns: Sequence[Any] = TURNS, questions: Sequence[Any] = QUESTIONS) -> Path:
    write_lines(folder / "corpus.jsonl", turns)
    write_lines(folder / "questions.jsonl", questions)
    return folder


def search_of(found: dict[str, list[str]]) -> Any:
    def search(dataset: Dataset) -> Search:
        own = {document.id for document in dataset.documents}

        def find(question: str, count: int) -> Found:
            assert set(found[question]) <= own
            return Found(found[question][:count])

        return find

    return search


@pytest.fixture
def report(tmp_path: Path) -> LocomoReport:
    return evaluate_locomo(load_locomo(write(tmp_path)), search_of(FOUND), way="dense")


def test_a_conversation_is_a_set_of_its_own_with_dated_turns(tmp_path: Path) -> None:
    first, second = load_locomo(write(tmp_path))
    assert (first.name, second.name) == ("c1", "c2")
    assert [document.id for document in first.documents] == ["c1:D1:1", "c1:D2:1", "c1:D2:2"]
    assert first.documents[0].text == "Ada (8 May 2023): I planted a plum tree."
    assert first.documents[0].title == "Session 1"
    assert first.documents[0].occurred_at == datetime(2023, 5, 8, 13, 56, tzinfo=UTC)
    assert first.documents[1].occurred_at == datetime(2023, 6, 9, 0, 5, tzinfo=UTC)
    assert first.documents[2].text == "Bo (8 May 2023): Look. [picture: a white tree]"
    assert first.split == "none"


def test_questions_have_their_category_and_adversarial_ones_no_answer(tmp_path: Path) -> None:
    questions = load_locomo(write(tmp_path))[0].questions
    assert [(question.type, question.answers) for question in questions] == [
        ("single-hop", ("a plum tree",)),
        ("temporal", ("2023",)),
        ("adversarial", ()),
        ("open-domain", ("Likely",)),
    ]


def test_scores_by_hand_with_the_adversarial_apart(report: LocomoReport) -> None:
    # Evidence among the first 5: 1 of 1, 1 of 2, none; each question counts the same, whatever its conversation.
    assert report.answerable["recall@5"].mean == pytest.approx((1 + 0.5 + 0) / 3)
    assert report.answerable["recall@5"].n == 3
    assert list(report.by_category) == ["temporal", "single-hop", "adversarial"]
    assert report.by_category["single-hop"]["recall@5"].mean == pytest.approx(0.5)
    assert report.by_category["adversarial"]["recall@5"].mean == 0
    assert {name: scores["recall@10"].mean for name, scores in report.by_conversation.items()} == {"c1": 0.75, "c2": 0}
    written = json.loads(json.dumps(report.to_json()))
    assert written["n_questions"] == 3
    assert written["by_category"]["temporal"]["recall"]["5"]["mean"] == 0.5
    assert written["conversations"]["c1"]["n_questions"] == 3


def test_the_difference_is_paired_and_of_the_same_questions(tmp_path: Path, report: LocomoReport) -> None:
    datasets = load_locomo(write(tmp_path))
    better = evaluate_locomo(datasets, search_of(FOUND | {"What did Cy sell?": ["c2:D1:1"]}), way="graph")
    assert compare_locomo(better, report, "recall@5").mean == pytest.approx(1 / 3)
    with pytest.raises(InvalidInput, match="other questions"):
        compare_locomo(evaluate_locomo(datasets[:1], search_of(FOUND)), report, "recall@5")


def print_table(table: Table) -> str:
    console = Console(file=StringIO(), width=160)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_tables_name_every_category_and_conversation(tmp_path: Path, report: LocomoReport) -> None:
    better = evaluate_locomo(
        load_locomo(write(tmp_path)), search_of(FOUND | {"What did Cy sell?": ["c2:D1:1"]}), way="graph"
    )
    lines = print_table(tabulate_categories([report, better])).splitlines()
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]] for line in lines if "│" in line
    }
    assert rows["temporal"][:2] == ["1", "50.0 [50.0, 50.0]"]
    assert rows["multi-hop"][:2] == ["0", "–"]
    assert rows["all but adversarial"][0] == "3"
    assert rows["difference to dense"][:3] == ["", "", ""]
    assert rows["difference to dense"][3].startswith("+33.3 [")
    text = print_table(tabulate_conversations([report, better]))
    assert "c1" in text
    assert "75.0 [" in text


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"id": "c1:D1:1"}, ":5: id", "was used at"),
        ({"id": None}, ":5: id", "is missing"),
        ({"datetime": "8 May 2023"}, ":5: datetime", "is not a time like"),
        ({"speaker": ""}, ":5: speaker", "must be a string"),
        ({"text": None}, ":5: text", "is missing"),
        ({"conversation": None}, ":5: conversation", "is missing"),
        ({"session": 3}, ":5: session", "must be a string"),
        ({"image_caption": 3}, ":5: image_caption", "must be a string"),
    ],
)
def test_what_is_wrong_with_a_turn_is_named(tmp_path: Path, change: dict[str, Any], field: str, message: str) -> None:
    write(tmp_path, [*TURNS, TURN | {"id": "c1:D3:1"} | change])
    with pytest.raises(InvalidInput, match=message) as caught:
        load_locomo(tmp_path)
    assert caught.value.field == f"{tmp_path / 'corpus.jsonl'}{field}"


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"id": "c1:q0"}, ":6: id", "was used at"),
        ({"category": 6}, ":6: category", "must be a number from 1 to 5"),
        ({"category": True}, ":6: category", "must be a number from 1 to 5"),
        ({"answer": None}, ":6: answer", "is missing"),
        ({"conversation": "c3"}, ":6: conversation", "'c3' has no turns"),
        ({"gold_ids": ["c2:D1:1"]}, ":6: gold_ids", "'c2:D1:1' is not the id of a turn of 'c1'"),
        ({"gold_ids": None}, ":6: gold_ids", "is missing"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(
    tmp_path: Path, change: dict[str, Any], field: str, message: str
) -> None:
    write(tmp_path, TURNS, [*QUESTIONS, QUESTION | {"id": "c1:q9"} | change])
    with pytest.raises(InvalidInput, match=message) as caught:
        load_locomo(tmp_path)
    assert caught.value.field == f"{tmp_path / 'questions.jsonl'}{field}"


def test_folders_that_hold_no_conversations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no such folder"):
        load_locomo(tmp_path / "absent")
    with pytest.raises(InvalidInput, match="there is no such file"):
        load_locomo(tmp_path)
    with pytest.raises(InvalidInput, match="holds no questions"):
        load_locomo(write(tmp_path, TURNS, []))
