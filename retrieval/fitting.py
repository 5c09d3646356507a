"""What fits into a model's context: whole passages, the worst left out first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from memory_graph.types import Hit
from retrieval.extractive import condense
from retrieval.generator import Generator, Message
from retrieval.prompts import render_passage

# Chat templates put a few tokens around every message, and estimates may fall short of the truth.
_SPARE_TOKENS = 64


async def fit_prompt(
    build: Callable[[Sequence[Hit]], Sequence[Message]], hits: Sequence[Hit], max_tokens: int, generator: Generator
) -> list[Hit]:
    """Return the leading hits with which the prompt that ``build`` makes leaves ``max_tokens`` for the reply."""
    bare = "\n".join(message["content"] for message in build(()))
    overhead = sum(await generator.count_tokens([bare]))  # asked first: counting may teach the size of the context
    return await fit_hits(hits, generator.context_tokens - max_tokens - overhead - _SPARE_TOKENS, generator)


async def fit_hits(hits: Sequence[Hit], budget: int, generator: Generator) -> list[Hit]:
    """Return the leading hits that fit into ``budget`` tokens together: whole passages, the worst left out first."""
    blocks = [render_passage(n, hit.title, hit.text) for n, hit in enumerate(hits, start=1)]
    if sum(await generator.count_tokens(["\n".join(blocks)])) <= budget:
        return list(hits)
    kept: list[Hit] = []
    for hit, tokens in zip(hits, await generator.count_tokens(blocks), strict=True):
        budget -= tokens + 1  # the line break between two passages
        if budget < 0:
            break
        kept.append(hit)
    return kept


def condense_hits(hits: Sequence[Hit], question: str, sentences: int | None) -> list[Hit]:
    """Return the hits with what a model reads of them: all, or the sentences nearest the question."""
    if sentences is None:
        return list(hits)
    return [replace(hit, text=condense(hit.text, question, sentences=sentences)) for hit in hits]
