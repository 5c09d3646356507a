"""Collect evidence first, then reason over it alone (ALR², arXiv 2410.03227), with a check in the place of training.

The paper trains a model to find and to reason, because prompted models make up what they "find". Here every sentence
is looked for in the passage it is said to stand in, and dropped where it does not.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid
from memory_graph.text import normalize
from memory_graph.types import Hit
from retrieval.citations import find_quote
from retrieval.fitting import condense_hits, fit_prompt
from retrieval.prompts import neutralise
from retrieval.strategies.prompts import evidence_messages, evidence_schema
from retrieval.strategies.task import Event, Note, Task, read_field, read_text


@dataclass(frozen=True, kw_only=True)
class ExtractParams:
    """Longest list of evidence, in tokens."""

    max_tokens: int = 400


async def read_evidence(task: Task, params: ExtractParams | None = None) -> AsyncGenerator[Event, None]:
    """List evidence, drop what does not stand in its passage, answer from the rest; nothing left: answer directly."""
    try:
        evidence = await _collect(task, params or ExtractParams()) if task.hits else []
    except GeneratorError as error:
        async with aclosing(task.answer_around(error)) as events:
            async for event in events:
                yield event
        return
    if task.hits and not evidence:
        task.give_way("no sentence of evidence stands in its passage")
    for one in evidence:
        yield task.note(Note(text=one.text, passage_ids=(one.passage_id,), question=task.question, kept=True))
    # The evidence is what the answer is checked against as well, so that the citations are the evidence.
    whole = replace(task.params, sentences=None)
    if evidence:
        answering = task.answer_or_reread(evidence, params=whole, lacking="the evidence does not hold the answer")
    else:
        answering = task.answer(task.hits)
    async with aclosing(answering) as events:
        async for answered in events:
            yield answered


async def _collect(task: Task, params: ExtractParams) -> list[Hit]:
    """Return the sentences found, each as its hit with nothing but the sentence; raises ``GeneratorError``."""
    read = condense_hits(task.hits, task.question, task.params.sentences)
    shown = await fit_prompt(
        lambda hits: evidence_messages(task.question, hits), read, params.max_tokens, task.generator
    )
    if not shown:
        raise GeneratorOutputInvalid("not even the best passage fits into the model's context")
    listed = await task.complete(
        "evidence",
        evidence_messages(task.question, shown),
        evidence_schema(len(shown)),
        read_listed,
        max_tokens=params.max_tokens,
    )
    quotes = [quote for number, sentence in listed if (quote := _quote(task.hits[: len(shown)], number, sentence))]
    kept = list({(hit.passage_id, hit.text): hit for hit in quotes}.values())
    task.tell("check", listed=len(listed), kept=len(kept), dropped=len(listed) - len(quotes))
    return kept


def read_listed(reply: object) -> list[tuple[int, str]]:
    """Read ``{"evidence": [{"passage", "sentence"}]}``; anything else raises ``GeneratorOutputInvalid``."""
    listed = read_field(reply, "evidence", list)
    return [(read_field(one, "passage", int), read_text(one, "sentence")) for one in listed]


def _quote(hits: Sequence[Hit], number: int, sentence: str) -> Hit | None:
    """Return the hit of this number with the sentence as its text; None where it does not stand there."""
    if not 1 <= number <= len(hits) or not normalize(sentence):
        return None
    hit = hits[number - 1]
    # The model saw look-alikes of some brackets, so what it copies has them too.
    quote = find_quote(neutralise(sentence), neutralise(hit.text))
    start = neutralise(hit.text).find(quote)  # letters are replaced one by one: places stay
    return replace(hit, text=hit.text[start : start + len(quote)]) if quote else None
