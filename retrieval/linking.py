"""Names in a question, matched to the phrases that the memory knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from memory_graph.text import words

# Longer names are rare, and every word more is another look-up for each word of the question.
MAX_NAME_WORDS = 12


def link_phrases(question: str, find: Callable[[Iterable[str]], Mapping[str, int]]) -> list[int]:
    """Return the rows of the phrases named in ``question``: longest match first, left to right, none inside another.

    ``find`` returns the row of each normalised key that is known.
    """
    tokens = words(question)
    spans = {
        (start, stop): " ".join(tokens[start:stop])
        for start in range(len(tokens))
        for stop in range(start + 1, min(start + MAX_NAME_WORDS, len(tokens)) + 1)
    }
    known = find(spans.values())
    found: list[int] = []
    position = 0
    while position < len(tokens):
        for stop in range(min(position + MAX_NAME_WORDS, len(tokens)), position, -1):
            row = known.get(spans[position, stop])
            if row is not None:
                found.append(row)
                position = stop
                break
        else:
            position += 1
    return list(dict.fromkeys(found))
