"""The sentences of passages that speak most of what was asked: an answer without a model, or less for one to read."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from memory_graph.text import words
from memory_graph.types import Citation, Hit
from retrieval.citations import MAX_QUOTE_CHARACTERS, choose_quote, content_words, split_sentences, stems

_CLOSE_SHARE = 0.75
"""A second sentence is quoted too when it scores at least this share of the best one's score."""


def extract(question: str, hits: Sequence[Hit], *, sentences: int = 2) -> tuple[Citation, ...]:
    """Return up to ``sentences`` quotes, at most one a hit, best first; none when no hit shares a word.

    A sentence scores the sum of the idf (over the hits) of the question's words in it; words of the title count half.
    """
    asked = stems(content_words(question))
    spread = Counter(stem for hit in hits for stem in asked & stems(frozenset(words(f"{hit.title}\n{hit.text}"))))
    weight = {stem: math.log(1 + len(hits) / count) for stem, count in spread.items()}
    scored: list[tuple[float, int, str]] = []
    for index, hit in enumerate(hits):
        titled = asked & stems(frozenset(words(hit.title)))
        best = (0.0, "")
        for start, end in split_sentences(hit.text):
            sentence = hit.text[start:end]
            held = asked & stems(frozenset(words(sentence)))
            score = sum(weight[stem] for stem in held) + sum(weight[stem] for stem in titled - held) / 2
            if held and score > best[0]:
                best = (score, sentence)
        if best[0]:
            scored.append((best[0], index, best[1]))
    scored.sort(key=lambda entry: (-entry[0], entry[1]))
    return tuple(
        _quote(hits[index], sentence, question)
        for score, index, sentence in scored[:sentences]
        if score >= _CLOSE_SHARE * scored[0][0]
    )


def condense(text: str, question: str, *, sentences: int) -> str:
    """Return the first sentence of ``text`` and the ``sentences`` nearest the question, gaps marked by "…"."""
    spans = split_sentences(text)
    if len(spans) <= sentences + 1:
        return text
    asked = stems(content_words(question))

    def overlap(index: int) -> int:
        return len(asked & stems(frozenset(words(text[slice(*spans[index])]))))

    # The first sentence mostly says what the others are about.
    kept = sorted({0, *sorted(range(1, len(spans)), key=lambda index: (-overlap(index), index))[:sentences]})
    parts = [text[slice(*spans[kept[0]])]]
    for before, index in pairwise(kept):
        parts.append(("" if index == before + 1 else "… ") + text[slice(*spans[index])])
    return " ".join(parts) + ("" if kept[-1] == len(spans) - 1 else " …")


def _quote(hit: Hit, sentence: str, question: str) -> Citation:
    if len(sentence) > MAX_QUOTE_CHARACTERS:
        sentence = choose_quote(sentence, content_words(question), question)
    return Citation(
        n=hit.rank,
        passage_id=hit.passage_id,
        document_id=hit.document_id,
        title=hit.title,
        quote=sentence,
        supported=True,  # the answer is the quote itself
    )
