from __future__ import annotations

from collections import deque
from datetime import UTC, datetime

import pytest

from memory_graph.types import Hit
from retrieval.reorder import order_passages, story_key


def deal_to_both_ends(n: int) -> list[int]:
    """Build the order from the worst outwards: each better passage goes to the end that is its turn."""
    row: deque[int] = deque()
    for rank in reversed(range(n)):
        if rank % 2 == 0:
            row.appendleft(rank)
        else:
            row.append(rank)
    return list(row)


@pytest.mark.parametrize("n", range(51))
def test_edges_agrees_with_an_independent_construction_and_the_published_positions(n: int) -> None:
    order = order_passages(n, "edges")
    assert order == deal_to_both_ends(n)
    for i in range(1, n + 1):
        position = (i + 1) // 2 if i % 2 else (n + 1) - i // 2
        assert order[position - 1] == i - 1


def test_edges_puts_the_best_first_and_the_second_best_last() -> None:
    assert order_passages(6, "edges") == [0, 2, 4, 5, 3, 1]


def test_best_first_keeps_the_ranking() -> None:
    assert order_passages(4, "best_first") == [0, 1, 2, 3]


def test_document_sorts_by_document_and_ordinal_and_keeps_ties() -> None:
    keys = [("b", 2), ("a", 9), ("b", 0), ("a", 9)]
    assert order_passages(4, "document", keys) == [1, 3, 2, 0]


@pytest.mark.parametrize("keys", [None, [("a", 0)]])
def test_document_needs_one_key_a_passage(keys: list[tuple[str, int]] | None) -> None:
    with pytest.raises(ValueError, match="one key a passage"):
        order_passages(2, "document", keys)


def test_a_story_goes_source_by_source_by_time_then_as_its_documents_have_it() -> None:
    early, late = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    told = [
        (None, None, "a-file", 1),
        (None, None, "b-file", 0),
        ("chat", early, "session-9", 0),
        ("chat", early, "session-9", 3),
        ("chat", late, "session-1", 0),
        ("chat", None, "session-0", 0),
        ("mail", early, "letter", 0),
    ]
    hits = [
        Hit(
            passage_id=place,
            document_id=key,
            title="",
            text="",
            score=1.0,
            rank=1,
            ordinal=ordinal,
            source=source,
            occurred_at=moment,
        )
        for place, (source, moment, key, ordinal) in enumerate(told)
    ]
    ranked = [hits[place] for place in (6, 3, 0, 5, 2, 4, 1)]
    order = order_passages(len(ranked), "document", [story_key(hit) for hit in ranked])
    assert [ranked[rank].passage_id for rank in order] == list(range(7))
