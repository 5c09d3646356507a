"""Graphs with a random history, and the same graphs built at once from dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from memory_graph.graph import Graph, Mentions, Relations, Synonyms, build_graph

Pairs = dict[tuple[int, int], int]


@dataclass
class Oracle:
    """The same graph as dictionaries."""

    passages: dict[int, tuple[Pairs, Pairs]] = field(default_factory=dict)  # its mentions and its facts
    synonyms: Pairs = field(default_factory=dict)
    n_passages: int = 0
    n_phrases: int = 0
    dead_phrases: set[int] = field(default_factory=set)


def columns(rows: list[tuple[int, ...]], width: int) -> tuple[np.ndarray, ...]:
    return tuple(np.array(rows, dtype=np.int64).reshape(-1, width).T)


def rebuilt(oracle: Oracle) -> Graph:
    """Build the graph of what lives at once, with the same row numbers."""
    mentions = [(p, h, n) for p, (found, _) in oracle.passages.items() for (_, h), n in found.items()]
    facts = [(p, a, b, n) for p, (_, found) in oracle.passages.items() for (a, b), n in found.items()]
    return build_graph(
        Mentions(*columns(mentions, 3)),
        Relations(*columns(facts, 4)),
        Synonyms(*columns([(a, b, n) for (a, b), n in oracle.synonyms.items()], 3)),
        n_passages=oracle.n_passages,
        n_phrases=oracle.n_phrases,
    )


def content(graph: Graph) -> dict[str, list[tuple[int, ...]]]:
    relations = graph.all_relations()
    facts: dict[tuple[int, ...], int] = {}
    for passage, left, right, count in zip(*(column.tolist() for column in relations), strict=True):
        key = (passage, *sorted((left, right)))
        facts[key] = facts.get(key, 0) + count
    return {
        "mentions": sorted(zip(*(column.tolist() for column in graph.all_mentions()), strict=True)),
        "relations": sorted((*key, count) for key, count in facts.items()),
        "synonyms": sorted(zip(*(column.tolist() for column in graph.all_synonyms()), strict=True)),
    }


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[int, int, int, bool]]:
    """Per step: seed, new passages, new phrases, and whether the graph is compacted."""
    count = draw(st.integers(1, 8))
    return [
        (draw(st.integers(0, 2**31)), draw(st.integers(0, 4)), draw(st.integers(0, 5)), draw(st.booleans()))
        for _ in range(count)
    ]


def advance(graph: Graph, oracle: Oracle, seed: int, new_passages: int, new_phrases: int) -> Graph:
    random = np.random.default_rng(seed)
    first, oracle.n_phrases = oracle.n_passages, oracle.n_phrases + new_phrases
    oracle.n_passages += new_passages
    living_phrases = [row for row in range(oracle.n_phrases) if row not in oracle.dead_phrases]
    mentions, facts, synonyms = [], [], []
    for passage in range(first, oracle.n_passages):
        known: Pairs = {}
        joined: Pairs = {}
        if living_phrases:
            for phrase in random.choice(living_phrases, min(len(living_phrases), random.integers(0, 4)), replace=False):
                known[passage, int(phrase)] = int(random.integers(1, 4))
        if len(living_phrases) > 1:
            for _ in range(random.integers(0, 3)):
                a, b = random.choice(living_phrases, 2, replace=False)
                joined[int(a), int(b)] = int(random.integers(1, 3))
        oracle.passages[passage] = known, joined
        mentions += [(passage, phrase, count) for (_, phrase), count in known.items()]
        facts += [(passage, a, b, count) for (a, b), count in joined.items()]
    if len(living_phrases) > 1 and random.random() < 0.5:
        a, b = sorted(random.choice(living_phrases, 2, replace=False).tolist())
        if (a, b) not in oracle.synonyms:
            oracle.synonyms[a, b] = int(random.integers(800, 1000))
            synonyms.append((a, b, oracle.synonyms[a, b]))
    before = [passage for passage in oracle.passages if passage < first]
    dead = random.choice(before, random.integers(0, len(before) + 1), replace=False) if before else np.zeros(0, int)
    for passage in dead.tolist():
        del oracle.passages[passage]
    used = {phrase for known, _ in oracle.passages.values() for _, phrase in known}
    used |= {phrase for _, joined in oracle.passages.values() for pair in joined for phrase in pair}
    used |= {phrase for a, b, _ in synonyms for phrase in (a, b)}
    gone = [row for row in living_phrases if row not in used and random.random() < 0.3]
    oracle.dead_phrases |= set(gone)
    oracle.synonyms = {pair: n for pair, n in oracle.synonyms.items() if not oracle.dead_phrases & set(pair)}
    return graph.extended(
        passages=new_passages,
        phrases=new_phrases,
        context=Mentions(*columns(mentions, 3)),
        relation=Relations(*columns(facts, 4)),
        synonymy=Synonyms(*columns(synonyms, 3)),
        dead_passages=dead,
        dead_phrases=np.array(gone, dtype=np.int64),
    )


def renumber(oracle: Oracle) -> None:
    """Give what lives new rows, in the same order, as compacting does."""
    passage = {old: new for new, old in enumerate(sorted(oracle.passages))}
    living = [row for row in range(oracle.n_phrases) if row not in oracle.dead_phrases]
    phrase = {old: new for new, old in enumerate(living)}
    oracle.passages = {
        passage[p]: (
            {(passage[p], phrase[h]): n for (_, h), n in known.items()},
            {(phrase[a], phrase[b]): n for (a, b), n in joined.items()},
        )
        for p, (known, joined) in sorted(oracle.passages.items())
    }
    oracle.synonyms = {(phrase[a], phrase[b]): n for (a, b), n in oracle.synonyms.items()}
    oracle.n_passages, oracle.n_phrases, oracle.dead_phrases = len(passage), len(phrase), set()
