"""Charts that live: drawn by ECharts as SVG in the colours of the style sheet, with their numbers in a table below.

The colours are names of the style sheet's variables, so that light and dark need no second drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from markupsafe import Markup
from nicegui import ui

from service.dashboard.frame import show
from service.dashboard.markup import table

Kind = Literal["line", "bar"]
COLOURS = ("var(--chart-1)", "var(--chart-2)", "var(--chart-3)", "var(--chart-4)")
_FONT = "Roboto, system-ui, sans-serif"  # by name, as ECharts measures with it
_TEXT = {"color": "var(--soft)", "fontFamily": _FONT, "fontSize": 12}
_SHORTEST = 0.01  # where bars of times begin, in milliseconds
_MEASURED = ("ms", "passages/s")
_LINE = {"lineStyle": {"color": "var(--line)"}}


class Chart:
    """A chart over categories: ``series`` are the names of what is drawn, each with its kind, in one ``unit``.

    With ``across`` the bars lie, with their names beside them. The table's columns are the ``category`` and the series.
    """

    def __init__(
        self,
        title: str,
        series: Mapping[str, Kind],
        *,
        category: str,
        unit: str,
        across: bool = False,
        stacked: bool = False,
        height: str = "15rem",
    ) -> None:
        self._title = title
        self._series = series
        self._unit = unit
        self._category = category
        names: dict[str, Any] = {
            "type": "category",
            "data": [],
            "axisLabel": _TEXT,
            "axisLine": _LINE,
            "axisTick": {"show": False},
        }
        values: dict[str, Any] = {
            "type": "value",
            "axisLabel": _TEXT,
            "splitLine": _LINE,
        }
        if across:  # of times, of which the longest is often a thousand times the shortest
            names |= {"inverse": True, "axisLabel": _TEXT | {"interval": 0}}
            values |= {"type": "log", "min": _SHORTEST, "axisLabel": _TEXT | {"hideOverlap": True}}
            values |= {"startValue": _SHORTEST}  # else bars begin at 1, to either side
        elif unit not in _MEASURED:
            values |= {"minInterval": 1}  # things that are counted have no halves
        options: dict[str, Any] = {
            "animation": False,  # what is drawn anew every few seconds must not move
            "color": list(COLOURS),
            "grid": {"left": 8, "right": 44 if across else 12, "top": 36, "bottom": 8, "containLabel": True},
            "legend": {"top": 0, "left": 0, "textStyle": _TEXT, "itemHeight": 10, "itemWidth": 16, "itemGap": 18},
            "tooltip": {
                "trigger": "axis",
                "confine": True,
                "backgroundColor": "var(--paper)",
                "borderColor": "var(--line)",
                "textStyle": {"color": "var(--ink)", "fontFamily": _FONT},
                "axisPointer": {"type": "shadow" if across else "line", "lineStyle": {"color": "var(--soft)"}},
            },
            "xAxis": values if across else names,
            "yAxis": names if across else values,
            "series": [_drawn(name, kind, stacked=stacked) for name, kind in series.items()],
        }
        self._names = "yAxis" if across else "xAxis"
        with ui.element("figure").classes("chart").props(f'aria-label="{title}" role="group"'):
            show(Markup('<strong>{}</strong> <span class="faint">{}</span>').format(title, unit))
            self._empty = show(Markup(""))
            self._drawing = ui.echart(options, renderer="svg").style(f"height: {height}")
            self._drawing.props('aria-hidden="true"')  # the table says it
            with ui.element("details"):
                with ui.element("summary"):
                    show(Markup("<span>{}</span>").format(f"{title}: the numbers"))
                self._numbers = show(Markup(""))

    def update(
        self,
        names: Sequence[str],
        values: Mapping[str, Sequence[float | None]],
        rows: Sequence[Sequence[object]],
        *,
        empty: str,
    ) -> None:
        """Draw other numbers: ``names`` of the categories, ``values`` by series, and the ``rows`` of the table."""
        options = self._drawing.options
        options[self._names]["data"] = list(names)
        for series in options["series"]:
            series["data"] = list(values[series["name"]])
        self._drawing.set_visibility(bool(names))
        self._empty.set_visibility(not names)
        self._empty.content = Markup('<p class="empty">{}</p>').format(empty)
        self._drawing.update()
        columns = (self._category, *(f"{name}#" for name in self._series))
        self._numbers.content = table(f"{self._title}: the numbers", columns, rows, empty=empty)


def _drawn(name: str, kind: Kind, *, stacked: bool) -> dict[str, Any]:
    drawn: dict[str, Any] = {"name": name, "type": kind, "data": [], "emphasis": {"disabled": True}}
    if kind == "line":
        drawn |= {"symbol": "circle", "symbolSize": 4, "connectNulls": False, "lineStyle": {"width": 2}}
    else:
        drawn |= {"barMaxWidth": 18}
    return drawn | ({"stack": "all", "areaStyle": {"opacity": 0.25}} if stacked and kind == "line" else {})
