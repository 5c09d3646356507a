from __future__ import annotations

from collections import deque

import pytest

from retrieval.reorder import order_passages


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
