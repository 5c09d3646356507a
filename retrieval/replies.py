"""Reading what a server replied; the client library does not validate, so nothing is taken for granted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from memory_graph.errors import GeneratorOutputInvalid
from memory_graph.types import Usage

CUT = "the reply was cut at the token limit before it was complete"


def read_choice(reply: object, part: str) -> tuple[Any, str]:
    """Return the first choice and its text; ``part`` is ``message``, or ``delta`` in a stream."""
    choices = getattr(reply, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = getattr(getattr(choice, part, None), "content", None)
    return choice, text if isinstance(text, str) else ""


def read_first_token(choice: Any) -> dict[str, float]:
    """Return the log-probability of each of the likeliest first tokens; nothing where the server does not tell."""
    content = getattr(getattr(choice, "logprobs", None), "content", None)
    first = content[0] if isinstance(content, list) and content else None
    likeliest = getattr(first, "top_logprobs", None)
    found = {}
    for one in likeliest if isinstance(likeliest, list) else []:
        token, logprob = getattr(one, "token", None), getattr(one, "logprob", None)
        if isinstance(token, str) and isinstance(logprob, (int, float)) and logprob <= 0:
            found[token] = float(logprob)
    return found


def weigh_labels(logprobs: Mapping[str, float], labels: Sequence[str]) -> dict[str, float]:
    """Return the probability mass of the tokens that begin each label, whatever their letter case."""
    masses = dict.fromkeys(labels, 0.0)
    for token, logprob in logprobs.items():
        begun = token.strip().casefold()
        matching = [label for label in labels if begun and label.casefold().startswith(begun)]
        if len(matching) == 1:
            masses[matching[0]] += math.exp(logprob)
    return masses


def read_usage(reply: object, default: Usage | None = None) -> Usage:
    """Return the tokens of one call, those of the prompt that the server had in its cache among them."""
    usage = getattr(reply, "usage", None)
    prompt, completion = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return default or Usage(calls=1)
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    known = cached if isinstance(cached, int) and 0 <= cached <= prompt else 0
    return Usage(prompt_tokens=prompt, cached_tokens=known, completion_tokens=completion, calls=1)


def require_whole(finish_reason: str, schema: Mapping[str, Any] | None, usage: Usage) -> None:
    """Refuse a reply under a schema that the token limit cut: ``GeneratorOutputInvalid``, with what it cost."""
    if finish_reason == "length" and schema is not None:
        raise GeneratorOutputInvalid(CUT, usage)
