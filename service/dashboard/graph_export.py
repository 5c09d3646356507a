"""What a picture shows, as a file: JSON, GraphML or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from io import StringIO

from memory_graph.graph_files import Drawing, phrase_node, write_graphml
from service.inspection_schemas import NameGraphOut

COLUMNS = ("from_id", "from", "kind", "predicate", "weight", "to_id", "to")
# A spreadsheet takes what begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(graph: NameGraphOut) -> str:
    """Return names and ties, as the API tells them."""
    return json.dumps(graph.model_dump(), ensure_ascii=False, indent=1)


def as_graphml(graph: NameGraphOut) -> str:
    """Return names as nodes and ties as edges."""
    nodes = (
        (phrase_node(one.id), {"kind": "phrase", "name": one.name, "degree": one.degree, "community": one.community})
        for one in graph.names
    )
    edges = (
        (
            phrase_node(tie.source),
            phrase_node(tie.target),
            tie.kind,
            {"kind": tie.kind, "weight": tie.weight} | ({"predicate": tie.predicate} if tie.predicate else {}),
        )
        for tie in graph.ties
    )
    file = StringIO()
    write_graphml(Drawing(nodes=nodes, edges=edges, about={"cut": graph.cut}), file)
    return file.getvalue()


def as_csv(graph: NameGraphOut) -> str:
    """Return a tie a line; what a spreadsheet would take for a formula has an apostrophe before it."""
    name = {one.id: one.name for one in graph.names}
    file = StringIO()
    lines = csv.writer(file)
    lines.writerow(COLUMNS)
    for tie in graph.ties:
        row = (
            tie.source,
            _tame(name[tie.source]),
            tie.kind,
            _tame(tie.predicate or ""),
            tie.weight,
            tie.target,
            _tame(name[tie.target]),
        )
        lines.writerow(row)
    return file.getvalue()


def _tame(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


FORMATS: Mapping[str, Callable[[NameGraphOut], str]] = {"json": as_json, "graphml": as_graphml, "csv": as_csv}
