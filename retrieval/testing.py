"""Doubles that ship with the package: ordinary implementations of the protocols, without a model."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.errors import GeneratorError, GeneratorOutputInvalid, GeneratorUnavailable
from memory_graph.text import words
from memory_graph.types import Usage
from retrieval.generator import Completion, Delta, GeneratorState, Message, Weighed, estimate_tokens


class ScriptedGenerator:
    """Gives the replies of a script, one a call; an error in the script is raised instead.

    A reply to ``weigh`` is a mapping from labels to their probabilities. ``prompts`` records the messages of every
    call, ``schemas`` the schemas, ``temperatures`` those of ``complete``. A stream comes in words; in a stream,
    ``BREAK`` within a reply marks where it breaks off.
    """

    BREAK = "\N{SYMBOL FOR END OF TRANSMISSION}"

    def __init__(
        self,
        replies: Iterable[str | Mapping[str, float] | GeneratorError],
        *,
        name: str = "scripted",
        context_tokens: int = 4096,
    ) -> None:
        self.name = name
        self.context_tokens = context_tokens
        self.replies = list(replies)
        self.prompts: list[list[Message]] = []
        self.schemas: list[Mapping[str, Any] | None] = []
        self.temperatures: list[float] = []
        self.closed = False

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion:
        """Return the next reply."""
        self.temperatures.append(temperature)
        text = self._next_text(messages, schema)
        if self.BREAK in text:
            raise GeneratorUnavailable("the reply broke off")
        return Completion(text=text, usage=self._count(messages, text), finish_reason="stop")

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed:
        """Return the next reply; labels that it does not name are not probable at all."""
        found = self._next(messages, None)
        if isinstance(found, str):
            raise GeneratorOutputInvalid("the script has a text where probabilities are asked for")
        return Weighed(
            probabilities={label: found.get(label, 0.0) for label in labels}, usage=self._count(messages, "label")
        )

    async def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]:
        """Yield the next reply word by word."""
        text = self._next_text(messages, schema)
        whole, *broken = text.split(self.BREAK)
        for piece in re.findall(r"\S+\s*|\s+", whole):
            yield Delta(text=piece)
        if broken:
            raise GeneratorUnavailable("the stream broke off")
        yield Delta(usage=self._count(messages, text), finish_reason="stop")

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimate."""
        return [estimate_tokens(text) for text in texts]

    async def check(self) -> GeneratorState:
        """Say whether the script goes on."""
        reason = None if self.replies else "the script has no reply left"
        return GeneratorState(name=self.name, reachable=reason is None, reason=reason)

    async def aclose(self) -> None:
        """Remember that it was closed."""
        self.closed = True

    def _next_text(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str:
        found = self._next(messages, schema)
        if not isinstance(found, str):
            raise GeneratorOutputInvalid("the script has probabilities where a text is asked for")
        return found

    def _next(self, messages: Sequence[Message], schema: Mapping[str, Any] | None) -> str | Mapping[str, float]:
        self.prompts.append(list(messages))
        self.schemas.append(schema)
        if not self.replies:
            raise GeneratorUnavailable("the script has no reply left")
        reply = self.replies.pop(0)
        if isinstance(reply, GeneratorError):
            raise reply
        return reply

    def _count(self, messages: Sequence[Message], text: str) -> Usage:
        prompt = sum(estimate_tokens(message["content"]) for message in messages)
        return Usage(prompt_tokens=prompt, completion_tokens=estimate_tokens(text), calls=1)


class HashEmbedder:
    """Embeds texts by hashing their words and word pairs: equal words give near vectors, on every machine the same."""

    def __init__(self, dim: int = 64) -> None:
        self.name = f"hash-{dim}"
        self.dim = dim

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return L2-normalised vectors, ``(len(texts), dim)``; a text without words gets a unit vector of its own."""
        vectors = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            found = words(text)
            for gram in [*found, *map(" ".join, pairwise(found))] or [text]:
                digest = int.from_bytes(blake2b(gram.encode("utf-8", "surrogatepass"), digest_size=8).digest())
                # A pair says less than its words do: texts that share words only must stay near.
                weight = 0.5 if " " in gram else 1.0
                vectors[row, digest % self.dim] += weight if digest >> 63 else -weight
            if not vectors[row].any():  # all contributions cancelled
                vectors[row, 0] = 1.0
        norms: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)
        return vectors / norms


class WordScorer:
    """Scores a text by the share of the question's words that stand in it: from -6 for none to 6 for all.

    ``asked`` records the question and the texts of every call.
    """

    name = "words"

    def __init__(self) -> None:
        self.asked: list[tuple[str, list[str]]] = []

    def score(self, question: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 of shape (len(texts),)."""
        self.asked.append((question, list(texts)))
        wanted = set(words(question))
        shares = [len(wanted & set(words(text))) / max(len(wanted), 1) for text in texts]
        return np.array([12.0 * share - 6.0 for share in shares], dtype=np.float32)
