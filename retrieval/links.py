"""From passages that a question leads to, over the names they hold, to the passages that these names lead to.

A passage is reached over a name that is its title, or over a rare name that it holds. Functions on arrays, compiled.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.edges import Kind
from memory_graph.hashing import Hashes, Ints, Words, add_word, begin_name
from memory_graph.push import GraphArrays

Floats = NDArray[np.float64]

# What is known of the links of one kind that lead to a passage; see ``follow``.
LINK_COLUMNS = ("strongest", "soonest", "first", "sum", "number")
_WIDTH = len(LINK_COLUMNS)
_KINDS = len(Kind)


class Steps(NamedTuple):
    """Names on the way (k,), each once a passage: which leading passage holds it, and which of the distinct names."""

    leads: Ints
    names: Ints


class Rows(NamedTuple):
    """Compressed rows: those of name i are ``passages[starts[i]:starts[i+1]]``; ``degrees`` counts them if cut, too."""

    starts: Ints
    passages: Ints
    degrees: Ints


def passages_of(graph: GraphArrays, phrases: Ints, limit: int) -> Rows:
    """Return the living passages that hold each phrase (k,); of a phrase that more than ``limit`` hold, none."""
    return Rows(*_gather(graph, np.asarray(phrases, dtype=np.int64), limit))


def follow(
    steps: Steps, strengths: Floats, nearness: Floats, weights: Floats, rows: Rows, leads: Ints, targets: Ints
) -> tuple[Floats, Ints, Ints]:
    """Return what is known of the links to each target (m,): columns (m, 5), and the lead and name of the strongest.

    ``leads`` (l,) are passages, the best first, with their ``strengths`` (l,) in 0..1 and ``nearness`` (l,) to the
    question; ``weights`` (n,) are those of the names whose passages are ``rows``. ``targets`` are ascending passages.
    Columns: the highest strength · nearness · weight; the highest nearness · weight / √(1 + place of the lead); the
    highest nearness · weight of the first lead; the sum of strength · nearness · weight; the number of leads. A lead
    and name of -1 stand for none.
    """
    found: tuple[Floats, Ints, Ints] = _follow(*steps, strengths, nearness, weights, *rows[:2], leads, targets)
    return found


def hash_spans(words: Words, begins: Ints, lengths: Ints) -> Hashes:
    """Return the hash of the name at each span (k,) of ``words``."""
    hashed: Hashes = _hash_spans(words, begins, lengths)
    return hashed


def cover(words: Words, begins: Ints, ends: Ints, wanted: Words) -> NDArray[np.bool_]:
    """Return which of the ``wanted`` words (w,), ascending, each stream (n,) of words holds: (n, w)."""
    held: NDArray[np.bool_] = _cover(words, begins, ends, wanted)
    return held


@njit(cache=True, nogil=True)
def _doubled(found: Ints) -> Any:
    larger = np.empty(2 * len(found), dtype=np.int64)
    larger[: len(found)] = found
    return larger


@njit(cache=True, nogil=True)
def _gather(graph: Any, phrases: Ints, limit: int) -> Any:
    starts, degrees = np.zeros(len(phrases) + 1, dtype=np.int64), np.zeros(len(phrases), dtype=np.int64)
    n_settled, n, room = len(graph.starts) - 1, 0, 1024
    found = np.empty(room, dtype=np.int64)
    for index in range(len(phrases)):
        row = phrases[index] * _KINDS + Kind.context
        begin, end = 0, 0
        if row < n_settled:
            begin, end = graph.starts[row], graph.starts[row + 1]
        head = 0
        if graph.log_used > 0 and row < len(graph.log_newest):
            head = graph.log_newest[row]
            while head > graph.log_used:
                head = graph.log_previous[head - 1]
        degree = end - begin + (graph.log_net[head - 1] if head > 0 else 0)
        degrees[index] = degree
        if 0 < degree <= limit:
            first, gone = n, set([np.int64(-1)])
            # What was taken back comes after what it takes back, so it is met first here.
            while head > 0:
                target = np.int64(graph.log_target[head - 1])
                if graph.log_count[head - 1] < 0:
                    gone.add(target)
                elif target in gone:
                    gone.remove(target)
                else:
                    if n == room:
                        found, room = _doubled(found), 2 * room
                    found[n] = target
                    n += 1
                head = graph.log_previous[head - 1]
            for edge in range(begin, end):
                target = np.int64(graph.targets[edge])
                if target not in gone:
                    if n == room:
                        found, room = _doubled(found), 2 * room
                    found[n] = target
                    n += 1
            found[first:n].sort()
        starts[index + 1] = n
    return starts, found[:n].copy(), degrees


@njit(cache=True, nogil=True)
def _follow(
    of_lead: Ints,
    of_name: Ints,
    strengths: Floats,
    nearness: Floats,
    weights: Floats,
    starts: Ints,
    passages: Ints,
    leads: Ints,
    targets: Ints,
) -> Any:
    columns = np.zeros((len(targets), _WIDTH))
    last = np.full(len(targets), -1, dtype=np.int64)
    from_lead, over = np.full(len(targets), -1, dtype=np.int64), np.full(len(targets), -1, dtype=np.int64)
    for step in range(len(of_lead)):
        lead, name = of_lead[step], of_name[step]
        near = nearness[lead] * weights[name]
        strong = strengths[lead] * near
        soon = near / np.sqrt(1.0 + lead)
        for edge in range(starts[name], starts[name + 1]):
            if passages[edge] == leads[lead]:
                continue
            at = np.searchsorted(targets, passages[edge])
            if columns[at, 4] == 0.0 or (columns[at, 4] == 1.0 and last[at] == lead):
                columns[at, 2] = max(columns[at, 2], near)
            if strong > columns[at, 0]:
                columns[at, 0], from_lead[at], over[at] = strong, lead, name
            columns[at, 1] = max(columns[at, 1], soon)
            columns[at, 3] += strong
            if last[at] != lead:
                columns[at, 4] += 1.0
                last[at] = lead
    return columns, from_lead, over


@njit(cache=True, nogil=True)
def _hash_spans(words: Words, begins: Ints, lengths: Ints) -> Any:
    hashed = np.empty(len(begins), dtype=np.uint64)
    for index in range(len(begins)):
        name = begin_name()
        for place in range(begins[index], begins[index] + lengths[index]):
            name = add_word(name, words[place])
        hashed[index] = name
    return hashed


@njit(cache=True, nogil=True)
def _cover(words: Words, begins: Ints, ends: Ints, wanted: Words) -> Any:
    held = np.zeros((len(begins), len(wanted)), dtype=np.bool_)
    for index in range(len(begins)):
        for place in range(begins[index], ends[index]):
            at = np.searchsorted(wanted, words[place])
            if at < len(wanted) and wanted[at] == words[place]:
                held[index, at] = True
    return held
