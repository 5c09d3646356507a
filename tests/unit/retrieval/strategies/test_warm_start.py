"""The strategy notes, begun with a note that was kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, cast

from memory_graph.store.notes import KeptNote
from memory_graph.store.rows import now
from retrieval.answer import AnswerParams
from retrieval.ask import Asked, ask
from retrieval.kept_notes import RecalledNote
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.testing import ScriptedGenerator
from tests.unit.retrieval.strategies.test_strategies import BRIDGE, GUILD, LUND, QUESTION, Shelf, hits

FACT = "Hesper Lund was born in Quell"
NO_QUESTIONS = json.dumps({"questions": []})
QUELL = json.dumps({"found": True, "answer": "Quell", "passages": [2]})


class ShelfWithNote(Shelf):
    """Knows one kept note, about these passages."""

    def __init__(self, text: str, about: Sequence[tuple[str, str]], *found: Sequence[tuple[str, str]]) -> None:
        super().__init__(*found)
        ids = tuple(hit.passage_id for hit in hits(*about))
        note = KeptNote(
            id=7, query_id="q", question="Lund's birthplace?", text=text, version=1, passage_ids=ids, created_at=now()
        )
        self.recalled = RecalledNote(note=note, similarity=0.9, hits=tuple(hits(*about)))
        self.recalls = 0

    def recall_note(self, found: SearchResult, question: str) -> RecalledNote:
        self.recalls += 1
        return self.recalled


def warm(shelf: ShelfWithNote, *replies: str, warm_start: bool = True, **options: Any) -> tuple[Asked, list[Any]]:
    generator = ScriptedGenerator(replies)
    request = SearchRequest(query=QUESTION, top_k=5, **options)
    asked = asyncio.run(
        ask(cast(Searcher, shelf), generator, "c", request, AnswerParams(), "notes", warm_start=warm_start)
    )
    return asked, generator.prompts


def told(asked: Asked, name: str) -> dict[str, Any]:
    (stage,) = [one for one in asked.stages if one.name == name]
    return dict(stage.detail)


def test_the_passages_of_the_note_join_the_hits_and_its_facts_are_refined_by_what_it_did_not_rest_on() -> None:
    shelf = ShelfWithNote(FACT, [LUND], [BRIDGE])
    refined = json.dumps({"facts": [{"fact": FACT, "passages": [2]}]})
    asked, calls = warm(shelf, refined, NO_QUESTIONS, QUELL)
    assert asked.answer.text == "Quell"
    assert [hit.document_id for hit in asked.found.hits] == ["Bridge of Arches", "Hesper Lund"]
    assert told(asked, "warm_start") == {"note": 7, "similarity": 0.9, "facts": 1}
    first = json.dumps(calls[0])
    assert f"{FACT} [2]" in first
    assert BRIDGE[1] in first
    assert LUND[1] not in first  # it was read when the note was written


def test_a_note_on_all_that_was_found_saves_the_first_call() -> None:
    asked, calls = warm(
        ShelfWithNote(FACT, [LUND], [LUND]),
        NO_QUESTIONS,
        json.dumps({"found": True, "answer": "Quell", "passages": [1]}),
    )
    assert (asked.answer.text, len(calls)) == ("Quell", 2)
    assert [(note.text, note.kept) for note in asked.notes] == [(FACT, True)]


def test_what_does_not_stand_in_the_passages_is_not_taken_over() -> None:
    asked, _ = warm(
        ShelfWithNote("Hesper Lund was crowned in Norwick", [LUND], [LUND]),
        json.dumps({"facts": [{"fact": FACT, "passages": [1]}]}),
        NO_QUESTIONS,
        json.dumps({"found": True, "answer": "Quell", "passages": [1]}),
    )
    assert told(asked, "warm_start")["facts"] == 0
    assert asked.notes[0].text == FACT


def test_with_a_filter_or_unasked_no_note_is_recalled() -> None:
    note = json.dumps({"facts": [{"fact": "The Lantern Guild repairs lighthouses", "passages": [1]}]})
    answer = json.dumps({"found": False, "answer": "", "passages": []})
    shelf = ShelfWithNote(FACT, [LUND], [GUILD])
    asked, _ = warm(shelf, note, NO_QUESTIONS, answer, answer, filter={"source": "letters"})
    assert told(asked, "warm_start") == {"left_out": "filter"}
    shelf.found = [[GUILD]]
    asked, _ = warm(shelf, note, NO_QUESTIONS, answer, answer, warm_start=False)
    assert "warm_start" not in [stage.name for stage in asked.stages]
    assert shelf.recalls == 0
