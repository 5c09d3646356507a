"""The walk: push is held to the power iteration, and that to its definition."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_graph.graph import Graph, Mentions, Relations, Shares, Synonyms, build_graph, empty_graph
from memory_graph.walk import Walk, WalkParams, power_iteration, walk
from tests.unit.graphs import Oracle, advance, columns, rebuilt, steps

EXACT = WalkParams(mode="exact", tolerance=1e-14)


def spread_out(walked: Walk, graph: Graph) -> np.ndarray:
    scores = np.zeros(graph.n_nodes)
    scores[walked.nodes] = walked.scores
    return scores


def random_graph(seed: int, n_passages: int = 300, n_phrases: int = 200, per_passage: int = 3) -> Graph:
    """A graph with all kinds of edges, hubs, passages and phrases without edges, and parts that do not touch."""
    random = np.random.default_rng(seed)
    m = n_passages * per_passage
    phrases = (n_phrases * random.random(m) ** 2).astype(int)
    mentions = np.unique(np.column_stack([random.integers(0, n_passages * 9 // 10, m), phrases]), axis=0)
    facts = random.integers(0, n_phrases, (n_passages, 2))
    facts = facts[facts[:, 0] != facts[:, 1]]
    same = np.unique(np.sort(random.integers(0, n_phrases, (n_phrases // 2, 2)), axis=1), axis=0)
    same = same[same[:, 0] < same[:, 1]]
    return build_graph(
        Mentions(*mentions.T, random.integers(1, 5, len(mentions))),
        Relations(random.integers(0, n_passages, len(facts)), *facts.T, random.integers(1, 3, len(facts))),
        Synonyms(*same.T, random.integers(800, 1000, len(same))),
        n_passages=n_passages,
        n_phrases=n_phrases,
    )


def random_reset(graph: Graph, seed: int, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    living = np.concatenate([np.flatnonzero(graph.living_passages()), np.arange(graph.n_passages, graph.n_nodes)])
    count = min(count, len(living))
    return random.choice(living, count, replace=False), random.dirichlet(np.ones(count))


def solve(graph: Graph, seeds: np.ndarray, masses: np.ndarray, params: WalkParams) -> np.ndarray:
    """Solve π = (1-d)·r + d·(S π + r·dangling(π)) as a linear system."""
    step = graph.transition(params.shares).toarray()
    reset = np.zeros(graph.n_nodes)
    reset[seeds] = masses
    dangling = (step.sum(axis=0) == 0).astype(float)
    d = params.damping
    return np.linalg.solve(np.eye(graph.n_nodes) - d * (step + np.outer(reset, dangling)), (1 - d) * reset)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("damping", [0.3, 0.5, 0.85])
@pytest.mark.parametrize("shares", [Shares(), Shares(context=1, relation=0.2, synonymy=0), Shares(context=0)])
def test_both_modes_solve_the_definition(seed: int, damping: float, shares: Shares) -> None:
    graph = random_graph(seed, 60, 40)
    seeds, masses = random_reset(graph, seed)
    params = WalkParams(mode="exact", damping=damping, shares=shares, tolerance=1e-14, max_iterations=1000)
    solution = solve(graph, seeds, masses, params)
    assert solution.sum() == pytest.approx(1)
    np.testing.assert_allclose(spread_out(walk(graph, seeds, masses, params), graph), solution, atol=1e-12)
    for epsilon in (1e-2, 1e-4, 1e-9):
        pushed = walk(graph, seeds, masses, WalkParams(damping=damping, shares=shares, epsilon=epsilon))
        gap = solution - spread_out(pushed, graph)
        assert gap.min() > -1e-12  # a lower bound at every node
        # What is missing is what was left, or less where dangling nodes would have lost a part of it.
        assert gap.sum() <= pushed.residual + 1e-12
    assert gap.sum() < 1e-5


@settings(max_examples=60, deadline=None)
@given(steps(), st.integers(0, 1000))
def test_a_history_walks_like_a_rebuild(history: list[tuple[int, int, int, bool]], seed: int) -> None:
    graph, oracle = empty_graph(), Oracle()
    for number, passages, phrases, _ in history:
        graph = advance(graph, oracle, number, passages, phrases)
    fresh = rebuilt(oracle)
    if not graph.n_nodes or graph.dead_passages.size:
        # A rebuild with the same rows counts the dead as living, which moves idf: compare what is compacted instead.
        graph = graph.compacted()
        if not graph.n_nodes:
            return
        fresh = Graph.from_arrays(graph.to_arrays())
    seeds, masses = random_reset(graph, seed, 3)
    exact = spread_out(walk(fresh, seeds, masses, EXACT), fresh)
    np.testing.assert_allclose(spread_out(walk(graph, seeds, masses, EXACT), graph), exact, atol=1e-9)
    pushed = walk(graph, seeds, masses, WalkParams(epsilon=1e-7))
    assert np.abs(spread_out(pushed, graph) - exact).sum() <= pushed.residual + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_a_log_walks_like_settled_rows(seed: int, commits: int) -> None:
    random = np.random.default_rng(seed)
    graph = random_graph(seed, 80, 50)
    for _ in range(commits):
        alive = np.flatnonzero(graph.living_passages())
        new = [(graph.n_passages, int(h), int(random.integers(1, 4))) for h in random.choice(50, 4, replace=False)]
        graph = graph.extended(
            passages=1,
            phrases=1,
            context=Mentions(*columns([*new, (graph.n_passages, graph.n_phrases, 1)], 3)),
            relation=Relations(*columns([(graph.n_passages, graph.n_phrases, int(random.integers(0, 50)), 1)], 4)),
            dead_passages=random.choice(alive, 5, replace=False),
        )
    small = graph.compacted()
    kept = np.concatenate([graph.living_passages(), np.ones(graph.n_phrases, dtype=bool)])
    row = np.cumsum(kept) - 1
    alive = np.flatnonzero(kept)
    seeds = random.choice(alive, 8, replace=False)
    masses = np.full(8, 1 / 8)
    for params, tolerance in ((EXACT, 1e-12), (WalkParams(epsilon=1e-6), None)):
        here, there = walk(graph, seeds, masses, params), walk(small, row[seeds], masses, params)
        gap = spread_out(here, graph)[alive] - spread_out(there, small)
        assert np.abs(gap).sum() <= (tolerance if tolerance is not None else here.residual + there.residual)
        assert not spread_out(here, graph)[graph.dead_passages].any()


def test_the_ten_best_are_those_of_the_exact_walk() -> None:
    graph = random_graph(1, 3000, 2000, per_passage=5)
    shared = []
    for seed in range(20):
        seeds, masses = random_reset(graph, seed, 50)
        best = []
        for params in (WalkParams(), EXACT):
            scores = spread_out(walk(graph, seeds, masses, params), graph)[: graph.n_passages]
            best.append(set(np.argsort(-scores)[:10].tolist()))
        shared.append(len(best[0] & best[1]) / 10)
    assert np.mean(shared) >= 0.99


def test_a_smaller_epsilon_is_closer_and_touches_more() -> None:
    graph = random_graph(2, 2000, 1500)
    seeds, masses = random_reset(graph, 2)
    walks = [walk(graph, seeds, masses, WalkParams(epsilon=10.0**-e)) for e in range(2, 8)]
    residuals, edges = [one.residual for one in walks], [one.edges for one in walks]
    assert residuals == sorted(residuals, reverse=True)
    assert edges == sorted(edges)
    assert residuals[-1] < 0.01


def test_a_walk_that_meets_many_nodes_makes_room_for_them() -> None:
    graph = random_graph(3, 40_000, 20_000)
    seeds, masses = random_reset(graph, 3, 200)
    pushed = walk(graph, seeds, masses, WalkParams(epsilon=1e-8))
    assert len(pushed.nodes) > 30_000
    exact = spread_out(walk(graph, seeds, masses, EXACT), graph)
    assert np.abs(spread_out(pushed, graph) - exact).sum() == pytest.approx(pushed.residual, abs=1e-9)


def test_a_seed_without_edges_keeps_its_mass() -> None:
    graph = build_graph(
        Mentions(*columns([(0, 0, 1)], 3)), Relations.none(), Synonyms.none(), n_passages=2, n_phrases=1
    )
    for params in (EXACT, WalkParams(epsilon=1e-12)):
        alone = walk(graph, np.array([1]), np.array([1.0]), params)
        np.testing.assert_allclose(spread_out(alone, graph), [0, 1, 0], atol=1e-9)
        both = walk(graph, np.array([0, 1]), np.array([0.5, 0.5]), params)
        assert spread_out(both, graph).sum() == pytest.approx(1)


def test_threads_walk_alike_while_the_graph_grows() -> None:
    graph = random_graph(4, 2000, 1500)
    resets = [random_reset(graph, seed, 40) for seed in range(16)]
    alone = [walk(graph, *reset, WalkParams()) for reset in resets]
    with ThreadPoolExecutor(8) as threads:
        rounds = [threads.submit(walk, graph, *reset, WalkParams()) for _ in range(10) for reset in resets]
        later = graph
        for _ in range(200):
            context = Mentions(*columns([(later.n_passages, phrase, 1) for phrase in range(20)], 3))
            later = later.extended(passages=1, context=context, dead_passages=np.array([later.n_passages - 1]))
        for number, found in enumerate(rounds):
            expected, got = alone[number % len(resets)], found.result()
            np.testing.assert_array_equal(got.nodes, expected.nodes)
            np.testing.assert_array_equal(got.scores, expected.scores)


def test_the_compiled_walk_is_kept_on_disk(tmp_path: Path) -> None:
    script = (
        "import numpy as np\n"
        "from memory_graph.graph import empty_graph\n"
        "from memory_graph.push import _push\n"
        "from memory_graph.walk import WalkParams, walk\n"
        "walk(empty_graph().extended(passages=1), np.array([0]), np.array([1.0]), WalkParams())\n"
        "print(sum(_push.stats.cache_hits.values()), sum(_push.stats.cache_misses.values()))\n"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": ":".join(sys.path)},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert runs == [["0", "1"], ["1", "0"]]


def test_power_iteration_stops_where_it_is_told() -> None:
    graph = random_graph(5, 30, 20)
    step, reset = graph.transition(Shares()), np.zeros(graph.n_nodes)
    reset[0] = 1.0
    once = power_iteration(step, reset, WalkParams(max_iterations=1))
    np.testing.assert_allclose(once, 0.5 * reset + 0.5 * (step @ reset))
    np.testing.assert_array_equal(reset, np.eye(graph.n_nodes)[0])
    assert power_iteration(empty_graph().transition(Shares()), np.zeros(0), WalkParams()).shape == (0,)
