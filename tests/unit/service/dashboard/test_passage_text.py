"""Passages as the dashboard draws them: every character of the text is there once, and none of it is markup."""

from __future__ import annotations

import html
import re

import pytest
from markupsafe import Markup

from memory_graph.marking import Named, mark
from service.dashboard.markup import Head, table
from service.dashboard.passage_text import draw_passage, mark_text
from service.learning_schemas import MarkedPassageOut

MISCHIEF = """<script>alert("Ada & Bram")</script> Ada's {braces} {0} %s "Bram" <img src=x onerror=Ada> &amp; Ada"""
NAMES = {1: ["Ada"], 2: ["Bram"]}


def passage(text: str, names: dict[int, list[str]], *facts: Named) -> MarkedPassageOut:
    by_id = {one: ways[0] for one, ways in names.items()}
    return MarkedPassageOut.model_validate(
        {
            "id": 5,
            "ordinal": 1_233,
            "text": text,
            "heading": "<b>Top</b>",
            "page": 3,
            "marks": mark(text, names, facts),
            "names": [{"id": one, "name": name, "count": one} for one, name in by_id.items()],
            "facts": [
                {
                    "id": one.id,
                    "subject": {"id": one.subject_id, "name": by_id[one.subject_id]},
                    "predicate": one.predicate,
                    "object": {"id": one.object_id, "name": by_id[one.object_id]},
                }
                for one in facts
            ],
        }
    )


def shown(drawn: Markup) -> str:
    """Return the text that a browser shows of it."""
    return html.unescape(re.sub(r"<[^>]*>", "", str(drawn)))


LIKES = Named(id=9, subject_id=1, predicate="likes", object_id=2)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (MISCHIEF, NAMES),
        (MISCHIEF, {1: ["script"], 2: ["img src"], 3: ["x onerror Ada"], 4: ["amp"]}),
        ("Ada", NAMES),
        ("", NAMES),
        ("no names < here", {}),
        ("New York City and York", {1: ["New York"], 2: ["York City"], 3: ["York"]}),
    ],
)
def test_the_text_is_shown_as_it_is(text: str, names: dict[int, list[str]]) -> None:
    drawn = mark_text(passage(text, names), "default")
    assert shown(drawn) == text
    tags = set(re.findall(r"<(/?\w+)", str(drawn)))
    assert tags <= {"a", "/a", "mark", "/mark"}


def test_names_lead_to_the_graph_and_parts_of_a_fact_name_it() -> None:
    drawn = str(mark_text(passage("Ada likes Bram.", NAMES, LIKES), "a b"))
    assert drawn == (
        '<a class="name" href="/admin/c/a%20b/graph?phrase=1" data-facts="9" title="Ada likes Bram">Ada</a> '
        '<mark class="relation" data-facts="9" title="Ada likes Bram">likes</mark> '
        '<a class="name" href="/admin/c/a%20b/graph?phrase=2" data-facts="9" title="Ada likes Bram">Bram</a>.'
    )


def test_what_a_fact_says_is_escaped_wherever_it_stands() -> None:
    wrong = '"><script>x</script>'
    fact = Named(id=4, subject_id=1, predicate=wrong, object_id=2)
    drawn = str(draw_passage(passage("Ada, Bram", {1: ["Ada"], 2: ["Bram"]}, fact), "default"))
    assert "<script>" not in drawn
    assert "<b>Top</b>" not in drawn
    assert shown(Markup(drawn)).count(wrong) == 1  # listed; in titles it stands as an attribute
    assert "Passage 1,234" in drawn
    assert "2 names, 1 fact<" in drawn


def test_a_passage_in_which_nothing_was_found_lists_nothing() -> None:
    assert "<details>" not in draw_passage(passage("Rain.", {}), "default")


def test_heads_say_how_rows_are_sorted_and_lead_to_other_orders() -> None:
    heads = [
        "Plain",
        Head(name="Size#", address="/x?a=1&b=2", state="descending"),
        Head(name="<i>", address="/y", state="none"),
    ]
    drawn = str(table("Things", heads, [("a", "b", "c")]))
    assert '<th scope="col">Plain</th>' in drawn
    assert '<th scope="col" class="right" aria-sort="descending"><a href="/x?a=1&amp;b=2">Size<span' in drawn
    assert '<th scope="col" aria-sort="none"><a href="/y">&lt;i&gt;<span' in drawn
    assert '<td class="right">b</td>' in drawn
