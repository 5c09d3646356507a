"""The picture of a graph of names: drawn by ECharts from places that ``graph_layout`` gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from markupsafe import Markup

from memory_graph.graph_files import TieKind
from service.inspection_schemas import NameGraphOut, NameNodeOut, TieOut

# Every colour stands out from the light page's paper and from the dark page's (3:1, WCAG 1.4.11).
GROUPS = ("#0f9187", "#b97a00", "#4a80e0", "#c2559d", "#5a9436", "#d9614e", "#8a6fd1", "#84802f")
REST = "#7d898c"
TIES: Mapping[TieKind, tuple[str, str]] = {
    "fact": ("#0f9187", "solid"),
    "passage": ("#8d999c", "solid"),
    "synonym": ("#c2559d", "dashed"),
}
KINDS: Mapping[TieKind, str] = {"fact": "Facts", "passage": "Shared passages", "synonym": "Synonyms"}
MANY = 300  # names, above which few have their label until one zooms in, and nothing fades
LABELLED = 40
_UNIT = 60  # pixels a spring
_ASPECT = 1.3  # labels are wide, and so is the picture

# {b} and the like would be read as HTML by a tooltip of HTML: these are drawn as text.
_TOOLTIP = """(one) => one.dataType === "edge"
  ? (one.data.k === "fact" ? one.data.p + ", stated in " + one.data.w + " passages"
     : one.data.k === "synonym" ? "alike by " + Math.round(100 * one.data.w) + " %"
     : one.data.w + " shared passages")
  : one.data.name + "\\n" + one.data.d + " passages" """
_INK = "getComputedStyle(document.body).getPropertyValue('--ink').trim()"
_PAPER = "getComputedStyle(document.body).getPropertyValue('--paper').trim()"


def colour_of(community: int) -> str:
    """Return the colour of a group; all beyond the largest few share one."""
    return GROUPS[community] if community < len(GROUPS) else REST


def options(
    graph: NameGraphOut, places: Mapping[int, tuple[float, float]], *, opened: Collection[int], chosen: int | None
) -> dict[str, Any]:
    """Return what ECharts draws: names as circles by their passages, in the colour of their group; ties as lines."""
    is_many = len(graph.names) > MANY
    by_degree = sorted(graph.names, key=lambda one: (one.id not in opened, -one.degree, one.id))
    labelled = {one.id for one in (by_degree[:LABELLED] if is_many else by_degree)}
    return {
        "animation": False,
        "tooltip": {"renderMode": "richText", "confine": True, ":formatter": _TOOLTIP},
        "series": [
            {
                "type": "graph",
                "layout": "none",
                "left": "5%",
                "right": "22%",  # labels stand to the right of their names
                "roam": True,
                "nodeScaleRatio": 0.2,  # what is zoomed into comes apart, and does not only grow
                "draggable": True,
                "scaleLimit": {"min": 0.2, "max": 30},
                "edgeSymbol": ["none", "arrow"],
                "edgeSymbolSize": 6,
                "label": {
                    "show": False,
                    "position": "right",
                    ":color": _INK,
                    ":textBorderColor": _PAPER,
                    "textBorderWidth": 2,
                    "width": 150,
                    "overflow": "truncate",
                    "fontSize": 12,
                },
                "labelLayout": {"hideOverlap": True},
                "lineStyle": {"color": TIES["passage"][0], "opacity": 0.35, "width": 1},
                "emphasis": {"focus": "none" if is_many else "adjacency", "label": {"show": True}},
                "data": [
                    _node(one, places[one.id], opened, chosen, one.id in labelled, is_many) for one in graph.names
                ],
                "links": [_line(one) for one in graph.ties],
            }
        ],
    }


def legend(graph: NameGraphOut) -> Markup:
    """Return what colours, sizes and lines mean."""
    lines = Markup("").join(
        Markup('<li><i class="line" style="border-top: 3px {} {}" aria-hidden="true"></i>{}</li>').format(
            style, colour, KINDS[kind]
        )
        for kind, (colour, style) in TIES.items()
        if any(tie.kind == kind for tie in graph.ties)
    )
    first: dict[int, NameNodeOut] = {}
    sizes: dict[int, int] = {}
    for one in sorted(graph.names, key=lambda one: -one.degree):
        first.setdefault(one.community, one)
        sizes[one.community] = sizes.get(one.community, 0) + 1
    groups = Markup("").join(
        Markup('<li><i class="dot" style="background: {}" aria-hidden="true"></i>{} and {} more</li>').format(
            colour_of(group), first[group].name, sizes[group] - 1
        )
        for group in sorted(first)[: len(GROUPS)]
        if sizes[group] > 1
    )
    size = Markup(
        '<li><i class="dot" aria-hidden="true"></i>The larger, the more passages; bold rim: expanded</li>'
        "<li>A click tells of a name, two expand it</li>"
    )
    return Markup('<ul class="legend" aria-label="Legend">{}{}{}</ul>').format(lines, groups, size)


def _node(
    one: NameNodeOut,
    place: tuple[float, float],
    opened: Collection[int],
    chosen: int | None,
    is_labelled: bool,
    is_many: bool,
) -> dict[str, Any]:
    drawn: dict[str, Any] = {
        "id": str(one.id),
        "name": one.name,
        "d": one.degree,
        "x": round(place[0] * _UNIT * _ASPECT),
        "y": round(place[1] * _UNIT),
        "symbolSize": round(min(4 + 2 * one.degree**0.5, 24) if is_many else min(8 + 3.5 * one.degree**0.5, 44)),
        "itemStyle": {"color": colour_of(one.community)},
    }
    if is_labelled:
        drawn["label"] = {"show": True}
    if one.id in opened or one.id == chosen:
        drawn["itemStyle"] |= {":borderColor": _INK, "borderWidth": 4 if one.id == chosen else 2.5}
        drawn["label"] = {"show": True, "fontWeight": "bold"}
    return drawn


def _line(tie: TieOut) -> dict[str, Any]:
    drawn: dict[str, Any] = {"source": str(tie.source), "target": str(tie.target), "k": tie.kind, "w": tie.weight}
    if tie.kind == "passage":
        # Two names without a direction have no arrow.
        return drawn | {"symbol": ["none", "none"]} | ({"lineStyle": {"width": _width(tie)}} if tie.weight > 1 else {})
    colour, style = TIES[tie.kind]
    drawn["lineStyle"] = {"color": colour, "type": style, "opacity": 0.85, "width": _width(tie)}
    if tie.kind == "synonym":
        return drawn | {"symbol": ["none", "none"]}
    drawn["lineStyle"]["curveness"] = 0.08  # beside the line of shared passages
    return drawn | {"p": tie.predicate}


def _width(tie: TieOut) -> float:
    return 2 if tie.kind == "synonym" else round(min(1 + tie.weight**0.5 / 2, 4), 1)


FOLLOW = """
(() => {
  const chart = () => getElement(ID)?.chart;
  const paint = () => {
    const style = getComputedStyle(document.body);
    const [color, textBorderColor] = ["--ink", "--paper"].map((name) => style.getPropertyValue(name).trim());
    chart()?.setOption({series: [{label: {color, textBorderColor}}]});
  };
  new MutationObserver(paint).observe(document.body, {attributes: true, attributeFilter: ["class"]});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  addEventListener("popstate", () => location.reload());
})()
"""
"""What a page runs once: labels follow light and dark, and the way back leads to the picture before."""

SAVE = """
(async () => {
  const chart = getElement(ID).chart;
  const paper = getComputedStyle(document.body).getPropertyValue("--paper").trim();
  const link = document.createElement("a");
  if (TYPE === "png") {
    link.href = chart.getDataURL({type: "png", pixelRatio: 2, backgroundColor: paper});
  } else {
    const {echarts} = await import("nicegui-echart");
    const size = {width: chart.getWidth(), height: chart.getHeight()};
    const copy = echarts.init(null, null, {renderer: "svg", ssr: true, ...size});
    copy.setOption({...chart.getOption(), animation: false, backgroundColor: paper});
    link.href = URL.createObjectURL(new Blob([copy.renderToSVGString()], {type: "image/svg+xml"}));
    copy.dispose();
  }
  link.download = "graph." + TYPE;
  link.click();
})()
"""
"""What saves the picture as it is seen, as PNG or SVG."""
