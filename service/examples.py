"""Examples in the API's description: a value for each field of this name, put together by the shapes that hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOMENT = "2026-05-04T10:00:00Z"

# By the name of a field, or by shape and field where one name means two things.
VALUES: dict[str, Any] = {
    "age_of": "learned",
    "answer": "At nine.",
    "cached_tokens": 0,
    "code": "not_found",
    "collection": "letters",
    "comment": "It left at ten that day.",
    "correct_answer": "At ten.",
    "CollectionIn.name": "letters",
    "CollectionOut.name": "letters",
    "RuleOut.name": "old-mail",
    "FailureOut.name": "scan.pdf",
    "CheckOut.name": "passages",
    "StageOut.name": "walk",
    "context": 1,
    "cursor": None,
    "description": "What came by post",
    "detail": "document 'ferry' does not exist",
    "document_id": "ferry",
    "DocumentIn.id": "ferry",
    "DocumentOut.id": "ferry",
    "DocumentDetailOut.id": "ferry",
    "duplicate_of": "ferry-1931",
    "embedder": "all-MiniLM-L6-v2",
    "episode": "source",
    "error": None,
    "FailureOut.error": "scan.pdf: has a password",
    "errors": [],
    "event": "progress",
    "fallback_reason": None,
    "filter": {"year": {"gte": 1900}},
    "heading": "Timetable",
    "hits": [],
    "id": "23ba8aeb-9487-40a8-90f5-e54d2cf45685",
    "instance": "499fd720c0674b3ebc60bd27bfdd608d",
    "job_id": "23ba8aeb-9487-40a8-90f5-e54d2cf45685",
    "max_age_days": 365,
    "metadata": {"year": 1931},
    "next_cursor": None,
    "note_id": 7,
    "occurred_at": "1931-05-01T09:00:00Z",
    "passage_id": 28,
    "passage_ids": [28],
    "parts": {"models": "ok", "store": "ok", "views": "ok, 1 held", "generator": "ok"},
    "query": "When does the ferry leave?",
    "query_id": "b89c854e-d3f1-473d-87c0-376401cfc282",
    "question": "When does the ferry leave?",
    "quote": "The ferry to Fennay leaves Lissenholt at nine.",
    "reason": "encrypted",
    "score": 0.9948,
    "seconds": {"read": 0.01, "embed": 0.02, "extract": 0.05, "commit": 0.01},
    "source": "timetable",
    "split": "recursive",
    "state": "succeeded",
    "PurgeOut.state": "done",
    "status": "ok",
    "Problem.status": 404,
    "steps": {"queue": {"runs": 0, "seconds": 0.01}},
    "strategy": "direct",
    "text": "The ferry to Fennay leaves Lissenholt at nine.",
    "timings_ms": {"view": 1.2, "walk": 2.6, "total": 25.7},
    "title": "Ferry",
    "Problem.title": "Not found",
    "top_k": 5,
    "trace": None,
    "type": "urn:sharpwave:problem:not_found",
    "request_id": "0b9f5f0c4f3e4b6f8a5f0a1f3d6c7e21",
    "urls": ["https://docs.example.org/ferries"],
    "version": 4,
    "waits_for": None,
}
# Left out of requests: what they mean is the default.
SELDOM = frozenset(
    {"all", "dry_run", "duplicates", "min_version", "priority", "rerank", "stream", "wait", "warm_start"}
    | {"ForgetIn.filter"}
)
KINDS: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "number": (int, float),
    "object": dict,
    "string": str,
}


def example_of(
    schema: Mapping[str, Any], shapes: Mapping[str, Any], name: str = "", *, request: bool = False, depth: int = 0
) -> Any:
    """Return a value that fits ``schema``, of which references lead into ``shapes``; ``name`` is ``Shape.field``."""
    if "$ref" in schema:
        shape = schema["$ref"].rsplit("/", 1)[-1]
        return example_of(shapes[shape], shapes, shape, request=request, depth=depth)
    for key in (name, name.rpartition(".")[2]):
        if key in VALUES and _fits(VALUES[key], schema):
            return VALUES[key]
    if "default" in schema:
        return schema["default"]
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    for choices in (schema.get("anyOf"), schema.get("oneOf")):
        if choices:
            return example_of(choices[0], shapes, name, request=request, depth=depth)
    match schema.get("type"):
        case "object":
            return _object(schema, shapes, name, request, depth)
        case "array":
            one = example_of(schema.get("items", {}), shapes, name, request=request, depth=depth + 1)
            return [one] if depth < 4 or schema.get("minItems") else []
        case "string":
            return MOMENT if schema.get("format") == "date-time" else "text"
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return True
        case _:
            return None


def _object(schema: Mapping[str, Any], shapes: Mapping[str, Any], name: str, request: bool, depth: int) -> Any:
    required = schema.get("required", ())
    return {
        field: example_of(one, shapes, f"{name.partition('.')[0]}.{field}", request=request, depth=depth + 1)
        for field, one in schema.get("properties", {}).items()
        if field in required or not request or SELDOM.isdisjoint((field, f"{name}.{field}"))
    }


def _fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Say whether a value is of the kind that a schema names, which is enough to tell two fields of one name apart."""
    if "anyOf" in schema:
        return any(_fits(value, one) for one in schema["anyOf"])
    if "enum" in schema:
        return value in schema["enum"]
    kind = schema.get("type")
    if kind is None:
        return "$ref" not in schema
    if isinstance(value, bool) != (kind == "boolean") and isinstance(value, bool):
        return False
    if not isinstance(value, KINDS[kind]):
        return False
    return not (kind == "string" and schema.get("format") == "date-time" and not str(value)[:4].isdecimal())
