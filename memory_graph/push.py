"""The compiled walk: forward push over the graph's arrays.

Functions on arrays, compiled by numba and cached on disk, that run without the GIL. A walk goes in rounds: all nodes
that hold enough mass are pushed together, in loops of independent look-ups, since waiting for memory is what a walk
spends its time on. What it writes to belongs to that walk alone and grows with the nodes it meets, not with the graph.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from memory_graph.edges import Edges, Kind
from memory_graph.graph import LEAST_IDF, Graph, Shares

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
Floats = NDArray[np.float64]

# Fibonacci hashing: an odd multiplier near 2^64 divided by the golden ratio spreads neighbouring nodes.
_MULTIPLIER = -7046029254386353131
_FIRST_CAPACITY = 8192
_KINDS = len(Kind)
_LOGS = np.log(np.arange(1024) + 0.5)  # of the document frequencies that nearly all phrases have
# What a walk knows of a node that it met, side by side: a look-up costs one access to memory, not five.
_MET = np.dtype(
    [
        ("node", np.int64),
        ("residual", np.float64),  # mass that is still to be pushed
        ("settled", np.float64),  # mass that stays
        ("degree", np.int32),  # edges that leave the node, 0: not looked up yet
        ("chosen", np.int32),  # 1: is pushed in this round
    ]
)


class GraphArrays(NamedTuple):
    """What the kernels read of a ``Graph``: its mentions and its edges, each with its log."""

    mention_starts: Ints
    mention_targets: SmallInts
    mention_counts: SmallInts
    mention_log_target: SmallInts
    mention_log_count: SmallInts
    mention_log_previous: SmallInts
    mention_log_net: SmallInts
    mention_log_newest: SmallInts
    mention_log_used: int
    starts: Ints
    targets: SmallInts
    counts: SmallInts
    log_target: SmallInts
    log_count: SmallInts
    log_previous: SmallInts
    log_net: SmallInts
    log_newest: SmallInts
    log_used: int
    n_passages: int
    n_living: int


def arrays_of(graph: Graph) -> GraphArrays:
    """Return what the kernels read of a graph."""
    arrays = [*_arrays_of(graph.mentions), *_arrays_of(graph.edges), graph.n_passages, graph.n_living]
    return GraphArrays(*arrays)


def _arrays_of(edges: Edges) -> list[Any]:
    log = edges.log
    return [*edges.base, log.target, log.count, log.previous, log.net, log.newest, edges.used]


def push(
    graph: GraphArrays, seeds: Ints, masses: Floats, damping: float, epsilon: float, shares: Shares
) -> tuple[Ints, Floats, float, int, int]:
    """Push mass from the seeds (k,) until no node holds more than ``epsilon`` times its out-degree.

    Returns the nodes that were met (n,), what settled on each (n,), the mass that was left to send, the edges that were
    touched and the rounds. With x = (1-d)·reset + d·S·x, what settled is at most x at every node, and falls short of
    it by at most the mass left, in sum. Source: Andersen, Chung and Lang 2006, for a directed step; that 1-d of what a
    node holds at the end is settled too keeps the bound, since a walk from a node ends there at once as often.
    """
    found: tuple[Ints, Floats, float, int, int] = _push(
        graph,
        np.asarray(seeds, dtype=np.int64),
        np.asarray(masses, dtype=np.float64),
        float(damping),
        float(epsilon),
        np.array([shares.context, shares.relation, shares.synonymy]),
    )
    return found


def send_among(graph: GraphArrays, sources: Ints, masses: Floats, targets: Ints, shares: Shares) -> Floats:
    """Send masses (k,) from nodes (k,) once along their edges; return what arrives at ``targets`` (m,), (k, m).

    ``targets`` are nodes, ascending.
    """
    kinds = np.array([shares.context, shares.relation, shares.synonymy])
    arrived: Floats = _send_among(graph, sources, masses, targets, kinds)
    return arrived


@njit(cache=True, nogil=True)
def _push(graph: Any, seeds: Ints, masses: Floats, damping: float, epsilon: float, shares: Floats) -> Any:
    met, n = np.empty(_FIRST_CAPACITY, dtype=_MET), 0
    slots = np.zeros(4 * _FIRST_CAPACITY, dtype=np.int32)  # a hash table: where in ``met`` a node is, plus one
    nodes, sent = seeds, masses
    touched, rounds = 0, 0
    while True:
        if n + len(nodes) > len(met):
            met, slots = _enlarge(met, n, n + len(nodes))
        chosen, n = _receive(graph, nodes, sent, epsilon, met, slots, n)
        if not len(chosen):
            break
        nodes, sent = _send(graph, chosen, damping, shares, met)
        touched += len(nodes)
        rounds += 1
    found, settled, left = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.float64), 0.0
    for at in range(n):
        # Of the mass that is not worth sending on, the part that stays is known all the same.
        found[at] = met[at].node
        settled[at] = met[at].settled + (1.0 - damping) * met[at].residual
        left += damping * met[at].residual
    return found, settled, left, touched, rounds


@njit(inline="always")
def _slot(node: int, slots: SmallInts, met: Any) -> Any:
    """Return the slot of the hash table that holds a node, or the free one where it belongs."""
    mask = len(slots) - 1
    slot = ((node * _MULTIPLIER) >> 32) & mask
    while slots[slot] != 0 and met[slots[slot] - 1].node != node:
        slot = (slot + 1) & mask
    return slot


@njit(cache=True, nogil=True)
def _enlarge(met: Any, n: int, needed: int) -> Any:
    capacity = len(met)
    while capacity < needed:
        capacity *= 2
    larger = np.empty(capacity, dtype=_MET)
    larger[:n] = met[:n]
    slots = np.zeros(4 * capacity, dtype=np.int32)
    for at in range(n):
        slots[_slot(larger[at].node, slots, larger)] = at + 1
    return larger, slots


@njit(inline="always")
def _newest_record(row: int, newest: SmallInts, previous: SmallInts, used: int) -> Any:
    """Return the newest record of a row that this graph holds, plus one; 0 for none."""
    record = 0
    if used > 0 and row < len(newest):
        record = newest[row]
        while record > used:
            record = previous[record - 1]
    return record


@njit(cache=True, nogil=True)
def _fetch(array: SmallInts, positions: Ints) -> Any:
    """Touch scattered positions, so that memory is waited for once and not once for each of them."""
    seen = 0
    for position in positions:
        if position < len(array):
            seen += array[position]
    return seen


@njit(cache=True, nogil=True)
def _receive(graph: Any, nodes: Ints, sent: Floats, epsilon: float, met: Any, slots: SmallInts, n: int) -> Any:
    """Add what was sent to the nodes (m,); return which hold enough to be pushed, and how many are met."""
    chosen, count = np.empty(len(nodes), dtype=np.int32), 0
    for index in range(len(nodes)):
        slot = _slot(nodes[index], slots, met)
        at = slots[slot] - 1
        if at < 0:
            at = n
            n += 1
            slots[slot] = n
            met[at].node = nodes[index]
            met[at].residual = 0.0
            met[at].settled = 0.0
            met[at].degree = 0
            met[at].chosen = 0
        met[at].residual += sent[index]
        if met[at].residual > epsilon and met[at].chosen == 0:
            met[at].chosen = 1
            chosen[count] = at
            count += 1
    _look_up_degrees(graph, chosen[:count], met)
    kept = 0
    for at in chosen[:count]:
        if met[at].residual > epsilon * met[at].degree:
            chosen[kept] = at
            kept += 1
        else:
            met[at].chosen = 0
    return chosen[:kept], n


@njit(cache=True, nogil=True)
def _look_up_degrees(graph: Any, places: SmallInts, met: Any) -> None:
    starts, n_rows = graph.starts, len(graph.starts) - 1
    mention_starts, n_settled = graph.mention_starts, len(graph.mention_starts) - 1
    newest, previous, net, used = graph.log_newest, graph.log_previous, graph.log_net, graph.log_used
    for at in places:
        if met[at].degree > 0:
            continue
        node, degree = met[at].node, 0
        if node >= graph.n_passages:
            row = (node - graph.n_passages) * _KINDS
            if row < n_rows:
                degree = starts[row + _KINDS] - starts[row]
            if used > 0:
                for kind in range(_KINDS):
                    record = _newest_record(row + kind, newest, previous, used)
                    if record > 0:
                        degree += net[record - 1]
        else:
            if node < n_settled:
                degree = mention_starts[node + 1] - mention_starts[node]
            record = _newest_record(node, graph.mention_log_newest, graph.mention_log_previous, graph.mention_log_used)
            if record > 0:
                degree += graph.mention_log_net[record - 1]
        met[at].degree = max(degree, 1)


@njit(cache=True, nogil=True)
def _send(graph: Any, chosen: SmallInts, damping: float, shares: Floats, met: Any) -> Any:
    """Settle a part of what the chosen nodes hold; return the nodes (m,) that get the rest, and how much each."""
    passages, phrases = 0, 0
    from_passages, passage_masses = np.empty(len(chosen), dtype=np.int64), np.empty(len(chosen))
    from_phrases, phrase_masses = np.empty(len(chosen), dtype=np.int64), np.empty(len(chosen))
    for at in chosen:
        mass = damping * met[at].residual
        met[at].settled += met[at].residual - mass
        met[at].residual = 0.0
        met[at].chosen = 0
        if met[at].node < graph.n_passages:
            from_passages[passages], passage_masses[passages] = met[at].node, mass
            passages += 1
        else:
            from_phrases[phrases], phrase_masses[phrases] = met[at].node - graph.n_passages, mass
            phrases += 1
    some, masses = _send_from_passages(graph, from_passages[:passages], passage_masses)
    others, other_masses = _send_from_phrases(graph, from_phrases[:phrases], phrase_masses, shares)
    return np.concatenate((some, others)), np.concatenate((masses, other_masses))


@njit(cache=True, nogil=True)
def _send_from_passages(graph: Any, passages: Ints, masses: Floats) -> Any:
    """Divide each passage's mass among its phrases in proportion to count · idf."""
    starts, n_rows = graph.starts, len(graph.starts) - 1
    n_settled, later = len(graph.mention_starts) - 1, graph.mention_log_previous
    newest, previous, net, used = graph.log_newest, graph.log_previous, graph.log_net, graph.log_used
    ends = np.empty(len(passages) + 1, dtype=np.int64)
    begins, heads = np.zeros(len(passages), dtype=np.int64), np.empty(len(passages), dtype=np.int64)
    remaining = np.zeros(len(passages))
    ends[0] = 0
    for index, passage in enumerate(passages):
        ends[index + 1] = ends[index]
        if passage < n_settled:
            begins[index] = graph.mention_starts[passage]
            ends[index + 1] += graph.mention_starts[passage + 1] - begins[index]
        heads[index] = _newest_record(passage, graph.mention_log_newest, later, graph.mention_log_used)
        record = heads[index]
        while record > 0:
            ends[index + 1] += 1
            record = later[record - 1]
    rows, sent = np.empty(ends[-1], dtype=np.int64), np.empty(ends[-1])
    _fetch(graph.mention_targets, begins)
    _fetch(graph.mention_counts, begins)
    for index, passage in enumerate(passages):
        place, record = ends[index], heads[index]
        if passage < n_settled:
            for edge in range(begins[index], graph.mention_starts[passage + 1]):
                rows[place] = graph.mention_targets[edge] * _KINDS
                sent[place] = graph.mention_counts[edge]
                remaining[index] += sent[place]
                place += 1
        while record > 0:
            rows[place] = graph.mention_log_target[record - 1] * _KINDS
            sent[place] = graph.mention_log_count[record - 1]
            remaining[index] += sent[place]
            record = later[record - 1]
            place += 1
    frequencies = np.empty(len(rows), dtype=np.int64)
    for place, row in enumerate(rows):
        frequencies[place] = starts[row + 1] - starts[row] if row < n_rows else 0
    if used > 0:
        for place, row in enumerate(rows):
            record = _newest_record(row, newest, previous, used)
            if record > 0:
                frequencies[place] += net[record - 1]
    log_living = np.log(graph.n_living + 1.0)
    for place, frequency in enumerate(frequencies):
        log = _LOGS[frequency] if frequency < len(_LOGS) else np.log(frequency + 0.5)
        sent[place] *= max(log_living - log, LEAST_IDF)
        rows[place] = rows[place] // _KINDS + graph.n_passages
    for index in range(len(passages)):
        whole = 0.0
        for place in range(ends[index], ends[index + 1]):
            whole += sent[place]
        # Where all that is mentioned was forgotten, the sum of what came and went is zero but for rounding.
        rate = masses[index] / whole if remaining[index] > 0 else 0.0
        for place in range(ends[index], ends[index + 1]):
            sent[place] *= rate
    return rows, sent


@njit(cache=True, nogil=True)
def _send_from_phrases(graph: Any, phrases: Ints, masses: Floats, shares: Floats) -> Any:
    """Divide each phrase's mass among its kinds of edges by their shares, within a kind in proportion to count."""
    starts, targets, counts, n_rows = graph.starts, graph.targets, graph.counts, len(graph.starts) - 1
    newest, previous, used = graph.log_newest, graph.log_previous, graph.log_used
    begins, heads = np.empty(_KINDS * len(phrases), dtype=np.int64), np.empty(_KINDS * len(phrases), dtype=np.int64)
    ends, room = np.empty(_KINDS * len(phrases), dtype=np.int64), 0
    for index, phrase in enumerate(phrases):
        for kind in range(_KINDS):
            row, place = phrase * _KINDS + kind, index * _KINDS + kind
            begins[place] = starts[row] if row < n_rows else 0
            ends[place] = starts[row + 1] if row < n_rows else 0
            heads[place] = _newest_record(row, newest, previous, used)
            room += ends[place] - begins[place]
    if used > 0:
        for head in heads:
            record = head
            while record > 0:
                room += 1
                record = previous[record - 1]
    _fetch(targets, begins)
    _fetch(counts, begins)
    nodes, sent, n = np.empty(room, dtype=np.int64), np.empty(room), 0
    totals = np.empty(_KINDS)
    for index in range(len(phrases)):
        whole = 0.0
        for kind in range(_KINDS):
            place, total = index * _KINDS + kind, 0
            for edge in range(begins[place], ends[place]):
                total += counts[edge]
            record = heads[place]
            while record > 0:
                total += graph.log_count[record - 1]
                record = previous[record - 1]
            totals[kind] = total
            whole += shares[kind] if total > 0 else 0.0
        for kind in range(_KINDS):
            if totals[kind] <= 0 or shares[kind] <= 0.0:
                continue
            place, rate = index * _KINDS + kind, masses[index] * shares[kind] / (whole * totals[kind])
            offset = 0 if kind == 0 else graph.n_passages  # context leads to passages, the others to phrases
            for edge in range(begins[place], ends[place]):
                nodes[n] = targets[edge] + offset
                sent[n] = rate * counts[edge]
                n += 1
            record = heads[place]
            while record > 0:
                nodes[n] = graph.log_target[record - 1] + offset
                sent[n] = rate * graph.log_count[record - 1]
                n += 1
                record = previous[record - 1]
    return nodes[:n], sent[:n]


@njit(cache=True, nogil=True)
def _send_among(graph: Any, sources: Ints, masses: Floats, targets: Ints, shares: Floats) -> Any:
    arrived = np.zeros((len(sources), len(targets)))
    one, mass = np.empty(1, dtype=np.int64), np.empty(1)
    for row in range(len(sources)):
        mass[0] = masses[row]
        if sources[row] < graph.n_passages:
            one[0] = sources[row]
            nodes, sent = _send_from_passages(graph, one, mass)
        else:
            one[0] = sources[row] - graph.n_passages
            nodes, sent = _send_from_phrases(graph, one, mass, shares)
        for edge in range(len(nodes)):
            place = np.searchsorted(targets, nodes[edge])
            if place < len(targets) and targets[place] == nodes[edge]:
                arrived[row, place] += sent[edge]
    return arrived
