"""Answer from each passage by itself and keep the answer that scores best (Self-RAG, arXiv 2310.11511), untrained.

Self-RAG trains reflection tokens. A plain model has none, so their probabilities are those of labels that it is asked
for: relevance (yes, no), support (fully, partly, none), usefulness (1 to 5).
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid
from memory_graph.types import Hit, Usage
from retrieval.answer import NOT_IN_MEMORY_ANSWER, Answer, Statement, answer
from retrieval.fitting import condense_hits
from retrieval.strategies.prompts import (
    DECIDE_LABELS,
    RELEVANCE_LABELS,
    SUPPORT_LABELS,
    USE_LABELS,
    decide_messages,
    relevance_messages,
    support_messages,
    use_messages,
)
from retrieval.strategies.task import Event, Note, Task

NOT_ASKED_ANSWER = "The memory was not read, because the question does not seem to need it."

_USE_WEIGHTS = dict(zip(USE_LABELS, (-1.0, -0.5, 0.0, 0.5, 1.0), strict=True))


@dataclass(frozen=True, kw_only=True)
class ReflectParams:
    """From which probability the memory is read, how many passages are, and what the three parts of a score weigh."""

    threshold: float = 0.2
    candidates: int = 3
    relevance: float = 1.0
    support: float = 1.0
    use: float = 0.5


@dataclass(frozen=True)
class Candidate:
    """An answer from one passage, and its score."""

    hit: Hit
    answer: Answer
    score: float


async def read_reflecting(task: Task, params: ReflectParams | None = None) -> AsyncGenerator[Event, None]:
    """Decide whether to read, answer from each of the first passages, and keep the best grounded answer."""
    params = params or ReflectParams()
    try:
        reads = await _decides_to_read(task, params)
    except GeneratorError as error:
        async with aclosing(task.answer_around(error)) as events:
            async for event in events:
                yield event
        return
    if not reads:
        for one in task.deliver(Answer(text=NOT_ASKED_ANSWER, found=False)):
            yield one
        return
    candidates = await _consider_all(task, params)
    grounded = [one for one in candidates if one.answer.found and not one.answer.extractive]
    best = max(grounded, key=lambda one: one.score, default=None)
    for candidate in grounded:
        ids = (candidate.hit.passage_id,)
        yield task.note(
            Note(text=candidate.answer.text, passage_ids=ids, question=task.question, kept=candidate is best)
        )
    for given in task.deliver(_choose(candidates, best, task.hits)):
        yield given


def _choose(candidates: list[Candidate], best: Candidate | None, hits: Sequence[Hit]) -> Answer:
    """Return the best answer; else the quotes that stand in for it if no call worked; else that there is none."""
    declined = next((one.answer for one in candidates if not one.answer.extractive), None)
    quoted = candidates[0].answer if candidates else Answer(text=NOT_IN_MEMORY_ANSWER, found=False)
    chosen = best.answer if best else declined or quoted
    # The calls of all candidates are in the task's usage already.
    shown = tuple(one.hit.passage_id for one in candidates)
    return replace(chosen, usage=Usage(), shown=shown, left_out=len(hits) - len(candidates))


async def _decides_to_read(task: Task, params: ReflectParams) -> bool:
    """Weigh whether the question needs the memory; a model without probabilities reads. Raises ``GeneratorError``."""
    try:
        weighed = await task.weigh("decide", decide_messages(task.question), DECIDE_LABELS)
    except GeneratorOutputInvalid as error:
        task.give_way(error)
        return True
    read = weighed["yes"] > params.threshold
    task.tell("decision", probability=round(weighed["yes"], 4), threshold=params.threshold, read=read)
    return read


async def _consider_all(task: Task, params: ReflectParams) -> list[Candidate]:
    """Consider the first passages; a model that cannot be reached is not asked for the others."""
    candidates: list[Candidate] = []
    for index in range(min(params.candidates, len(task.hits))):
        candidates.append(await _consider(task, index, params))
        reason = candidates[-1].answer.fallback_reason
        if reason and not reason.startswith(GeneratorOutputInvalid.code):
            break
    return candidates


async def _consider(task: Task, index: int, params: ReflectParams) -> Candidate:
    """Answer from one passage, checked against all, and score the answer; 0 where it cannot be scored."""
    hit = condense_hits([task.hits[index]], task.question, task.params.sentences)[0]
    statement = Statement(text=hit.text, title=hit.title, sources=(index,))
    start = time.perf_counter()
    result = await answer(task.question, task.hits, task.generator, task.params, [statement])
    task.tell(
        "candidate",
        (time.perf_counter() - start) * 1000,
        passage_id=hit.passage_id,
        answer=result.text,
        found=result.found,
        ungrounded_answer=result.ungrounded_answer,
        error=result.fallback_reason,
    )
    task.count(result)
    try:
        scored = result.found and not result.extractive
        return Candidate(hit, result, await _score(task, hit, result.text, params) if scored else 0.0)
    except GeneratorError as error:
        task.give_way(error)
        return Candidate(hit, result, 0.0)


async def _score(task: Task, hit: Hit, said: str, params: ReflectParams) -> float:
    """Return the weighted sum of relevance, support and usefulness."""
    relevance = await task.weigh("relevance", relevance_messages(task.question, hit), RELEVANCE_LABELS)
    support = await task.weigh("support", support_messages(task.question, hit, said), SUPPORT_LABELS)
    use = await task.weigh("usefulness", use_messages(task.question, said), USE_LABELS)
    parts = weigh_parts(relevance, support, use)
    score = params.relevance * parts[0] + params.support * parts[1] + params.use * parts[2]
    names = ("relevance", "support", "usefulness")
    told = {name: round(part, 4) for name, part in zip(names, parts, strict=True)}
    task.tell("score", passage_id=hit.passage_id, score=round(score, 4), **told)
    return score


def weigh_parts(
    relevance: Mapping[str, float], support: Mapping[str, float], use: Mapping[str, float]
) -> tuple[float, float, float]:
    """Return relevance and support, 0 to 1, and usefulness, -1 to 1, from the probabilities of their labels."""
    useful = sum(weight * use[label] for label, weight in _USE_WEIGHTS.items())
    return relevance["yes"], support["fully"] + support["partly"] / 2, useful
