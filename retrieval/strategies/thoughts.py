"""Search with the mean of the question's vector and those of thoughts about it, then answer directly.

O1-Embedder (arXiv 2502.07555) trains an embedder to think; here any generator thinks, and the embedder is as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid
from retrieval.strategies.prompts import thought_messages, thought_schema
from retrieval.strategies.task import Task, read_text


@dataclass(frozen=True, kw_only=True)
class ThoughtParams:
    """How many thoughts are drawn, and how freely."""

    thoughts: int = 3
    temperature: float = 0.7
    max_tokens: int = 120


async def draw_thoughts(task: Task, params: ThoughtParams | None = None) -> tuple[str, ...]:
    """Return different thoughts about the question; a thought that fails is left out, and all may be.

    A model that answers out of form is asked for the next one, one that cannot be reached is not.
    """
    params = params or ThoughtParams()
    drawn: list[str] = []
    for seed in range(params.thoughts):
        try:
            thought = await task.complete(
                "thought",
                thought_messages(task.question),
                thought_schema(),
                lambda reply: read_text(reply, "thought"),
                max_tokens=params.max_tokens,
                temperature=params.temperature,
                seed=seed,
            )
        except GeneratorError as error:
            task.give_way(error)
            if not isinstance(error, GeneratorOutputInvalid):
                break
            continue
        drawn.append(thought)
    kept = tuple(dict.fromkeys(thought for thought in drawn if thought))
    task.tell("thoughts", thoughts=list(kept))
    return kept
