"""Ways of searching: their names, what they ask for, and every combination once."""

from __future__ import annotations

from typing import Literal, get_args

import pytest

from evaluation.ways import Way, combine_ways, list_choices, list_values
from memory_graph.errors import InvalidInput
from retrieval.graph_search import GraphParams
from retrieval.search import Mode, SearchRequest


def test_a_name_tells_what_is_not_the_default() -> None:
    assert Way().name == "graph"
    assert Way(mode="dense").name == "dense"
    assert Way(mode="dense", walk="exact").name == "dense,walk=exact"
    assert Way(mode="dense").options["mode"] == "dense"
    assert Way(parity=True).name == "parity"
    assert Way(mode="graph", walk="exact").changed == {"walk": "exact"}


def test_a_way_asks_for_its_options_and_leaves_the_rest() -> None:
    assert Way(mode="dense").request("Who?", 7) == SearchRequest(query="Who?", top_k=7, mode="dense")
    assert Way().request("Who?", 7) == SearchRequest(query="Who?", top_k=7)
    assert Way().params() == GraphParams()
    exact = Way(walk="exact").params()
    assert exact.exact
    assert exact.walk.damping == GraphParams().walk.damping


def test_the_choices_are_those_of_the_search() -> None:
    assert list_choices()["mode"] == get_args(Mode)
    assert list_choices()["walk"] == ("push", "exact")
    assert list_values(Literal["chain", "cross"] | None) == ("chain", "cross", None)
    assert list_values(bool) == (False, True)


def test_each_combination_comes_once_in_the_order_given() -> None:
    ways = combine_ways(mode=["graph", "dense", "graph"], walk=["push", "exact"])
    assert [way.name for way in ways] == ["graph", "graph,walk=exact", "dense", "dense,walk=exact"]


def test_a_way_of_reranking_that_does_not_fit_the_mode_is_refused_before_anything_is_learned() -> None:
    assert [way.rerank for way in combine_ways(mode=["graph"], rerank=["chain", "none"])] == ["chain", "none"]
    with pytest.raises(InvalidInput, match="--rerank: chain goes with mode graph alone, not with dense"):
        combine_ways(mode=["graph", "dense"], rerank=["none", "chain"])


@pytest.mark.parametrize("value", ["sparse", "", None, True])
def test_a_value_that_an_option_cannot_have_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match=r"--mode: must be one of .*dense.*, not"):
        combine_ways(mode=[value])
