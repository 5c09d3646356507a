"""The API's own description: what every route shares is written into it here, and not at each route.

Summaries are the first clause of a route's docstring; refusals, the key, request ids and examples follow from the path
and the method.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from memory_graph.errors import SharpwaveError
from service import request_ids
from service.auth import PUBLIC
from service.errors import EDGE_CODES, PROBLEM, status_of
from service.examples import example_of
from service.openai_errors import CHAT, MODELS
from service.repeats import HEADER as REPEAT_HEADER
from service.repeats import REPLAYED, is_repeatable

TAGS = {
    "health": "Is it alive, is it ready.",
    "collections": "Memories, each apart from the others.",
    "documents": "What a memory was given: learn, list, look at, forget.",
    "forgetting": "Forgetting many documents, the purges that remove every byte, and rules of retention.",
    "jobs": "Learning takes place in jobs, which survive whatever is killed.",
    "recall": "Finding passages, and answering questions with citations.",
    "audit": "Who changed what.",
    "inspection": "What a memory holds: phrases, facts, and what is around them.",
    "corrections": "Phrases merged and split, facts taken out, and all of it undone.",
    "queries": "The questions that were asked, and how each was answered.",
    "notes": "What was noted while questions were answered.",
    "openai": "The shapes of OpenAI: each collection is a model that answers from its memory.",
    "keys": "Who may ask, and for what.",
    "passages": "What is retrieved: pieces of documents.",
    "installation": "What the installation is made of, how it does, and whether it is whole.",
}
SECURITY = "key"
JSON = "application/json"
PROBLEM_SHAPE: dict[str, Any] = {
    "title": "Problem",
    "description": "Why a request was refused or failed (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "`urn:sharpwave:problem:` and the code"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; docs/errors.md lists them"},
        "detail": {"type": "string", "description": "For people; what is wrong and what to do"},
        "field": {"type": "string", "description": "The field, parameter or header that is wrong"},
        "errors": {
            "type": "array",
            "description": "All that is wrong with the request",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
        "request_id": {"type": "string", "description": "As in the header `X-Request-Id`"},
    },
}
OPENAI_ERROR_SHAPE: dict[str, Any] = {
    "title": "OpenAIError",
    "description": "Why a request was refused or failed, in OpenAI's shape.",
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "description": "OpenAI's where it has one, else as in docs/errors.md"},
            },
        }
    },
}
OPENAI_ROUTES = (CHAT, MODELS)
REQUEST_ID = {"schema": {"type": "string"}, "description": "The name of this request, in logs too"}


def operation_id(route: APIRoute) -> str:
    """Return a stable and readable name for a route: its tag and its function's name."""
    return f"{route.tags[0]}_{route.name}" if route.tags else route.name


def install_description(app: FastAPI) -> None:
    """Make ``app.openapi()`` describe what its routes share."""
    plain = app.openapi

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None or "Problem" not in app.openapi_schema.get("components", {}).get("schemas", {}):
            app.openapi_schema = complete(plain())
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign]


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Write into a description what all routes share."""
    components = document.setdefault("components", {})
    shapes = components.setdefault("schemas", {})
    for replaced in ("HTTPValidationError", "ValidationError"):
        shapes.pop(replaced, None)
    shapes |= {"Problem": PROBLEM_SHAPE, "OpenAIError": OPENAI_ERROR_SHAPE}
    components["headers"] = {request_ids.HEADER: REQUEST_ID}
    components["securitySchemes"] = {
        SECURITY: {"type": "http", "scheme": "bearer", "description": "A key; needed unless the service is open"}
    }
    used = {tag for _, _, operation in _operations(document) for tag in operation.get("tags", ())}
    document["tags"] = [{"name": tag, "description": TAGS[tag]} for tag in TAGS if tag in used]
    for path, method, operation in _operations(document):
        _complete_operation(path, method, operation, shapes)
    return document


def codes_of(status: int) -> list[str]:
    """Return the stable codes of the problems that have this status."""
    return sorted({code for code, its_status in all_codes().items() if its_status == status})


def all_codes() -> dict[str, int]:
    """Return every stable code of a problem with its status."""

    def kinds(kind: type[SharpwaveError]) -> Iterator[type[SharpwaveError]]:
        yield kind
        for below in kind.__subclasses__():
            yield from kinds(below)

    # The table goes by the class; the constructors differ.
    return {kind.code: status_of(kind.__new__(kind)) for kind in kinds(SharpwaveError)} | EDGE_CODES


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document.get("paths", {}).items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _complete_operation(path: str, method: str, operation: dict[str, Any], shapes: dict[str, Any]) -> None:
    clause = re.split(r"[.:;,](?:\s|$)", operation.get("description", ""), maxsplit=1)[0]
    if clause:
        operation["summary"] = clause.strip()
    responses = operation.setdefault("responses", {})
    if _is_default_422(responses.get("422")):
        del responses["422"]
    if path not in PUBLIC:
        operation["security"] = [{SECURITY: []}, {}]
    if is_repeatable(method, path):
        _repeatable(operation)
    if method == "GET" and path not in PUBLIC and JSON in responses["200"].get("content", {}):
        _tagged(operation)
    for status in sorted(_refusals(path, method, operation)):
        responses.setdefault(str(status), _problem(status))
    if path.startswith(OPENAI_ROUTES):
        _speak_openai(responses)
    for status, response in responses.items():
        response.setdefault("headers", {})[request_ids.HEADER] = {"$ref": f"#/components/headers/{request_ids.HEADER}"}
        for kind, content in response.get("content", {}).items():
            if kind in (JSON, PROBLEM) and "schema" in content and status.startswith("2"):
                content.setdefault("example", example_of(content["schema"], shapes))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "schema" in content and "multipart" not in content:
            content.setdefault("example", example_of(content["schema"], shapes, request=True))


def _is_default_422(response: Any) -> bool:
    schema = (response or {}).get("content", {}).get(JSON, {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("HTTPValidationError")


def _refusals(path: str, method: str, operation: dict[str, Any]) -> Iterator[int]:
    """Yield the statuses of the refusals that a route may answer with."""
    yield from (403, 500)  # 403 of a service without a key, which answers its own machine alone
    if "requestBody" in operation or operation.get("parameters"):
        yield 422
    if path in PUBLIC:
        return
    yield from (401, 429, 503)
    if method != "GET":
        yield from (408, 409, 504, 507)
    if "requestBody" in operation:
        yield from (400, 413)
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    if (
        "{" in path or names & {"collection", "growth_of"} or "requestBody" in operation
    ):  # a body may name a collection too
        yield 404
    if "If-Match" in {name.title() for name in names}:
        yield 412


def _problem(status: int) -> dict[str, Any]:
    codes = ", ".join(f"`{code}`" for code in codes_of(status)) or "`http_error`"
    return {
        "description": f"A problem: {codes}",
        "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _speak_openai(responses: dict[str, Any]) -> None:
    """Say that the refusals have OpenAI's shape, whose wrong values are 400 (``service/openai_errors.py``)."""
    responses.setdefault("400", responses.pop("422", None) or _problem(422))
    for status, response in responses.items():
        if not status.startswith(("2", "3")):
            response["content"] = {JSON: {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}


def _tagged(operation: dict[str, Any]) -> None:
    """Say that an answer has a tag, and that who has it already is told so."""
    told = "The `ETag` of an earlier answer: 304 without a body if it has not changed"
    parameter = {"name": "If-None-Match", "in": "header", "required": False, "description": told}
    operation.setdefault("parameters", []).append(parameter | {"schema": {"type": "string", "pattern": "^[!-~]+$"}})
    tag = {"schema": {"type": "string"}, "description": "Of this state"}
    operation["responses"]["200"].setdefault("headers", {})["ETag"] = tag
    operation["responses"]["304"] = {
        "description": "Not changed since the answer with that tag",
        "headers": {"ETag": tag},
    }


def _repeatable(operation: dict[str, Any]) -> None:
    """Say that a route may be repeated with a key."""
    told = "A UUID, new for every request and the same for every try at it: it is carried out once"
    schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
    parameter = {"name": REPEAT_HEADER, "in": "header", "required": False, "description": told, "schema": schema}
    operation.setdefault("parameters", []).append(parameter)
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            headers = response.setdefault("headers", {})
            headers[REPLAYED] = {"schema": {"type": "string", "enum": ["true"]}, "description": "An answer given again"}
