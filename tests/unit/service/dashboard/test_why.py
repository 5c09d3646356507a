"""The explanation of an answer, from traces that are whole, short, or hold mischief."""

from __future__ import annotations

from typing import Any

from service.dashboard.why import explain, seen_passages

TRACE: dict[str, Any] = {
    "hits": [{"passage_id": 7, "rank": 1, "score": 0.9}, {"passage_id": 9, "rank": 2, "score": 0.4}],
    "order": [7, 9],
    "stages": [
        {"name": "dense", "ms": 1.0, "detail": {"best": [{"passage_id": 9, "similarity": 0.5}]}},
        {
            "name": "walk",
            "ms": 3.0,
            "detail": {
                "phrases": [{"phrase": "<b>Orla</b>", "phrase_id": 1, "reset": 0.3}],
                "seeds": [{"passage_id": 5, "similarity": 0.5, "lexical": 1.0, "reset": 0.7}],
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
    ],
}


def test_ranks_seeds_and_chains_of_the_hits_are_told() -> None:
    html = explain(TRACE, "default", {7: "Lamp, 1"})
    assert '<a href="/admin/c/default/passages/7">Lamp, 1</a>' in html
    assert ">passage 9</a>" in html
    assert "below 1" in html  # passage 7 by vector
    assert "30.0 %" in html
    assert "Vey (title)" in html
    assert "Ash" not in html.split("All that it noted")[0]  # its passage is no hit


def test_names_of_the_memory_are_shown_and_not_run() -> None:
    html = explain(TRACE, "default", {7: "<script>x</script>"})
    assert "<b>" not in html
    assert "<script" not in html


def test_the_passages_to_name_come_once_the_hits_first() -> None:
    assert seen_passages(TRACE) == [7, 9, 5, 3]


def test_a_trace_without_stages_is_explained_as_far_as_it_goes() -> None:
    html = explain({}, "default", {})
    assert "Nothing was found." in html
    assert "No trace was kept." in html
