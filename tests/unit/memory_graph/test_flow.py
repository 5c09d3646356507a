"""Where mass came from: by hand on four passages, and on random graphs against networkx."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memory_graph.flow import Flow, Inflow
from memory_graph.graph import Graph, Mentions, Relations, Shares, Synonyms, build_graph, empty_graph
from memory_graph.walk import Walk, WalkParams, walk
from tests.unit.graphs import Oracle, advance, columns, steps
from tests.unit.memory_graph.test_walk import random_graph, random_reset

ALL = 10**6
SHARES = Shares(context=1.0, relation=0.3, synonymy=0.1)


def all_flows(graph: Graph, params: WalkParams, seeds: np.ndarray, masses: np.ndarray) -> tuple[Walk, list[Inflow]]:
    walked = walk(graph, seeds, masses, params)
    return walked, Flow(graph, walked, seeds, masses, params).into(range(graph.n_nodes), ALL, ALL)


def test_two_passages_and_a_phrase_by_hand() -> None:
    # Passage 0 starts with everything and shares its only phrase, node 2, with passage 1.
    mentions = Mentions(*columns([(0, 0, 1), (1, 0, 3)], 3))
    graph = build_graph(mentions, Relations.none(), Synonyms.none(), n_passages=2, n_phrases=1)
    params = WalkParams(mode="exact", damping=0.5, tolerance=1e-15)
    _, (first, second, phrase) = all_flows(graph, params, np.array([0]), np.array([1.0]))
    # p0 = 1/2 + 1/2 · 1/4 · ph, p1 = 1/2 · 3/4 · ph, ph = 1/2 · (p0 + p1): ph = 1/3, p0 = 13/24, p1 = 1/8.
    assert (phrase.mass, first.mass, second.mass) == pytest.approx((1 / 3, 13 / 24, 1 / 8))
    assert (first.reset, second.reset, phrase.reset) == pytest.approx((1 / 2, 0, 0))
    assert (first.sources.tolist(), first.masses.tolist()) == ([2], pytest.approx([1 / 24]))
    assert (second.sources.tolist(), second.masses.tolist()) == ([2], pytest.approx([1 / 8]))
    assert (phrase.sources.tolist(), phrase.masses.tolist()) == ([0, 1], pytest.approx([13 / 48, 1 / 16]))
    assert max(abs(one.other) for one in (first, second, phrase)) < 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_flows_are_those_of_networkx(seed: int) -> None:
    graph = random_graph(seed, 80, 50)
    seeds, masses = random_reset(graph, seed)
    params = WalkParams(mode="exact", damping=0.7, shares=SHARES, tolerance=1e-14, max_iterations=1000)
    _, found = all_flows(graph, params, seeds, masses)

    step = graph.transition(SHARES).tocoo()
    drawn = networkx.DiGraph()
    drawn.add_nodes_from(range(graph.n_nodes))
    drawn.add_weighted_edges_from(zip(step.col.tolist(), step.row.tolist(), step.data.tolist(), strict=True))
    reset = dict(zip(seeds.tolist(), masses.tolist(), strict=True))
    ranks = networkx.pagerank(drawn, alpha=0.7, personalization=reset, tol=1e-15, max_iter=1000)
    for inflow in found:
        assert inflow.mass == pytest.approx(ranks[inflow.node], abs=1e-10)
        came = dict(zip(inflow.sources.tolist(), inflow.masses.tolist(), strict=True))
        known = {
            source: 0.7 * ranks[source] * weight
            for source, _, weight in drawn.in_edges(inflow.node, data="weight")
            if ranks[source] > 1e-12 and weight
        }
        assert came == pytest.approx(known, abs=1e-10)
        assert abs(inflow.other) < 1e-10


@settings(max_examples=40, deadline=None)
@given(steps(), st.integers(0, 1000), st.sampled_from(["push", "exact"]), st.sampled_from([1e-3, 1e-6]))
def test_the_parts_sum_to_the_mass_whatever_came_and_went(
    history: list[tuple[int, int, int, bool]], seed: int, mode: str, epsilon: float
) -> None:
    graph, oracle = empty_graph(), Oracle()
    for number, passages, phrases, _ in history:
        graph = advance(graph, oracle, number, passages, phrases)
    if not graph.living_passages().any():
        return
    params = WalkParams(mode=mode, damping=0.7, shares=SHARES, epsilon=epsilon, tolerance=1e-14)  # type: ignore[arg-type]
    walked, found = all_flows(graph, params, *random_reset(graph, seed, 3))
    for inflow in found:
        assert -inflow.other <= (1 - params.damping) * walked.residual + 1e-9
        assert inflow.other <= 1e-9
    lacking = -sum(inflow.other for inflow in found)
    assert lacking <= (1 - params.damping) * walked.residual + 1e-9


def test_what_is_not_listed_is_told_as_other() -> None:
    graph = random_graph(1)
    seeds, masses = random_reset(graph, 1)
    params = WalkParams(damping=0.7, epsilon=1e-9)
    flow = Flow(graph, walk(graph, seeds, masses, params), seeds, masses, params)
    hub = graph.n_passages  # a phrase of many passages
    (whole,), (few,) = flow.into([hub], ALL, ALL), flow.into([hub], 2, ALL)
    assert len(whole.sources) > 10
    assert few.sources.tolist() == whole.sources[:2].tolist()
    assert few.other == pytest.approx(float(whole.masses[2:].sum()), abs=1e-6)
    (bounded,) = flow.into([hub], ALL, 5)
    assert len(bounded.sources) == 5


def test_a_node_that_the_walk_did_not_reach_got_nothing() -> None:
    mentions = Mentions(*columns([(0, 0, 1), (1, 1, 1)], 3))
    graph = build_graph(mentions, Relations.none(), Synonyms.none(), n_passages=2, n_phrases=2)
    _, found = all_flows(graph, WalkParams(), np.array([0]), np.array([1.0]))
    assert (found[1].mass, found[1].reset, len(found[1].sources)) == (0.0, 0.0, 0)
