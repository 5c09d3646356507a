"""How the walk's mass came to the first hits: a Sankey diagram, and the same as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from service.dashboard.markup import link, number, table
from service.dashboard.why_names import Names

LEAST_SHARE = 0.002
"""Of all that is drawn; a thinner link cannot be seen."""

_LIKENESS, _NAMED = "likeness to the question", "names in the question"
_ELSEWHERE, _OTHERS = "other passages", "other names"
_COLORS = {"passage": "#0b8a83", "phrase": "#b07a1e", "none": "#8a9598"}


@dataclass(frozen=True)
class Node:
    """A node of the diagram: where it stands (``column`` 0 to 2), what it is, its name and the page about it."""

    column: int
    kind: str
    text: str
    address: str = ""

    @property
    def html(self) -> Markup:
        """The name, as a link where there is a page."""
        return link(self.text, self.address) if self.address else Markup("{}").format(self.text)


@dataclass(frozen=True)
class Link:
    """So much of the walk's mass (0 to 1) went from one node to another."""

    source: Node
    target: Node
    mass: float


def find_links(flow: Mapping[str, Any], names: Names) -> list[Link]:
    """Return the links of a trace's stage ``flow``, those too thin to be seen left out.

    What came to a phrase went on to many passages; drawn is the part of it that went on to the hits, divided by where
    it came from, so that what comes to each node in the middle is what leaves it.
    """
    phrases = {one["phrase_id"]: one for one in flow.get("phrases", ())}
    links: list[Link] = []
    sent = dict.fromkeys(phrases, 0.0)
    for place, hit in enumerate(flow.get("hits", ()), start=1):
        one = hit["passage_id"]
        target = Node(2, "passage", f"{place}. {names.text(one)}", names.passage_url(one))
        for part in hit["from"]:
            sent[part["phrase_id"]] += part["mass"]
            links.append(Link(_phrase(1, phrases[part["phrase_id"]], names), target, part["mass"]))
        links.append(Link(Node(1, "none", _OTHERS), target, hit["other"]))
        links.append(Link(Node(0, "none", _LIKENESS), target, hit["reset"]))
    for phrase_id, phrase in phrases.items():
        target, went_on = _phrase(1, phrase, names), sent[phrase_id] / phrase["mass"] if phrase["mass"] else 0.0
        for part in phrase["from"]:
            if "passage_id" in part:
                one = part["passage_id"]
                source = Node(0, "passage", names.text(one), names.passage_url(one))
            else:
                source = _phrase(0, part, names)
            links.append(Link(source, target, went_on * part["mass"]))
        links.append(Link(Node(0, "none", _NAMED), target, went_on * phrase["reset"]))
        links.append(Link(Node(0, "none", _ELSEWHERE), target, went_on * phrase["other"]))
    whole = sum(one["mass"] for one in flow.get("hits", ()))
    return [one for one in links if one.mass > LEAST_SHARE * whole]


def draw_sankey(links: Sequence[Link]) -> tuple[dict[str, Any], list[str]]:
    """Return the options of an ECharts diagram, and the address of each of its nodes."""
    nodes = list(dict.fromkeys(node for one in links for node in (one.source, one.target)))
    called = dict(zip(nodes, _make_distinct(node.text for node in nodes), strict=True))
    data = [
        {
            "name": called[node],
            "depth": node.column,
            "itemStyle": {"color": _COLORS[node.kind]},
            "label": {"position": "left" if node.column == 2 else "right"},
        }
        for node in nodes
    ]
    flows = [
        {"source": called[one.source], "target": called[one.target], "value": round(100 * one.mass, 3)} for one in links
    ]
    series = {
        "type": "sankey",
        "data": data,
        "links": flows,
        "left": 4,
        "right": 4,
        "top": 8,
        "bottom": 8,
        "nodeWidth": 10,
        "nodeGap": 14,
        "draggable": False,
        "emphasis": {"focus": "adjacency"},
        "lineStyle": {"color": "source", "opacity": 0.28},
        "label": {"width": 230, "overflow": "truncate", "fontSize": 13, "textBorderWidth": 0},
    }
    tooltip = {"trigger": "item", "formatter": "{b}: {c} %", "confine": True}
    return {"animation": False, "tooltip": tooltip, "series": [series]}, [node.address for node in nodes]


def tabulate(links: Sequence[Link]) -> Markup:
    """Return the links as a table, those to passages first."""
    rows = [
        (one.source.html, one.target.html, number(round(100 * one.mass, 2), "%"))
        for one in sorted(links, key=lambda one: -one.target.column)
    ]
    return table("Flow of the walk's mass", ("From", "To", "Of the walk's mass#"), rows)


def _phrase(column: int, told: Mapping[str, Any], names: Names) -> Node:
    return Node(column, "phrase", names.phrase_text(told), names.phrase_url(told))


def _make_distinct(texts: Iterable[str]) -> list[str]:
    """Return the texts so that no two are the same: the diagram knows its nodes by their names."""
    distinct: dict[str, None] = {}
    for text in texts:
        while text in distinct:
            text = f"{text}\u200b"
        distinct[text] = None
    return list(distinct)
