"""How fast the walk is beside the exact power iteration and igraph, and how close, side by side in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from evaluation.synthetic import SyntheticMemory, generate
from memory_graph.graph import Graph, Mentions, Relations, Synonyms, build_graph
from memory_graph.walk import Walk, WalkParams, power_iteration, walk

Reset = tuple[NDArray[np.int64], NDArray[np.float64]]  # seeds and their masses
Result = TypeVar("Result")
_DAMPING = 0.5
_PASSAGE_SEEDS, _PHRASE_SEEDS, _PHRASE_SHARE, _TEMPERATURE = 200, 5, 0.2, 0.06


@dataclass(frozen=True, kw_only=True)
class WalkRow:
    """One graph; times are medians of a query, in milliseconds, None where it was not measured.

    ``recall_at_10`` is the share of the exact walk's ten best passages that the push has too, for the same reset
    vector, ``l1_error`` how far its scores are from the exact ones in sum, and ``igraph_gap`` how far igraph's are.
    """

    graph: str
    passages: int
    phrases: int
    edges: int
    graph_mb: float
    build_s: float
    push_ms: float
    push_p95_ms: float
    push_8_threads_ms: float
    edges_touched: int
    nodes_reached: int
    recall_at_10: float
    l1_error: float
    exact_ms: float
    igraph_ms: float | None
    igraph_gap: float | None
    exact_over_push: float
    igraph_over_push: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as what ``json.dumps`` takes."""
        return asdict(self)


def synthetic_graph(n_passages: int) -> tuple[Graph, float]:
    """Build the synthetic graph of a size; returns the seconds that building took, without those of making it up."""
    memory = generate(n_passages)
    start = time.perf_counter()
    return graph_of(memory), time.perf_counter() - start


def graph_of(memory: SyntheticMemory) -> Graph:
    """Build the graph of a made-up memory."""
    return build_graph(
        Mentions(*memory.context),
        Relations(memory.relation.passage_rows, memory.relation.left, memory.relation.right, memory.relation.counts),
        Synonyms(*memory.synonymy),
        n_passages=memory.n_passages,
        n_phrases=memory.n_phrases,
    )


def make_resets(graph: Graph, count: int, seed: int = 0) -> list[Reset]:
    """Return reset vectors as searches make them: passages with falling similarity, and phrases of the nearest ones.

    The nearest passages of a question lie in a few documents: half of the seeds are neighbours, half lie anywhere.
    """
    random = np.random.default_rng(seed)
    living = np.flatnonzero(graph.living_passages())
    sharpened = np.exp(-np.linspace(0, 0.3, min(_PASSAGE_SEEDS, len(living))) / _TEMPERATURE)
    resets = []
    for _ in range(count):
        near = (random.integers(len(living)) + np.arange(len(sharpened) // 2)) % len(living)
        anywhere = random.choice(len(living), len(sharpened), replace=False)
        passages = living[random.permutation(np.unique(np.concatenate([near, anywhere])))[: len(sharpened)]]
        mentioned = np.concatenate(
            [
                graph.mentions.base.targets[graph.mentions.base.starts[p] : graph.mentions.base.starts[p + 1]]
                for p in passages[:10]
            ]
        )
        phrases = random.permutation(np.unique(mentioned))[:_PHRASE_SEEDS].astype(np.int64)
        share = _PHRASE_SHARE if len(phrases) else 0.0
        idf = graph.idf_of(phrases)
        masses = [(1 - share) * sharpened / sharpened.sum(), share * idf / idf.sum() if len(phrases) else idf]
        resets.append((np.concatenate([passages, phrases + graph.n_passages]), np.concatenate(masses)))
    return resets


def bench_walk(name: str, graph: Graph, build_s: float, *, queries: int = 100, igraph_queries: int = 2) -> WalkRow:
    """Measure the walks of a settled graph; ``igraph_queries`` 0 leaves igraph out."""
    exact_queries = 10 if graph.n_passages > 300_000 else 100  # seconds each, or a fraction of one
    resets = make_resets(graph, max(queries, exact_queries))
    push, exact = WalkParams(damping=_DAMPING), WalkParams(damping=_DAMPING, mode="exact", tolerance=1e-8)
    walk(graph, resets[0][0], resets[0][1], push)  # compiles, or loads what was compiled
    times, walks = _measure(lambda reset: walk(graph, reset[0], reset[1], push), resets[:queries])
    threads_ms = _measure_threads(graph, resets[:queries], push)
    step = graph.transition(exact.shares)

    def solve(reset: Reset) -> NDArray[np.float64]:
        dense = np.zeros(graph.n_nodes)
        dense[reset[0]] = reset[1]
        return power_iteration(step, dense, exact)

    exact_times, solutions = _measure(solve, resets[:exact_queries])
    pairs = list(zip(walks, solutions, strict=False))
    igraph_ms, gap = _bench_igraph(graph, step, resets[:igraph_queries], solutions) if igraph_queries else (None, None)
    push_ms, exact_ms = median(times), median(exact_times)
    return WalkRow(
        graph=name,
        passages=graph.n_passages,
        phrases=graph.n_phrases,
        edges=len(graph.mentions.base.targets)
        + (len(graph.edges.base.targets) - len(graph.mentions.base.targets)) // 2,
        graph_mb=graph.nbytes / 1e6,
        build_s=build_s,
        push_ms=push_ms,
        push_p95_ms=float(np.percentile(times, 95)),
        push_8_threads_ms=threads_ms,
        edges_touched=int(median(one.edges for one in walks)),
        nodes_reached=int(median(len(one.nodes) for one in walks)),
        recall_at_10=float(np.mean([_recall(graph, *pair) for pair in pairs])),
        l1_error=float(np.mean([_distance(graph, *pair) for pair in pairs])),
        exact_ms=exact_ms,
        igraph_ms=igraph_ms,
        igraph_gap=gap,
        exact_over_push=exact_ms / push_ms,
        igraph_over_push=igraph_ms / push_ms if igraph_ms is not None else None,
    )


def _measure(work: Callable[[Reset], Result], resets: Sequence[Reset]) -> tuple[list[float], list[Result]]:
    """Return the milliseconds and the result of each query."""
    times, results = [], []
    for reset in resets:
        start = time.perf_counter()
        results.append(work(reset))
        times.append((time.perf_counter() - start) * 1000)
    return times, results


def _measure_threads(graph: Graph, resets: Sequence[Reset], params: WalkParams) -> float:
    """Return the milliseconds a query that all take together from 8 threads, divided by their number."""
    with ThreadPoolExecutor(8) as threads:
        start = time.perf_counter()
        list(threads.map(lambda reset: walk(graph, reset[0], reset[1], params), resets))
        return (time.perf_counter() - start) * 1000 / len(resets)


def _bench_igraph(
    graph: Graph, step: csr_matrix, resets: Sequence[Reset], solutions: Sequence[NDArray[np.float64]]
) -> tuple[float, float]:
    """Return igraph's milliseconds a query over the same weights, and how far it is from the exact walk, in L1."""
    import igraph  # GPL: a yardstick, never a part of the product

    coordinates = step.tocoo()  # column → row
    there = igraph.Graph(n=graph.n_nodes, edges=np.column_stack([coordinates.col, coordinates.row]), directed=True)
    there.es["weight"] = coordinates.data.tolist()
    del coordinates

    def solve(reset: Reset) -> NDArray[np.float64]:
        dense = np.zeros(graph.n_nodes)
        dense[reset[0]] = reset[1]
        return np.array(
            there.personalized_pagerank(damping=_DAMPING, reset=dense.tolist(), weights="weight", directed=True)
        )

    times, scores = _measure(solve, resets)
    gaps = [float(np.abs(one - other).sum()) for one, other in zip(scores, solutions, strict=False)]
    return median(times), max(gaps)


def _recall(graph: Graph, pushed: Walk, solution: NDArray[np.float64]) -> float:
    best = np.argsort(-solution[: graph.n_passages], kind="stable")[:10]
    scores = _spread(graph, pushed)[: graph.n_passages]
    return len(set(best.tolist()) & set(np.argsort(-scores, kind="stable")[:10].tolist())) / len(best)


def _distance(graph: Graph, pushed: Walk, solution: NDArray[np.float64]) -> float:
    return float(np.abs(_spread(graph, pushed) - solution).sum())


def _spread(graph: Graph, walked: Walk) -> NDArray[np.float64]:
    scores = np.zeros(graph.n_nodes)
    scores[walked.nodes] = walked.scores
    return scores
