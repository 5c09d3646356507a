"""The graph: whatever came and went, it equals one that is built from what lives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from memory_graph.edges import Csr, Edges, Kind, make_csr, spread
from memory_graph.graph import Graph, Mentions, Relations, Shares, Synonyms, build_graph, empty_graph
from tests.unit.graphs import Oracle, advance, columns, content, rebuilt, renumber, steps


@settings(max_examples=150, deadline=None)
@given(steps())
def test_any_history_equals_a_rebuild(history: list[tuple[int, int, int, bool]]) -> None:
    graph, oracle = empty_graph(), Oracle()
    for seed, passages, phrases, compact in history:
        graph = advance(graph, oracle, seed, passages, phrases)
        expected = rebuilt(oracle)
        assert content(graph) == content(expected)
        assert graph.total_count == expected.total_count
        frequency = graph.edges.degrees(Kind.context, graph.n_phrases)
        np.testing.assert_array_equal(frequency, expected.edges.degrees(Kind.context, expected.n_phrases))
        rows = np.arange(graph.n_phrases)
        np.testing.assert_array_equal(graph.edges.degrees_of(Kind.context, rows), frequency)
        np.testing.assert_array_equal(graph.idf_of(rows), graph.idf())
        # The dead stay as rows in one and are rows without edges in the other, which count as living there.
        assert graph.n_living == len(oracle.passages)
        if compact:
            graph = graph.compacted()
            renumber(oracle)
            fresh = rebuilt(oracle)
            assert graph.is_settled
            for name, array in graph.to_arrays().items():
                if not name.startswith("evidence"):
                    np.testing.assert_array_equal(array, fresh.to_arrays()[name], err_msg=name)
            np.testing.assert_array_equal(graph.idf(), fresh.idf())
            again = Graph.from_arrays(graph.to_arrays())
            assert content(again) == content(fresh)
            np.testing.assert_allclose(
                graph.transition(Shares()).toarray(), fresh.transition(Shares()).toarray(), atol=1e-15
            )


@settings(max_examples=50, deadline=None)
@given(steps())
def test_older_graphs_stay_as_they_were_and_may_go_on(history: list[tuple[int, int, int, bool]]) -> None:
    graph, oracle = empty_graph(), Oracle()
    seen = []
    for seed, passages, phrases, _ in history:
        graph = advance(graph, oracle, seed, passages, phrases)
        seen.append((graph, content(graph), graph.idf()))
    for older, _, _ in seen[:-1]:  # a second future for each of them
        older.extended(passages=1, phrases=1, context=Mentions(*columns([(older.n_passages, older.n_phrases, 9)], 3)))
    for older, expected, idf in seen:
        assert content(older) == expected
        np.testing.assert_array_equal(older.idf(), idf)


def test_appending_writes_to_the_log_alone() -> None:
    graph = build_graph(
        Mentions(*columns([(p, p % 7, 1) for p in range(500)], 3)),
        Relations.none(),
        Synonyms.none(),
        n_passages=500,
        n_phrases=7,
    ).extended(passages=1, context=Mentions(*columns([(500, 3, 2)], 3)))
    log, base = graph.edges.log, graph.edges.base
    for _ in range(100):
        graph = graph.extended(passages=1, context=Mentions(*columns([(graph.n_passages, 3, 2)], 3)))
    assert graph.edges.log is log
    assert graph.edges.base is base
    assert graph.edges.used == 101


def test_idf_follows_the_number_of_passages_that_live() -> None:
    graph = build_graph(
        Mentions(*columns([(0, 0, 5), (1, 0, 1), (2, 1, 1)], 3)),
        Relations.none(),
        Synonyms.none(),
        n_passages=3,
        n_phrases=3,
    )
    np.testing.assert_allclose(graph.idf(), np.log([4 / 2.5, 4 / 1.5, 4 / 0.5]))
    later = graph.extended(dead_passages=np.array([1]))
    np.testing.assert_allclose(later.idf(), np.log([3 / 1.5, 3 / 1.5, 3 / 0.5]))
    everywhere = build_graph(
        Mentions(*columns([(p, 0, 1) for p in range(9)], 3)),
        Relations.none(),
        Synonyms.none(),
        n_passages=9,
        n_phrases=1,
    )
    assert everywhere.idf().tolist() == [pytest.approx(np.log(10 / 9.5))]


def test_a_step_divides_mass_as_it_says() -> None:
    graph = build_graph(
        Mentions(*columns([(0, 0, 1), (1, 0, 3), (1, 1, 1)], 3)),
        Relations(*columns([(0, 0, 1, 2)], 4)),
        Synonyms(*columns([(1, 2, 900)], 3)),
        n_passages=3,
        n_phrases=4,
    )
    step = graph.transition(Shares(context=1.0, relation=0.5, synonymy=0.25)).toarray()
    sums = step.sum(axis=0)
    np.testing.assert_allclose(sums, [1, 1, 0, 1, 1, 1, 0])  # the third passage and the fourth phrase have no edges
    np.testing.assert_allclose(step[:, 3], [1 / 6, 1 / 2, 0, 0, 1 / 3, 0, 0])  # context 1 : relation 0.5
    np.testing.assert_allclose(step[:, 4], [0, 1 / 1.75, 0, 0.5 / 1.75, 0, 0.25 / 1.75, 0])
    idf = graph.idf()
    np.testing.assert_allclose(step[3:5, 1], np.array([3 * idf[0], idf[1]]) / (3 * idf[0] + idf[1]))


def test_graphs_without_edges_passages_or_phrases() -> None:
    for n_passages, n_phrases in ((0, 0), (2, 0), (0, 2), (2, 2)):
        graph = build_graph(
            Mentions.none(), Relations.none(), Synonyms.none(), n_passages=n_passages, n_phrases=n_phrases
        )
        assert graph.total_count == 0
        assert graph.transition(Shares()).shape == (graph.n_nodes, graph.n_nodes)
        assert graph.transition(Shares()).nnz == 0
        assert content(graph.compacted()) == {"mentions": [], "relations": [], "synonyms": []}


def test_only_a_settled_graph_can_be_saved() -> None:
    with pytest.raises(ValueError, match="compacted"):
        empty_graph().extended(passages=1).to_arrays()


def test_a_row_is_summed_over_its_records() -> None:
    edges = Edges.of(make_csr(np.array([0, 0]), np.array([1, 2]), np.array([3, 4]), (3, 3)))
    later = edges.extended(np.array([0, 0, 6]), np.array([1, 5, 0]), np.array([-3, 2, 1]), n_rows=9)
    assert [part.tolist() for part in later.row(0)] == [[2, 5], [4, 2]]
    assert [part.tolist() for part in edges.row(0)] == [[1, 2], [3, 4]]
    assert [part.tolist() for part in later.row(8)] == [[], []]
    assert later.settled(9, 6).starts.tolist() == [0, 2, 2, 2, 2, 2, 2, 3, 3, 3]


def test_stretches_follow_each_other() -> None:
    assert spread(np.array([5, 2, 9]), np.array([8, 2, 10])).tolist() == [5, 6, 7, 9]
    assert spread(np.zeros(0, int), np.zeros(0, int)).tolist() == []


def test_equal_pairs_are_summed_and_zeros_left_out() -> None:
    csr = make_csr(np.array([1, 0, 1, 0]), np.array([2, 1, 2, 0]), np.array([1, 5, 2, 0]), (3, 3))
    assert isinstance(csr, Csr)
    assert [part.tolist() for part in csr] == [[0, 1, 2, 2], [1, 2], [5, 3]]
    assert [part.dtype for part in csr] == [np.int64, np.int32, np.int32]
