"""Names in a question, matched to the phrases that the memory knows."""

from __future__ import annotations

from collections.abc import Mapping

from memory_graph.text import words

# Longer names are rare, and every word more is another look-up for each word of the question.
MAX_NAME_WORDS = 12


def link_phrases(question: str, phrase_rows: Mapping[str, int]) -> list[int]:
    """Return the rows of the phrases named in ``question``: longest match first, left to right, none inside another.

    ``phrase_rows`` maps the normalised key of each known phrase to its row.
    """
    tokens = words(question)
    found: list[int] = []
    position = 0
    while position < len(tokens):
        for length in range(min(MAX_NAME_WORDS, len(tokens) - position), 0, -1):
            row = phrase_rows.get(" ".join(tokens[position : position + length]))
            if row is not None:
                found.append(row)
                position += length
                break
        else:
            position += 1
    return list(dict.fromkeys(found))
