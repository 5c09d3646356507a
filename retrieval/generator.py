"""The language model behind one protocol.

``retrieval/openai_client.py`` asks servers that speak the OpenAI API (vLLM is a URL); ``retrieval/embedded.py`` runs a
GGUF model inside this process and talks to it through the same client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from memory_graph.types import Usage
from retrieval.breaker import BreakerParams

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One finished reply; ``finish_reason`` is ``stop``, or ``length`` when the token limit cut it."""

    text: str
    usage: Usage
    finish_reason: str


@dataclass(frozen=True, kw_only=True)
class Delta:
    """A piece of a streamed reply; only the last one carries ``usage`` and ``finish_reason``."""

    text: str = ""
    usage: Usage | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """How probable each label is as the beginning of a reply; the probabilities of all labels sum to 1."""

    probabilities: Mapping[str, float]
    usage: Usage


@dataclass(frozen=True, kw_only=True)
class GeneratorState:
    """What a probe of the generator found; ``reason`` says why it, or one of its servers, is not reachable."""

    name: str
    reachable: bool
    reason: str | None = None


class Generator(Protocol):
    """Anything that continues a conversation.

    ``context_tokens`` is the size of its context (prompt and reply together). One generator serves one event loop.
    Calls raise a ``GeneratorError`` and nothing else. Close a stream that is not read to its end
    (``contextlib.aclosing``): the server goes on writing otherwise.
    """

    @property
    def name(self) -> str: ...

    @property
    def context_tokens(self) -> int: ...

    async def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Completion: ...

    async def weigh(self, messages: Sequence[Message], labels: Sequence[str]) -> Weighed: ...

    def stream(
        self, messages: Sequence[Message], *, schema: Mapping[str, Any] | None, max_tokens: int
    ) -> AsyncGenerator[Delta, None]: ...

    async def count_tokens(self, texts: Sequence[str]) -> list[int]: ...

    async def check(self) -> GeneratorState: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Servers:
    """How the servers of a generator are: which of them are ``left_alone``, and how many calls were tried again."""

    left_alone: Mapping[str, bool]
    retries: int


@runtime_checkable
class TellsServers(Protocol):
    """A generator that knows of its servers."""

    def servers(self) -> Servers: ...


@dataclass(frozen=True, kw_only=True)
class ClientParams:
    """How patiently a server is asked."""

    connect_timeout_s: float = 3.0
    """Longest wait for a connection."""
    total_timeout_s: float = 60.0
    """Longest time for one call, retries and all pieces of a stream included."""
    idle_timeout_s: float = 45.0
    """Longest silence within a stream; the first piece waits for the whole prompt to be read."""
    probe_timeout_s: float = 5.0
    """Longest time for a question about the server itself (models, token counts)."""
    retries: int = 2
    """How often a call is tried again where that may help (the table in ``retrieval/failures.py``)."""
    backoff_s: float = 0.25
    """Wait before the first further try; it doubles each time, and a random part of up to half is taken off."""
    max_backoff_s: float = 4.0
    """Longest such wait; what a server asks for by ``Retry-After`` may be longer."""
    max_calls: int = 32
    """Calls under way at one server; further ones wait, within the time for the whole call."""
    breaker: BreakerParams = field(default_factory=BreakerParams)
    """When a server that fails is left alone."""
    context_tokens: int = 8192
    """Context assumed where the server does not tell."""
    trust_env: bool = True
    """Whether proxies named in the environment are used."""


def estimate_tokens(text: str) -> int:
    """Estimate a text's tokens, rather too many than too few: a third of its UTF-8 bytes."""
    return -(-len(text.encode("utf-8", "replace")) // 3)
