"""Looks for what must not be written: keys, questions and texts in logs and error bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# A shorter text may stand in a log by chance.
LEAST_CHARS = 8


def find_leaks(written: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """Return where which secret stands, of those that are long enough to be told; case does not matter."""
    folded = {place: text.casefold() for place, text in written.items()}
    wanted = sorted({secret for secret in secrets if len(secret) >= LEAST_CHARS})
    return [
        f"{place} holds {secret!r}" for secret in wanted for place, text in folded.items() if secret.casefold() in text
    ]
