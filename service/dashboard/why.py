"""Why an answer came out as it did: a trace in words, tables and a diagram of how the walk's mass flowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from nicegui import ui

from service.dashboard.frame import section, show, visit
from service.dashboard.why_flow import Link, draw_sankey, find_links, tabulate
from service.dashboard.why_names import Names
from service.dashboard.why_reading import tell_calls, tell_notes, tell_order, tell_steps, tell_time
from service.dashboard.why_search import tell_chains, tell_facts, tell_ranks, tell_reset
from service.recall_schemas import QueryDetailOut

FLOW_PX = 420
"""Height of the diagram, more where it has many links."""


def show_why(query: QueryDetailOut) -> None:
    """Put on the page why a question was answered so."""
    names = Names.of(query.collection, query.passages)
    if query.trace.get("forgotten"):
        show(Markup('<p class="empty">{}</p>').format("What this rested on was forgotten, and its words with it."))
    links = find_links(_details(query.trace).get("flow", {}), names)
    if links:
        section("How the walk came to these passages")
        _show_flow(links)
    show(explain(query.trace, names))


def explain(trace: Mapping[str, Any], names: Names) -> Markup:
    """Return the parts of a trace that say why, those that it has."""
    stages, detail, hits = trace.get("stages", []), _details(trace), trace.get("hits", [])
    parts = [
        ("How the passages ranked", tell_ranks(hits, detail, names)),
        ("Facts near the question", tell_facts(detail.get("facts", {}))),
        ("Where the walk began", tell_reset(detail.get("walk", {}), names)),
        ("Chains that led from passage to passage", tell_chains(hits, detail.get("chain", {}), names)),
        ("How it was read", tell_steps(stages, names)),
        ("Notes as they grew", tell_notes(trace.get("notes", []), stages, names)),
        ("The order that the model read", tell_order(trace.get("order", []), names)),
        ("What the model was asked", tell_calls(stages)),
        ("What was answered around", _fall_back(trace.get("fallback_reason"))),
        ("Time by stage", tell_time(stages)),
    ]
    return Markup("").join(Markup("<h2>{}</h2>{}").format(title, html) for title, html in parts if html)


def _show_flow(links: Sequence[Link]) -> None:
    options, addresses = draw_sankey(links)
    show(
        Markup('<p class="lead">{}</p>').format(
            "Left: where the walk began. Middle: names that its mass went through. Right: the passages it came to. "
            "Choose a name or a passage to look at it."
        )
    )
    with ui.element("div").classes("flow").props('role="region" tabindex="0" aria-label="Diagram of the walk"'):
        chart = ui.echart(options, renderer="svg").style(f"height:{max(FLOW_PX, 9 * len(links))}px")
        chart.props('role="img" aria-label="Flow of the walk\'s mass; the table below says the same"')

    def follow(place: int | None, kind: str) -> None:
        if kind == "node" and place is not None and place < len(addresses) and addresses[place]:
            visit(addresses[place])

    chart.on_point_click(lambda event: follow(event.data_index, event.data_type))
    show(Markup("<details><summary>The same as a table</summary>{}</details>").format(tabulate(links)))


def _details(trace: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the details of the stages by name; of a name that comes again, the first."""
    found: dict[str, Mapping[str, Any]] = {}
    for stage in trace.get("stages", ()):
        found.setdefault(stage["name"], stage["detail"])
    return found


def _fall_back(reason: str | None) -> Markup:
    return Markup("<p>{}</p>").format(reason) if reason else Markup("")
