"""The graph for people as nodes and edges with attributes, and as files: GraphML and node-link JSON.

A node is ``passage:ID`` (kind, title, document_id, ordinal, text on request) or ``phrase:ID`` (kind, name). A context
edge goes from a passage to a phrase that it mentions (kind, count); a relation edge from a fact's subject to its object
(kind, predicate, sources: how many passages state it). Nothing here needs networkx: a whole collection goes to a file
row by row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Literal, TypeAlias, get_args
from xml.sax.saxutils import escape, quoteattr

from sqlalchemy import Connection, Row

from memory_graph.store import inspecting
from memory_graph.store.reading import phrase_names

Attributes: TypeAlias = Mapping[str, Any]
Node: TypeAlias = tuple[str, Attributes]
TieKind: TypeAlias = Literal["fact", "passage", "synonym"]
"""What joins two names where passages are no nodes."""
TIE_KINDS: tuple[TieKind, ...] = get_args(TieKind)
# (from, to, key, attributes): the key tells parallel edges apart.
Edge: TypeAlias = tuple[str, str, str, Attributes]

_TYPES = {bool: "boolean", int: "int", float: "double", str: "string"}
_NODE_FIELDS = {
    "kind": str,
    "name": str,
    "title": str,
    "document_id": str,
    "ordinal": int,
    "distance": int,
    "text": str,
    "degree": int,
    "community": int,
}
_EDGE_FIELDS = {"kind": str, "count": int, "predicate": str, "sources": int, "weight": float}
# What no XML 1.0 document may hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
"""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A graph that is read once, while it is written; ``about`` describes it as a whole."""

    nodes: Iterable[Node]
    edges: Iterable[Edge]
    about: Attributes = field(default_factory=dict)


def passage_node(passage_id: int) -> str:
    """Name a passage's node."""
    return f"passage:{passage_id}"


def phrase_node(phrase_id: int) -> str:
    """Name a phrase's node."""
    return f"phrase:{phrase_id}"


def draw_passages(connection: Connection, passage_ids: Sequence[int], *, texts: bool = False) -> Iterator[Node]:
    """Yield the nodes of passages."""
    rows = inspecting.read_passages(connection, passage_ids, texts=texts)
    for row in (rows[passage_id] for passage_id in passage_ids):
        about = {
            "kind": "passage",
            "title": row.title,
            "document_id": row.document_id,
            "ordinal": row.ordinal,
        }
        yield passage_node(row.id), about | {"text": row.text} if texts else about


def draw_phrases(connection: Connection, phrase_ids: Sequence[int]) -> Iterator[Node]:
    """Yield the nodes of phrases."""
    names = name_phrases(connection, phrase_ids)
    for phrase_id in phrase_ids:
        yield phrase_node(phrase_id), {"kind": "phrase", "name": names[phrase_id]}


def name_phrases(connection: Connection, phrase_ids: Sequence[int]) -> dict[int, str]:
    """Return how phrases are written; one that only facts name has its normalised words."""
    names = phrase_names(connection, phrase_ids)
    return {
        phrase_id: names.get(phrase_id, key) for phrase_id, key in inspecting.read_keys(connection, phrase_ids).items()
    }


def draw_contexts(rows: Iterable[Row[Any]]) -> Iterator[Edge]:
    """Yield context edges from rows of mentions."""
    for row in rows:
        about = {"kind": "context", "count": row.times}
        yield passage_node(row.passage_id), phrase_node(row.phrase_id), "context", about


def draw_relations(connection: Connection, rows: Sequence[Row[Any]]) -> Iterator[Edge]:
    """Yield relation edges from rows of facts."""
    sources = inspecting.count_fact_sources(connection, [row.id for row in rows])
    for row in rows:
        about = {"kind": "relation", "predicate": row.predicate, "sources": sources.get(row.id, 0)}
        yield phrase_node(row.subject_id), phrase_node(row.object_id), row.predicate, about


def draw_collection(connection: Connection, collection_id: int, name: str, *, texts: bool = False) -> Drawing:
    """Draw a whole collection, read page by page while it is written: memory does not grow with it."""

    def nodes() -> Iterator[Node]:
        for ids in inspecting.page_ids(connection, collection_id, "passages"):
            yield from draw_passages(connection, ids, texts=texts)
        for ids in inspecting.page_ids(connection, collection_id, "phrases"):
            yield from draw_phrases(connection, ids)

    def edges() -> Iterator[Edge]:
        for ids in inspecting.page_ids(connection, collection_id, "passages"):
            yield from draw_contexts(inspecting.read_mentions(connection, "passage_id", ids)[0])
        for rows in inspecting.page_facts(connection, collection_id):
            yield from draw_relations(connection, rows)

    return Drawing(nodes=nodes(), edges=edges(), about={"collection": name})


def write_graphml(graph: Any, file: IO[str]) -> None:
    """Write a ``Drawing`` or a networkx multigraph as GraphML; a character that XML forbids becomes U+FFFD."""
    drawing = _drawing_of(graph)
    file.write(_HEAD)
    for scope, fields in (("node", _NODE_FIELDS), ("edge", _EDGE_FIELDS)):
        for name, kind in fields.items():
            key = f' <key id="{scope}_{name}" for="{scope}" attr.name="{name}" attr.type="{_TYPES[kind]}"/>\n'
            file.write(key)
    for name, value in drawing.about.items():
        type_ = _TYPES[type(value)]
        file.write(f' <key id="graph_{name}" for="graph" attr.name="{name}" attr.type="{type_}"/>\n')
    file.write(' <graph edgedefault="directed">\n' + _data("graph", drawing.about))
    for node, attributes in drawing.nodes:
        file.write(f"  <node id={quoteattr(_clean(node))}>\n{_data('node', attributes)}  </node>\n")
    for start, end, _, attributes in drawing.edges:
        ends = f"source={quoteattr(_clean(start))} target={quoteattr(_clean(end))}"
        file.write(f"  <edge {ends}>\n{_data('edge', attributes)}  </edge>\n")
    file.write(" </graph>\n</graphml>\n")


def write_node_link(graph: Any, file: IO[str]) -> None:
    """Write a ``Drawing`` or a networkx multigraph as the JSON that ``networkx.node_link_graph`` reads."""
    drawing = _drawing_of(graph)
    about = json.dumps(dict(drawing.about), ensure_ascii=False)
    file.write(f'{{"directed": true, "multigraph": true, "graph": {about}, "nodes": [')
    _write_list(file, ({**attributes, "id": node} for node, attributes in drawing.nodes))
    file.write('], "edges": [')
    _write_list(
        file,
        ({**attributes, "source": start, "target": end, "key": key} for start, end, key, attributes in drawing.edges),
    )
    file.write("]}\n")


def node_link(graph: Any) -> dict[str, Any]:
    """Return a networkx multigraph as the JSON object that ``write_node_link`` writes."""
    import networkx

    found: dict[str, Any] = networkx.node_link_data(graph, edges="edges")
    return found


def _drawing_of(graph: Any) -> Drawing:
    if isinstance(graph, Drawing):
        return graph
    return Drawing(nodes=graph.nodes(data=True), edges=graph.edges(keys=True, data=True), about=graph.graph)


def _data(scope: str, attributes: Attributes) -> str:
    return "".join(f'   <data key="{scope}_{name}">{_text(value)}</data>\n' for name, value in attributes.items())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # A reader turns a bare carriage return into a line feed.
    return escape(_clean(str(value)), {"\r": "&#13;"})


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _write_list(file: IO[str], values: Iterable[Any]) -> None:
    for place, value in enumerate(values):
        file.write(("" if place == 0 else ",") + "\n" + json.dumps(value, ensure_ascii=False))
