"""Links over names, compiled, beside plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_graph.edges import Kind
from memory_graph.graph import Graph, Mentions, Relations, Synonyms, build_graph, empty_graph
from memory_graph.hashing import hash_keys, names_of
from memory_graph.push import arrays_of
from retrieval.links import LINK_COLUMNS, Rows, Steps, cover, follow, hash_spans, passages_of
from tests.unit.graphs import Oracle, advance, renumber, steps


def check_passages(graph: Graph, limit: int) -> None:
    phrases = np.random.default_rng(limit).permutation(graph.n_phrases)
    found = passages_of(arrays_of(graph), phrases, limit)
    assert len(found.starts) == len(phrases) + 1
    for place, phrase in enumerate(phrases.tolist()):
        targets, counts = graph.edges.row(phrase * len(Kind) + Kind.context)
        expected = sorted(targets[counts > 0].tolist())
        assert found.degrees[place] == len(expected)
        got = found.passages[found.starts[place] : found.starts[place + 1]].tolist()
        assert got == (expected if len(expected) <= limit else [])


@settings(max_examples=100, deadline=None)
@given(steps())
def test_the_passages_of_a_phrase_are_those_of_its_edges(history: list[tuple[int, int, int, bool]]) -> None:
    graph, oracle = empty_graph(), Oracle()
    older = [graph]
    for seed, passages, phrases, compact in history:
        graph = advance(graph, oracle, seed, passages, phrases)
        if compact:
            graph = graph.compacted()
            renumber(oracle)
        older.append(graph)
    for one in older:  # the later ones have not changed the earlier
        for limit in (0, 1, 2, 100):
            check_passages(one, limit)


def test_many_passages_of_a_phrase_fit() -> None:
    """More than there is room for at first, settled and later, with some taken back."""
    n = 3000
    rows = np.arange(n)
    graph = build_graph(
        Mentions(rows, np.zeros(n, int), np.ones(n, int)), Relations.none(), Synonyms.none(), n_passages=n, n_phrases=1
    )
    graph = graph.extended(passages=n, context=Mentions(rows + n, np.zeros(n, int), np.ones(n, int)))
    graph = graph.extended(dead_passages=np.array([1, n - 1, n, 2 * n - 1]))
    check_passages(graph, 2 * n)
    check_passages(graph, 2 * n - 5)


def follow_plainly(
    way: list[tuple[int, int]],
    strengths: list[float],
    nearness: list[float],
    weights: list[float],
    passages: list[list[int]],
    leads: list[int],
    targets: list[int],
) -> list[tuple[list[float], int, int]]:
    found = []
    for target in targets:
        links = [
            (lead, name)
            for lead, name in way
            for passage in passages[name]
            if passage == target and leads[lead] != target
        ]
        strong = [strengths[lead] * nearness[lead] * weights[name] for lead, name in links]
        soon = [nearness[lead] * weights[name] / np.sqrt(1 + lead) for lead, name in links]
        first = [nearness[lead] * weights[name] for lead, name in links if lead == links[0][0]]
        columns = [max(strong, default=0.0), max(soon, default=0.0), max(first, default=0.0), sum(strong)]
        columns.append(float(len({lead for lead, _ in links})))
        if max(strong, default=0.0) > 0:
            found.append((columns, *links[int(np.argmax(strong))]))
        else:
            found.append((columns, -1, -1))
    return found


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 5), st.integers(0, 6), st.integers(1, 8))
def test_links_are_those_of_a_plain_loop(seed: int, n_leads: int, n_names: int, n_passages: int) -> None:
    chance = np.random.default_rng(seed)
    leads = chance.permutation(n_passages)[:n_leads].tolist()
    strengths = np.sort(chance.choice([0.0, 0.25, 0.5, 1.0], len(leads)))[::-1].tolist()
    nearness = chance.choice([0.0, 0.3, 0.9], len(leads)).tolist()
    weights = chance.choice([0.5, 1.0, 3.0], n_names).tolist()
    passages = [sorted(set(chance.integers(0, n_passages, chance.integers(0, 5)).tolist())) for _ in range(n_names)]
    way = [(lead, name) for lead in range(len(leads)) for name in range(n_names) if chance.random() < 0.5]
    targets = sorted({passage for some in passages for passage in some})
    starts = np.cumsum([0, *(len(some) for some in passages)])
    flat = np.array([passage for some in passages for passage in some], dtype=np.int64)
    columns, from_lead, over = follow(
        Steps(*(np.array([step[side] for step in way], dtype=np.int64) for side in (0, 1))),
        np.array(strengths),
        np.array(nearness),
        np.array(weights),
        Rows(starts, flat, np.diff(starts)),
        np.array(leads, dtype=np.int64),
        np.array(targets, dtype=np.int64),
    )
    expected = follow_plainly(way, strengths, nearness, weights, passages, leads, targets)
    assert columns.shape == (len(targets), len(LINK_COLUMNS))
    for place, (wanted, lead, name) in enumerate(expected):
        assert columns[place].tolist() == pytest.approx(wanted)
        assert (from_lead[place], over[place]) == (lead, name)


def test_a_lead_does_not_lead_to_itself() -> None:
    columns, lead, _ = follow(
        Steps(np.array([0]), np.array([0])),
        np.ones(1),
        np.ones(1),
        np.ones(1),
        Rows(np.array([0, 2]), np.array([4, 7]), np.array([2])),
        np.array([4]),
        np.array([4, 7]),
    )
    assert columns[0].tolist() == [0.0] * len(LINK_COLUMNS)
    assert lead.tolist() == [-1, 0]


def test_spans_are_hashed_as_names() -> None:
    words, _ = hash_keys(["ada quill met bram oster"])
    hashed = hash_spans(words, np.array([0, 3, 2, 0]), np.array([2, 2, 1, 5]))
    names = ["ada quill", "bram oster", "met", "ada quill met bram oster"]
    assert hashed.tolist() == names_of(*hash_keys(names)).tolist()
    assert len(hash_spans(words, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))) == 0


WORDS = st.sampled_from(["new", "york", "city", "東京", "q"])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=5), max_size=5), st.lists(WORDS | st.just("nowhere"), unique=True))
def test_streams_cover_the_words_they_hold(texts: list[list[str]], wanted: list[str]) -> None:
    words, ends = hash_keys([" ".join(text) for text in texts])
    ascending = sorted(wanted, key=lambda word: int(hash_keys([word])[0][0]))
    held = cover(words, np.append(0, ends[:-1])[: len(ends)], ends, hash_keys(ascending)[0])
    assert held.tolist() == [[word in text for word in ascending] for text in texts]
    assert held.shape == (len(texts), len(wanted))
