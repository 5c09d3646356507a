"""Which passages mention names, and which names passages mention, as arrays: a picture reads thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from memory_graph.store import inspecting

Ints = NDArray[np.int64]


class Contexts(NamedTuple):
    """Context edges (m,); ``cut`` says whether a name or passage had more of them than were wanted."""

    passages: Ints
    phrase_ids: Ints
    cut: bool


def passages_of(connection: Connection, phrase_ids: Sequence[int], most: int) -> Contexts:
    """Return the passages that mention names, at most ``most`` of each: those that mention it most often."""
    degrees = inspecting.read_degrees(connection, phrase_ids)
    # What is whole needs no order, which takes longer than reading it.
    hubs = [one for one in phrase_ids if degrees.get(one, 0) > most]
    whole = [one for one in phrase_ids if degrees.get(one, 0) <= most]
    parts = [inspecting.read_mentioning(connection, whole)]
    parts += [inspecting.read_mentioning_most(connection, one, most) for one in hubs]
    passages, names = np.array([pair for part in parts for pair in part], dtype=np.int64).reshape(-1, 2).T
    return Contexts(passages, names, bool(hubs))


def names_in(connection: Connection, passages: Ints, most: int) -> Contexts:
    """Return the names that passages mention, at most ``most`` of each: those that it mentions most often."""
    rows = inspecting.read_mentioned(connection, passages.tolist())
    owners, names, counts = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    kept, cut = strongest_of_each(owners, names, counts, most)
    return Contexts(owners[kept], names[kept], cut)


def strongest_of_each(owners: NDArray[Any], others: NDArray[Any], counts: NDArray[Any], most: int) -> tuple[Ints, bool]:
    """Return which edges (m,) are among the ``most`` strongest of their owner, by owner, and whether any is not.

    Of equally strong ones the lower other end comes first.
    """
    order = np.lexsort((others, -counts, owners))
    ordered = owners[order]
    first = np.searchsorted(ordered, ordered, side="left")
    near = np.arange(len(order)) - first < most
    return order[near], bool((~near).any())
