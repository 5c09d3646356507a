"""The explanation of an answer, from traces that are whole, short, or hold mischief."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from service.dashboard.why import explain
from service.dashboard.why_flow import Link, draw_sankey, find_links, tabulate
from service.dashboard.why_names import Names, call
from service.recall_schemas import PassageNameOut
from service.traces import passages_in

NAMES = Names("default", {7: "Lamp, 1", 9: "Sea, 2", 5: "Harbour, 1"})
FLOW: dict[str, Any] = {
    "places": [
        {"passage_id": 7, "dense": None, "lexical": 1, "walk": 2},
        {"passage_id": 9, "dense": 1, "lexical": None, "walk": 1},
    ],
    "hits": [
        {
            "passage_id": 7,
            "mass": 0.4,
            "reset": 0.1,
            "other": 0.05,
            "from": [{"phrase_id": 1, "mass": 0.2}, {"phrase_id": 2, "mass": 0.05}],
        },
        {"passage_id": 9, "mass": 0.1, "reset": 0.0, "other": 0.0, "from": [{"phrase_id": 1, "mass": 0.1}]},
    ],
    "phrases": [
        {
            "phrase_id": 1,
            "phrase": "Orla",
            "mass": 0.6,
            "reset": 0.2,
            "other": 0.1,
            "from": [{"passage_id": 5, "mass": 0.25}, {"phrase_id": 3, "phrase": "Orla V", "mass": 0.05}],
        },
        {"phrase_id": 2, "phrase": "Vey", "mass": 0.1, "reset": 0.0, "other": 0.1, "from": []},
    ],
}
TRACE: dict[str, Any] = {
    "hits": [{"passage_id": 7, "rank": 1, "score": 0.9}, {"passage_id": 9, "rank": 2, "score": 0.4}],
    "order": [7, 9],
    "notes": [
        {"text": "Orla built it.", "passage_ids": [7], "question": "Who?", "kept": True},
        {"text": "", "passage_ids": [], "question": "When?", "kept": False},
    ],
    "fallback_reason": "generator_timeout: no answer in time",
    "stages": [
        {"name": "dense", "ms": 1.0, "detail": {"best": [{"passage_id": 9, "similarity": 0.5}]}},
        {
            "name": "facts",
            "ms": 2.0,
            "detail": {
                "facts": [{"fact_id": 1, "fact": "orla built vey", "similarity": 0.61}],
                "dropped": [{"fact_id": 2, "fact": "ash is a river", "similarity": 0.42}],
                "filter": {"shown": 2, "kept": 1, "ms": 12.0, "tokens": {"prompt_tokens": 90, "completion_tokens": 4}},
            },
        },
        {
            "name": "walk",
            "ms": 3.0,
            "detail": {
                "phrases": [
                    {"phrase": "<b>Orla</b>", "phrase_id": 1, "reset": 0.3},
                    {"phrase": "Vey", "phrase_id": 2, "reset": 0.15, "by_facts": 0.15},
                ],
                "seeds": [{"passage_id": 5, "similarity": 0.5, "lexical": 1.0, "reset": 0.5}],
                "other_seeds": {"passages": 30, "reset": 0.05},
            },
        },
        {
            "name": "chain",
            "ms": 4.0,
            "detail": {
                "chains": [
                    {"passage_id": 7, "from_passage_id": 3, "over": "title", "phrase": "Vey", "phrase_id": 2},
                    {"passage_id": 8, "from_passage_id": 4, "over": "name", "phrase": "Ash", "phrase_id": 3},
                ]
            },
        },
        {"name": "flow", "ms": 0.5, "detail": FLOW},
        {"name": "search", "ms": 9.0, "detail": {"question": "When was it built?", "found": 5, "new": [9]}},
        {"name": "notes", "ms": 0.0, "detail": {"stopped": "no_new_questions", "steps": 2, "failures": 0}},
        {"name": "answer", "ms": 8.0, "detail": {"usage": {"prompt_tokens": 900, "completion_tokens": 20}}},
    ],
}


def test_ranks_facts_seeds_and_chains_are_told() -> None:
    html = explain(TRACE, NAMES)
    shown = html.split("All that it noted")[0]
    assert '<a href="/admin/c/default/passages/7">Lamp, 1</a>' in html
    assert "passage 3, forgotten since" in html
    assert "not found" in html  # passage 7 by vector
    assert ">40.0 %</span>" in html  # of the walk's mass
    assert "orla built vey" in shown
    assert "dropped by the filter" in shown
    assert "The filter read 2 facts and kept 1" in shown
    assert ">facts<" in shown  # where Vey came from
    assert "all others together" in shown
    assert '<a href="/admin/c/default/graph?phrase=2">Vey</a>' in shown
    assert "Ash" not in shown  # its passage is no hit


def test_the_reading_is_told_with_its_end_and_its_cost() -> None:
    html = explain(TRACE, NAMES)
    assert "When was it built?" in html
    assert "Orla built it." in html
    assert "It stopped after 2 rounds: there was nothing more to ask." in html
    assert ">900<" in html
    assert ">90<" in html  # of the filter
    assert "generator_timeout: no answer in time" in html


def test_names_of_the_memory_are_shown_and_not_run() -> None:
    names = Names("default", {7: "<script>x</script>", 9: "<i>", 5: "<u>"})
    html = explain(TRACE, names) + tabulate(find_links(FLOW, names))
    for tag in ("<b>", "<script", "<i>", "<u>"):
        assert tag not in html


def _sums(links: list[Link], *, into: bool, column: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for one in links:
        node = one.target if into else one.source
        if node.column == column:
            sums[node.text] = sums.get(node.text, 0.0) + one.mass
    return sums


def test_what_comes_to_a_name_in_the_middle_is_what_leaves_it() -> None:
    links = find_links(FLOW, NAMES)
    arriving, leaving = _sums(links, into=True, column=1), _sums(links, into=False, column=1)
    assert arriving == pytest.approx({"Orla": 0.3, "Vey": 0.05})
    assert {name: leaving[name] for name in arriving} == pytest.approx(arriving)
    assert _sums(links, into=True, column=2) == pytest.approx({"1. Lamp, 1": 0.4, "2. Sea, 2": 0.1})
    named = [one for one in links if one.source.text == "names in the question"]
    assert [(one.target.text, one.mass) for one in named] == [("Orla", pytest.approx(0.1))]


def test_the_diagram_knows_its_nodes_by_names_that_differ() -> None:
    names = Names("default", {7: "same", 9: "same", 5: "Orla"})  # a passage that is called like a name
    options, addresses = draw_sankey(find_links(FLOW, names))
    (series,) = options["series"]
    called = [node["name"] for node in series["data"]]
    assert len(set(called)) == len(called) == len(addresses)
    assert {end for one in series["links"] for end in (one["source"], one["target"])} == set(called)
    assert addresses[called.index("Orla")] in ("/admin/c/default/graph?phrase=1", "/admin/c/default/passages/5")
    assert not any(key.startswith(":") for node in series["data"] for key in node)  # which would be run as a script


def test_links_too_thin_to_be_seen_are_left_out() -> None:
    flow = deepcopy(FLOW)
    flow["hits"][0]["from"][1]["mass"] = 1e-5
    assert not any("Vey" in (one.source.text, one.target.text) for one in find_links(flow, NAMES))


def test_the_passages_to_name_come_once_the_hits_first() -> None:
    assert passages_in(TRACE) == [7, 9, 5, 3, 8, 4]


def test_a_long_title_is_cut() -> None:
    passage = PassageNameOut(id=1, document_id="d", title="x" * 200, ordinal=4)
    assert call(passage) == "x" * 59 + "…, 5"
    assert call(passage.model_copy(update={"title": ""})) == "d, 5"


def test_a_trace_without_stages_is_explained_as_far_as_it_goes() -> None:
    html = explain({}, NAMES)
    assert "Nothing was found." in html
    assert "No trace was kept." in html


def test_a_trace_whose_words_were_forgotten_is_explained_as_far_as_it_goes() -> None:
    stages = [{"name": stage["name"], "ms": stage["ms"], "detail": {}} for stage in TRACE["stages"]]
    html = explain({"forgotten": True, "order": [], "hits": [], "stages": stages}, NAMES)
    assert "Orla" not in html
    assert "Time by stage" in html
