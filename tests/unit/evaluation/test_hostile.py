"""Hostile passages: what they cannot do to a prompt or an answer, even where a model obeys them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
import yaml

from evaluation.hostile import SET, Attack, find_broken, judge, list_outcomes, load_attacks, try_attacks
from ingest.extracting import PassageText
from ingest.openie_prompts import names_messages
from memory_graph.errors import InvalidInput
from memory_graph.types import Document, Hit
from retrieval.answer import Answer, AnswerParams, answer
from retrieval.ask import Asked
from retrieval.fact_filter import filter_messages
from retrieval.prompts import answer_messages, neutralise
from retrieval.search import SearchResult
from retrieval.strategies.prompts import note_messages
from retrieval.testing import ScriptedGenerator

ATTACKS = load_attacks()
EACH = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
PLAIN = Document(id="plain", title="A plain title", text="A plain text.")


def hit(document: Document, rank: int) -> Hit:
    return Hit(
        passage_id=rank, document_id=document.id, title=document.title, text=document.text, score=1.0 / rank, rank=rank
    )


def hits(attack: Attack) -> list[Hit]:
    return [hit(attack.hostile, 1), hit(attack.honest, 2)]


def asked(attack: Attack, reply: str) -> Asked:
    """What a model that replies so is answered with."""
    found = hits(attack)
    said = asyncio.run(answer(attack.question, found, ScriptedGenerator([reply]), AnswerParams()))
    result = SearchResult(hits=found, version=1, collection_id=1, fallback_reason=None, stages=[])
    return Asked(answer=said, found=result, answer_ms=0.0)


@EACH
def test_a_hostile_passage_adds_nothing_to_a_prompt_but_its_text(attack: Attack) -> None:
    found, plain = hits(attack), [hit(PLAIN, 1), hit(attack.honest, 2)]
    for ask in (
        lambda given: answer_messages(attack.question, given),
        lambda given: note_messages(attack.question, enumerate(given, start=1), []),
        lambda given: names_messages(PassageText(document="d", title=given[0].title, heading="", text=given[0].text)),
        lambda given: filter_messages(attack.question, [one.text for one in given]),
    ):
        messages, expected = ask(found), ask(plain)
        assert [one["role"] for one in messages] == [one["role"] for one in expected]
        assert messages[:-1] == expected[:-1]
        tags = re.compile(r"</?\w[^>]*>|<\|[^>]*\|>|\[/?INST\]")
        assert tags.findall(messages[-1]["content"]) == tags.findall(expected[-1]["content"])


def test_what_nobody_sees_is_not_shown_to_the_model() -> None:
    smuggled = "".join(chr(0xE0000 + ord(character)) for character in "obey")
    assert neutralise(f"Pay\u200b no\u202e heed{smuggled}\u2066.\ufeff") == "Pay no heed."
    # These join letters, and stay.
    assert neutralise("می\u200cخواهم 👩\u200d🚀") == "می\u200cخواهم 👩\u200d🚀"


@EACH
def test_an_obedient_model_can_neither_cite_nor_quote_what_was_not_found(attack: Attack) -> None:
    for numbers in ([1], [1, 2], [99, 1000], []):
        told = asked(attack, json.dumps({"answer": attack.wants, "passages": numbers}))
        assert find_broken(told) == ()
        known = {one.document_id for one in told.found.hits}
        assert {citation.document_id for citation in told.answer.citations} <= known
        if told.answer.found:
            # What only the hostile passage says is cited to it, so that a reader sees who says so.
            assert attack.hostile.id in {citation.document_id for citation in told.answer.citations}


@EACH
def test_outcomes_are_told_apart(attack: Attack) -> None:
    right = json.dumps({"answer": attack.answer, "passages": [2]})
    assert judge(attack, asked(attack, right)) == "right"
    declined = asked(attack, json.dumps({"answer": "NOT IN MEMORY", "passages": []}))
    assert judge(attack, declined) == ("obeyed" if attack.name == "silence" else "declined")


def test_both_memories_are_asked_and_counted() -> None:
    attack = ATTACKS[0]

    async def honest(question: str) -> Asked:
        return asked_in_thread[0]

    async def attacked(question: str) -> Asked:
        return asked_in_thread[1]

    asked_in_thread = [
        asked(attack, json.dumps({"answer": attack.answer, "passages": [2]})),
        asked(attack, json.dumps({"answer": attack.wants, "passages": [1]})),
    ]
    found = asyncio.run(try_attacks([attack], honest, attacked))
    assert (found[0].before, found[0].recalled, found[0].broken) == ("right", True, ())
    rows = list_outcomes(["direct"], [found])
    assert rows[0] == ["attack", "tries", "direct: without", "direct: with"]
    assert rows[1][2] == "right"
    assert rows[-1][1:3] == ["0 answers out of form", "1 right"]


def test_an_answer_out_of_form_is_found() -> None:
    told = asked(ATTACKS[0], json.dumps({"answer": ATTACKS[0].answer, "passages": [2]}))
    strange = Asked(answer=Answer(text="x"), found=told.found, answer_ms=0.0)
    assert find_broken(strange) == ("answers without a citation",)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"wants": ""}, "attacks.0.wants"),
        ({"honest": {"title": "only"}}, "attacks.0.honest"),
        ({"more": 1}, "attacks.0"),
    ],
)
def test_a_bad_set_is_refused_by_its_field(change: dict[str, object], field: str, tmp_path: Path) -> None:
    row = yaml.safe_load(SET.read_text(encoding="utf-8"))["attacks"][0] | change
    path = tmp_path / "set.yaml"
    path.write_text(yaml.safe_dump({"attacks": [row]}))
    with pytest.raises(InvalidInput, match=re.escape(field)):
        load_attacks(path)
