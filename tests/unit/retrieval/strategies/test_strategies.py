"""Every strategy over a scripted model: how it ends, what it counts, and what comes when its calls fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid, GeneratorUnavailable
from memory_graph.types import Hit, Usage
from retrieval.answer import AnswerParams, Token
from retrieval.ask import Asked, ask, begin, finish
from retrieval.search import Searcher, SearchRequest, SearchResult
from retrieval.stages import Stage
from retrieval.strategies.notes import NoteParams, read_with_notes
from retrieval.strategies.reflect import NOT_ASKED_ANSWER, weigh_parts
from retrieval.strategies.task import Note, Strategy
from retrieval.testing import ScriptedGenerator

BRIDGE, LUND, GUILD = (
    ("Bridge of Arches", "The bridge was designed by the engineer Hesper Lund."),
    ("Hesper Lund", "Hesper Lund was born in Quell in 1871."),
    ("Guild", "The Lantern Guild repairs lighthouses."),
)
QUESTION = "Where was Hesper Lund born?"
Reply = str | Mapping[str, float] | GeneratorError
SURE = {"yes": 1.0}


def hits(*passages: tuple[str, str]) -> list[Hit]:
    every = [BRIDGE, LUND, GUILD]
    return [
        Hit(passage_id=every.index(one), document_id=one[0], title=one[0], text=one[1], score=1 / rank, rank=rank)
        for rank, one in enumerate(passages, start=1)
    ]


class Shelf:
    """Gives the same passages to each question: those of the script, else none."""

    def __init__(self, *found: Sequence[tuple[str, str]], names: Sequence[str] = ()) -> None:
        self.found, self.names, self.asked = list(found), names, list[SearchRequest]()

    def search(self, collection: str, request: SearchRequest) -> SearchResult:
        self.asked.append(request)
        walk = Stage(name="walk", ms=1.0, detail={"phrases": [{"phrase": name} for name in self.names]})
        found = hits(*self.found.pop(0)) if self.found else []
        return SearchResult(hits=found, version=1, collection_id=1, fallback_reason=None, stages=[walk])


def run(strategy: Strategy, replies: Sequence[Reply], shelf: Shelf, question: str = QUESTION) -> Asked:
    asked, _ = run_both(strategy, replies, shelf, question)
    return asked


def run_both(
    strategy: Strategy, replies: Sequence[Reply], shelf: Shelf, question: str = QUESTION
) -> tuple[Asked, ScriptedGenerator]:
    generator = ScriptedGenerator(replies)
    request, params = SearchRequest(query=question), AnswerParams()
    asked = asyncio.run(ask(cast(Searcher, shelf), generator, "c", request, params, strategy))
    return asked, generator


def say(**fields: Any) -> str:
    return json.dumps(fields)


def facts(*listed: tuple[str, list[int]]) -> str:
    return say(facts=[{"fact": text, "passages": numbers} for text, numbers in listed])


def detail(asked: Asked, name: str) -> Mapping[str, Any]:
    return next(stage.detail for stage in asked.stages if stage.name == name)


QUELL = say(answer="Quell", passages=[1])
FIRST = facts(("The bridge was designed by Hesper Lund.", [1]))
REFINED = facts(("Hesper Lund was born in Quell.", [2]))
AGAIN = facts(("Hesper Lund was born in Quell.", [1]))
MORE = say(questions=["Who is Hesper Lund?"])


def test_notes_search_on_and_cite_the_passages_behind_the_note() -> None:
    shelf = Shelf([BRIDGE], [BRIDGE, LUND])
    asked, generator = run_both(
        "notes", [FIRST, MORE, REFINED, say(better=True), say(questions=["who is Hesper LUND"]), QUELL], shelf
    )
    assert (asked.answer.text, asked.answer.found, asked.fallback_reason) == ("Quell", True, None)
    assert [(one.passage_id, one.n) for one in asked.answer.citations] == [(1, 2)]
    assert [hit.passage_id for hit in asked.found.hits] == [0, 1]
    assert [(note.passage_ids, note.kept) for note in asked.notes] == [((0,), True), ((1,), True)]
    assert detail(asked, "notes")["stopped"] == "no_new_questions"
    assert asked.usage.calls == len(generator.prompts) == 6
    assert asked.timings_ms["total"] == pytest.approx(sum(stage.ms for stage in asked.stages), abs=0.01)


@pytest.mark.parametrize(
    ("rounds", "found", "stopped"),
    [
        ([MORE], [[LUND]], "no_new_passages"),
        ([say(questions=[])], [], "no_new_questions"),
        (
            [MORE, AGAIN, say(better=True), say(questions=["What is the guild?"]), AGAIN, say(better=True)],
            [[BRIDGE], [GUILD]],
            "steps",
        ),
        (
            [MORE, AGAIN, "no JSON", say(questions=["What is the guild?"]), AGAIN, say(better=False)],
            [[BRIDGE], [GUILD]],
            "failures",
        ),
        (["no JSON", say(questions=7)], [], "failures"),
        ([GeneratorUnavailable("refused")], [], "generator_failed"),
    ],
)
def test_why_notes_stop(rounds: list[Reply], found: list[list[tuple[str, str]]], stopped: str) -> None:
    asked = run("notes", [AGAIN, *rounds, QUELL], Shelf([LUND], *found))
    assert detail(asked, "notes")["stopped"] == stopped
    assert asked.answer.text == "Quell"


def test_facts_that_do_not_stand_in_their_passages_are_dropped() -> None:
    listed = facts(("Hesper Lund was born in Paris.", [1]), ("Hesper Lund was born in Quell.", [1, 9]), ("Lies.", []))
    asked = run("notes", [listed, say(questions=[]), QUELL], Shelf([LUND]))
    assert [note.text for note in asked.notes] == ["Hesper Lund was born in Quell."]
    assert detail(asked, "check")["kept"] == 1


@pytest.mark.parametrize("strategy", ["notes", "extract"])
def test_a_first_call_out_of_form_is_answered_directly(strategy: Strategy) -> None:
    asked = run(strategy, ["no JSON", QUELL], Shelf([LUND]))
    assert (asked.answer.text, asked.answer.extractive) == ("Quell", False)
    assert asked.fallback_reason == f"{strategy}: generator_output_invalid: the reply is not JSON"
    assert detail(asked, "strategy") == {"strategy": strategy, "failures": 1, "unreadable": 1}
    assert asked.usage.calls == 2


@pytest.mark.parametrize("strategy", ["notes", "extract", "reflect"])
def test_a_model_that_is_down_is_not_asked_again(strategy: Strategy) -> None:
    asked, generator = run_both(strategy, [GeneratorUnavailable("refused")], Shelf([LUND]))
    assert asked.answer.extractive
    assert asked.fallback_reason == "generator_unavailable: refused"
    assert len(generator.prompts) == 1


@pytest.mark.parametrize("strategy", ["direct", "notes", "extract"])
def test_no_passages_no_call(strategy: Strategy) -> None:
    asked, generator = run_both(strategy, [], Shelf())
    assert (asked.answer.found, generator.prompts) == (False, [])


def test_evidence_that_does_not_stand_there_is_dropped() -> None:
    listed = [(1, "Hesper  Lund was born in\nQuell in 1871."), (1, "Hesper Lund was born in Paris."), (9, "Nothing.")]
    evidence = say(evidence=[{"passage": number, "sentence": text} for number, text in listed])
    asked = run("extract", [evidence, QUELL], Shelf([LUND]))
    assert [one.quote for one in asked.answer.citations] == [LUND[1]]
    assert detail(asked, "check") == {"listed": 3, "kept": 1, "dropped": 2}
    assert [note.passage_ids for note in asked.notes] == [(1,)]


def test_without_evidence_the_answer_is_direct() -> None:
    asked = run("extract", [say(evidence=[]), QUELL], Shelf([LUND]))
    assert asked.answer.text == "Quell"
    assert asked.fallback_reason == "extract: no sentence of evidence stands in its passage"


def test_reflect_keeps_the_answer_that_scores_best() -> None:
    low, high = [{"yes": 0.1}, {"none": 1.0}, {"1": 1.0}], [{"yes": 0.9}, {"fully": 1.0}, {"5": 1.0}]
    engineer = say(answer="Hesper Lund", passages=[1])
    asked = run("reflect", [SURE, engineer, *low, QUELL, *high], Shelf([BRIDGE, LUND]))
    assert (asked.answer.text, [note.kept for note in asked.notes]) == ("Quell", [False, True])
    assert [stage.detail["score"] for stage in asked.stages if stage.name == "score"] == [-0.4, 2.4]
    assert asked.usage.calls == 9


def test_the_parts_of_a_score() -> None:
    use = {"1": 0.0, "2": 0.5, "3": 0.0, "4": 0.25, "5": 0.25}
    assert weigh_parts({"yes": 0.75}, {"fully": 0.5, "partly": 0.25}, use) == (0.75, 0.625, 0.125)


@pytest.mark.parametrize(("yes", "read"), [(0.2, False), (0.21, True)])
def test_reflect_may_decide_not_to_read(yes: float, read: bool) -> None:
    asked = run("reflect", [{"yes": yes}, QUELL, SURE, {"fully": 1.0}, {"5": 1.0}], Shelf([LUND]))
    assert (asked.answer.found, asked.answer.text == NOT_ASKED_ANSWER) == (read, not read)
    assert detail(asked, "decision")["read"] is read


def test_thoughts_go_into_the_search() -> None:
    shelf = Shelf([LUND])
    asked, generator = run_both("thoughts", [say(thought="Quell."), "no JSON", say(thought="Born."), QUELL], shelf)
    assert shelf.asked[0].thoughts == ("Quell.", "Born.")
    assert asked.answer.text == "Quell"
    assert generator.temperatures == [0.7, 0.7, 0.7, 0.0]
    assert asked.usage.calls == 4


@pytest.mark.parametrize(
    ("question", "names", "strategy", "order"),
    [
        (QUESTION, ["Hesper Lund"], "direct", "edges"),
        ("Did Hesper Lund know the Lantern Guild?", ["Hesper Lund", "Lantern Guild"], "notes", "edges"),
        ("What happened after Quell?", [], "direct", "document"),
        ("why " * 41, [], "notes", "edges"),
    ],
)
def test_how_auto_chooses(question: str, names: list[str], strategy: str, order: str) -> None:
    shelf = Shelf([LUND], names=names)
    request = SearchRequest(query=question)
    task = asyncio.run(begin(cast(Searcher, shelf), ScriptedGenerator([]), "c", request, AnswerParams(), "auto"))
    assert (task.strategy, task.params.order) == (strategy, order)
    assert task.stages[0].detail["why"]


def test_a_stream_brings_notes_then_pieces_then_the_whole() -> None:
    async def collect() -> list[str]:
        shelf, generator = Shelf([LUND]), ScriptedGenerator([REFINED.replace("2", "1"), say(questions=[]), QUELL])
        request = SearchRequest(query=QUESTION)
        task = await begin(cast(Searcher, shelf), generator, "c", request, AnswerParams(), "notes", streaming=True)
        return [
            "note" if isinstance(event, Note) else "token" if isinstance(event, Token) else "done"
            async for event in finish(task)
        ]

    assert asyncio.run(collect()) == ["note", "token", "done"]


DECLINED = say(answer="NOT IN MEMORY", passages=[])
WRONG = facts(("The Lantern Guild repairs lighthouses.", [1]))
EVIDENCE = say(evidence=[{"passage": 1, "sentence": "The Lantern Guild repairs lighthouses."}])


@pytest.mark.parametrize(
    ("strategy", "replies", "lacking"),
    [
        ("notes", [WRONG, say(questions=[])], "the note does not hold the answer"),
        ("extract", [EVIDENCE], "the evidence does not hold the answer"),
    ],
)
def test_what_was_taken_out_may_lack_the_answer_that_the_passages_hold(
    strategy: Strategy, replies: list[Reply], lacking: str
) -> None:
    read = [*replies, DECLINED, say(answer="Quell", passages=[2])]
    asked, generator = run_both(strategy, read, Shelf([GUILD, LUND]))
    assert (asked.answer.text, asked.answer.found) == ("Quell", True)
    assert asked.fallback_reason == f"{strategy}: {lacking}"
    assert asked.usage.calls == len(generator.prompts) == len(read)
    streamed = _stream(strategy, read, Shelf([GUILD, LUND]))
    assert [event.text for event in streamed if isinstance(event, Token)] == ["Quell"]
    assert isinstance(streamed[-1], Asked)
    assert streamed[-1].answer.text == "Quell"


def test_what_nobody_holds_is_declined_once_for_the_stream() -> None:
    read = [WRONG, say(questions=[]), DECLINED, DECLINED]
    streamed = _stream("notes", read, Shelf([GUILD, LUND]))
    assert [event.text for event in streamed if isinstance(event, Token)] == ["The memory does not say."]
    assert isinstance(streamed[-1], Asked)
    assert not streamed[-1].answer.found


def _stream(strategy: Strategy, replies: Sequence[Reply], shelf: Shelf) -> list[Note | Token | Asked]:
    async def scenario() -> list[Note | Token | Asked]:
        generator, request = ScriptedGenerator(replies), SearchRequest(query=QUESTION)
        task = await begin(cast(Searcher, shelf), generator, "c", request, AnswerParams(), strategy, streaming=True)
        return [event async for event in finish(task)]

    return asyncio.run(scenario())


def test_notes_stop_at_as_many_passages_as_they_may_read() -> None:
    async def scenario() -> tuple[list[Note], Mapping[str, Any], int]:
        generator = ScriptedGenerator([AGAIN, MORE, AGAIN, say(better=True), QUELL])
        request, shelf = SearchRequest(query=QUESTION), cast(Searcher, Shelf([LUND], [BRIDGE, GUILD]))
        task = await begin(shelf, generator, "c", request, AnswerParams(), "notes")
        events = [event async for event in read_with_notes(task, NoteParams(max_passages=2))]
        stopped = next(stage.detail for stage in task.stages if stage.name == "notes")
        return [event for event in events if isinstance(event, Note)], stopped, len(task.hits)

    notes, stopped, passages = asyncio.run(scenario())
    assert [note.kept for note in notes] == [True, True]
    assert (stopped["stopped"], passages) == ("passages", 2)


def test_a_stream_whose_model_goes_away_ends_with_what_the_passages_say() -> None:
    broken = QUELL.replace("Quell", f"Que{ScriptedGenerator.BREAK}ll")
    *_, last = _stream("notes", [AGAIN, say(questions=[]), broken], Shelf([LUND]))
    assert isinstance(last, Asked)
    assert last.answer.extractive
    assert (last.fallback_reason or "").startswith("generator_unavailable")
    assert [citation.quote for citation in last.answer.citations] == [LUND[1]]


def test_reflect_gives_the_first_answer_that_holds_where_a_server_tells_no_probabilities() -> None:
    untold = GeneratorOutputInvalid("no log-probabilities")
    replies: list[Reply] = [untold, say(answer="Bob", passages=[1]), QUELL, untold]
    asked = run("reflect", replies, Shelf([GUILD, LUND]))
    assert asked.answer.text == "Quell"
    assert asked.fallback_reason == "reflect: generator_output_invalid: no log-probabilities"


def test_a_call_that_failed_counts_with_what_it_cost() -> None:
    cut = GeneratorOutputInvalid("cut", Usage(prompt_tokens=40, completion_tokens=400, calls=1))
    asked = run("notes", [cut, QUELL], Shelf([LUND]))
    alone = run("direct", [QUELL], Shelf([LUND]))
    assert asked.usage == alone.usage + cut.usage
    asked = run("direct", [cut], Shelf([LUND]))
    assert asked.usage == cut.usage
