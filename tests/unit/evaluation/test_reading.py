"""Ways of reading are named, combined, and asked; what the model took is told apart from our own time."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest

from evaluation.datasets import Dataset, Question
from evaluation.qa_eval import Answered, QaReport, evaluate_answers
from evaluation.reading import Reading, ask_memory, combine_readings
from evaluation.reading_report import list_readings
from evaluation.timed_generator import TimedGenerator
from evaluation.ways import Way
from memory_graph.errors import GeneratorError, GeneratorUnavailable
from memory_graph.store.notes import KeptNote, NewNote
from memory_graph.store.rows import now
from memory_graph.types import Hit
from retrieval.answer import AnswerParams
from retrieval.kept_notes import RecalledNote
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.testing import ScriptedGenerator

QUESTION = "Who drew the Weir of Tolm?"
TEXT = "The Weir of Tolm was drawn by Jo Stern."


class OnePassage:
    """Finds one passage, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[SearchRequest] = []
        self.kept: list[NewNote] = []

    def search(self, collection: str, request: SearchRequest) -> SearchResult:
        self.asked.append(request)
        hit = Hit(passage_id=1, document_id="d", title="Tolm", text=TEXT, score=1.0, rank=1)
        return SearchResult(hits=[hit], version=1, collection_id=1, fallback_reason=None, stages=[])

    def recall_note(self, found: SearchResult, question: str) -> RecalledNote:
        note = KeptNote(id=7, query_id="q", question=question, text=TEXT, version=1, passage_ids=(1,), created_at=now())
        return RecalledNote(note=note, similarity=1.0, hits=tuple(found.hits))


def read(reading: Reading, *replies: str | GeneratorError) -> tuple[Answered, OnePassage, ScriptedGenerator]:
    searcher, generator = OnePassage(), ScriptedGenerator(replies)
    ask = ask_memory(
        cast(Searcher, searcher),
        "memory",
        TimedGenerator(generator),
        AnswerParams(),
        Way(mode="dense"),
        reading,
        searcher.kept.append,
    )
    return asyncio.run(ask(QUESTION)), searcher, generator


def test_a_name_tells_what_is_not_the_default() -> None:
    assert Reading().name == "direct"
    assert Reading(strategy="notes", order="document", top_k=10).name == "notes,order=document,k=10"


def test_every_combination_is_read_once_and_closed_knows_no_passages() -> None:
    combined = combine_readings(["closed", "direct"], ["edges", "document"], [5, 10])
    assert [one.name for one in combined] == [
        "closed",
        "direct",
        "direct,k=10",
        "direct,order=document",
        "direct,order=document,k=10",
    ]


def test_the_memory_is_asked_in_its_way_and_for_as_many_passages() -> None:
    answered, searcher, _ = read(Reading(top_k=7), '{"answer": "Jo Stern", "passages": [1]}')
    assert (answered.answer, answered.found, answered.cited) == ("Jo Stern", True, [("d", True)])
    assert (answered.quotes_hold, answered.fallback_reason, answered.usage.calls) == (True, None, 1)
    assert answered.usage.prompt_tokens > 0
    assert 0 < answered.model_seconds < answered.seconds
    assert searcher.asked == [SearchRequest(query=QUESTION, top_k=7, mode="dense", explain=True)]


def test_a_strategys_calls_are_counted_together() -> None:
    listed = '{"evidence": [{"passage": 1, "sentence": "The Weir of Tolm was drawn by Jo Stern."}]}'
    answered, *_ = read(Reading(strategy="extract"), listed, '{"answer": "Jo Stern", "passages": [1]}')
    assert (answered.answer, answered.usage.calls) == ("Jo Stern", 2)


def test_closed_asks_the_model_alone() -> None:
    answered, searcher, generator = read(Reading(strategy="closed"), '{"answer": "Jo Stern"}')
    assert (answered.answer, answered.found, answered.cited, answered.usage.calls) == ("Jo Stern", True, [], 1)
    assert not searcher.asked
    assert TEXT not in str(generator.prompts)


@pytest.mark.parametrize(
    ("reply", "code"),
    [("Jo", "generator_output_invalid"), (GeneratorUnavailable("refused"), "generator_unavailable")],
)
def test_closed_says_why_there_is_no_answer(reply: str | GeneratorError, code: str) -> None:
    answered, *_ = read(Reading(strategy="closed"), reply)
    assert (answered.answer, answered.found) == ("", False)
    assert (answered.fallback_reason or "").startswith(code)


def test_ways_of_reading_stand_side_by_side() -> None:
    dataset = Dataset("tiny", (), (Question("1", QUESTION, ("Jo Stern",), ("d",), "one"),), "none")
    reports: list[QaReport] = []
    for reading, reply in (
        (Reading(strategy="closed"), '{"answer": "Bob"}'),
        (Reading(), '{"answer": "Jo Stern", "passages": [1]}'),
    ):
        ask = ask_memory(
            cast(Searcher, OnePassage()),
            "memory",
            TimedGenerator(ScriptedGenerator([reply])),
            AnswerParams(),
            Way(),
            reading,
            OnePassage().kept.append,
        )
        reports.append(asyncio.run(evaluate_answers(dataset, ask)))
    header, closed, direct = list_readings(["closed", "direct"], reports)
    assert header[0] == "tiny (1)"
    assert [row[1].split(" ")[0] for row in (closed, direct)] == ["0.0", "100.0"]
    calls = header.index("calls")
    assert (closed[calls], direct[calls]) == ("1.0", "1.0")
    assert len(closed) == len(direct) == len(header)


def test_notes_are_kept_and_the_warm_reading_begins_with_them() -> None:
    note = json.dumps({"facts": [{"fact": TEXT, "passages": [1]}]})
    nothing, answer = json.dumps({"questions": []}), json.dumps({"found": True, "answer": "Jo Stern", "passages": [1]})
    answered, searcher, _ = read(Reading(strategy="notes"), note, nothing, answer)
    assert answered.answer == "Jo Stern"
    assert [(kept.question, kept.text, tuple(kept.passage_ids)) for kept in searcher.kept] == [(QUESTION, TEXT, (1,))]
    # The note says all that its passage does: the call that would write it is saved, and nothing is kept twice.
    answered, searcher, _ = read(Reading(strategy="warm"), nothing, answer)
    assert (answered.answer, answered.usage.calls, searcher.kept) == ("Jo Stern", 2, [])
