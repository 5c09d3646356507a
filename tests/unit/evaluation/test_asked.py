"""Questions are read with their gold documents and their steps, and rankings are scored by documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.asked import SUB_QUESTION, Asked, Taught, questions_of, read_sub_questions, score_rankings
from evaluation.datasets import Dataset, Question
from memory_graph.types import Document
from retrieval.view import empty_view


def test_questions_with_gold_documents_are_learned_from() -> None:
    questions = [
        Question(id="1", question="Who?", answers=("Ada",), gold_ids=("a", "b")),
        Question(id="2", question="Nobody?", answers=(), gold_ids=()),
    ]
    found = questions_of(Dataset(name="set", documents=(), questions=tuple(questions), split="none"))
    assert found == [Asked(question="Who?", gold_ids=("a", "b"), group="set/1", type="set")]


def test_the_steps_of_a_question_are_questions_of_its_group(tmp_path: Path) -> None:
    steps = [
        {"question": "Who drew the tower?", "answer": "Ada", "gold_id": "a"},
        {"question": "#1 >> place of birth", "answer": "Orrin", "gold_id": "b"},
        {"question": "Where is #2, where #1 was born?", "answer": "here", "gold_id": "c"},
        {"question": "What of #3?", "answer": "", "gold_id": "not in the memory"},
    ]
    lines = [{"id": "7", "question": "?", "decomposition": steps}, {"id": "8", "question": "?"}]
    (tmp_path / "questions.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    documents = tuple(Document(id=key, text=key) for key in "abc")
    found = read_sub_questions(tmp_path, Dataset(name="set", documents=documents, questions=(), split="none"))
    assert [(one.question, one.gold_ids) for one in found] == [
        ("Who drew the tower?", ("a",)),
        ("Where is Orrin, where Ada was born?", ("c",)),
    ]
    assert {(one.group, one.type) for one in found} == {("set/7", SUB_QUESTION)}


def test_of_several_passages_of_a_document_the_best_placed_counts() -> None:
    taught = Taught(name="set", view=empty_view(), document_of=["a", "a", "b", "c", "d"], questions=[])
    two = Asked(question="Who?", gold_ids=("b", "d"), group="set/1", type="set")
    one = Asked(question="Where?", gold_ids=("c",), group="set/1", type=SUB_QUESTION)
    scores = score_rankings("mine", [(taught, two, [0, 1, 2, 3, 4]), (taught, one, [3]), (taught, two, [])])
    assert scores.name == "mine"
    assert scores.values == {
        "set": {2: [0.5, 0.0], 5: [1.0, 0.0], 10: [1.0, 0.0]},
        SUB_QUESTION: {2: [1.0], 5: [1.0], 10: [1.0]},
    }
    assert scores.recall["set"][5].mean == pytest.approx(0.5)
    assert scores.recall[SUB_QUESTION][2].n == 1
