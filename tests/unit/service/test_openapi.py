"""The API's description: every route says what it does, what it takes and gives, and how it refuses."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fastapi.testclient import TestClient

from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.openapi import TAGS, all_codes, codes_of
from service.repeats import is_repeatable
from service.settings import Settings


def _describe() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return create_app(Settings(data_dir=Path(folder))).openapi()


DOCUMENT = _describe()
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def check_example(content: dict[str, Any]) -> None:
    schema = {**content["schema"], "components": DOCUMENT["components"]}
    jsonschema.validate(content["example"], schema, format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_route_is_described(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert len(operation["summary"]) < 100
    assert operation["description"]
    assert operation["tags"]
    assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"])
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        if kind == "application/json":
            check_example(content)
    for status, response in operation["responses"].items():
        assert response["description"]
        for kind, content in response.get("content", {}).items():
            if status.startswith("2") and kind == "application/json":
                check_example(content)
            elif status[0] in "45" and name != "GET /readyz":
                shaped_by_openai = operation["tags"] == ["openai"]
                assert kind == ("application/json" if shaped_by_openai else "application/problem+json")


@pytest.mark.parametrize("name", [name for name in OPERATIONS if " /v1/" in name])
def test_every_route_tells_how_it_refuses(name: str) -> None:
    operation = OPERATIONS[name]
    assert {"401", "403", "500", "503"} <= set(operation["responses"])
    assert operation["security"] == [{"key": []}, {}]
    if "{" in name:
        wrong = "400" if operation["tags"] == ["openai"] else "422"
        assert {"404", wrong} <= set(operation["responses"])
    headers = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"}
    method, path = name.split(" ")
    assert ("Idempotency-Key" in headers) == is_repeatable(method, path)


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)


def test_every_tag_is_described() -> None:
    used = {tag for operation in OPERATIONS.values() for tag in operation["tags"]}
    assert used == {tag["name"] for tag in DOCUMENT["tags"]} <= set(TAGS)


def test_no_shape_of_the_framework_is_left() -> None:
    assert "HTTPValidationError" not in str(DOCUMENT)
    assert "Problem" in DOCUMENT["components"]["schemas"]


def test_codes_by_status() -> None:
    assert codes_of(412) == ["precondition_failed"]
    assert "invalid_input" in codes_of(422)
    assert all(400 <= status < 600 for status in all_codes().values())


def test_the_service_serves_it(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path), embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/openapi.json").json() == DOCUMENT
