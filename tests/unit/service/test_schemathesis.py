"""What the API's description allows and what it forbids is asked of every route, with each kind of key and without.

No answer is a fault, every status is documented, every body fits its shape. The cases are the same in every run.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from retrieval.testing import HashEmbedder, ScriptedGenerator
from retrieval.views import ViewCache
from service.app import create_app
from service.services import Services
from service.settings import Settings
from tests.unit.service.test_api import WORLD, Service, make_learner

KEY = "k3y"
EXAMPLES, EXAMPLES_OF_A_KIND = 4, 2
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCOPES = ("read", "write", "admin")
MODES = {"allowed": GenerationMode.POSITIVE, "forbidden": GenerationMode.NEGATIVE}
# Half of the cases meet a collection that holds something.
KNOWN = {"collection": "world"}


def _describe() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        return create_app(Settings(data_dir=Path(folder))).openapi()


OPERATIONS = [found.ok() for found in schemathesis.openapi.from_dict(_describe()).get_all_operations()]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, tokenizer_file: Path) -> Iterator[TestClient]:
    configured = Settings(data_dir=tmp_path_factory.mktemp("any"), admin_key=SecretStr(KEY))
    generator = ScriptedGenerator([])
    app = create_app(configured, embedder=HashEmbedder(), generator=generator)
    headers = {"Authorization": f"Bearer {KEY}"}
    impatient = pytest.MonkeyPatch.context()  # a version that never comes is not waited for
    testing = TestClient(app, base_url="http://localhost", raise_server_exceptions=False, headers=headers)
    with impatient as patch, testing as client:
        patch.setitem(ViewCache.current.__kwdefaults__, "patience_s", 0.05)
        parts: Services = app.state.services
        client.post("/v1/collections", json={"name": "world"})
        client.post("/v1/collections/world/documents", json={"documents": list(WORLD)})
        Service(client, parts, generator, make_learner(parts, tokenizer_file)).learn_waiting()
        client.put("/v1/collections/world/retention/old", json={"max_age_days": 1000})
        yield client


@pytest.fixture(scope="module")
def keys(client: TestClient) -> dict[str, str]:
    """A key of each scope, bound to the collection that holds something."""
    wanted = {scope: {"name": scope, "scopes": [scope], "collections": ["world"]} for scope in SCOPES}
    return {scope: client.post("/v1/keys", json=body).json()["key"] for scope, body in wanted.items()}


def ask(client: TestClient, case: Case, key: str = KEY) -> int:
    """Send a case as it was generated, check the answer, and return its status."""
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://localhost")).prepare()
    headers = [
        (name.encode(), value if isinstance(value, bytes) else value.encode("latin-1", "replace"))
        for name, value in sent.headers.items()
        if name.lower() != "authorization"
    ]
    headers.append((b"Authorization", f"Bearer {key}".encode()))
    response = client.request(str(sent.method), str(sent.url), content=sent.body, headers=headers)
    case.validate_response(response, checks=CHECKS)
    return response.status_code


def _known(operation: Any) -> dict[str, str] | None:
    if operation.label == "DELETE /v1/collections/{collection}":
        return None
    return {name: value for name, value in KNOWN.items() if f"{{{name}}}" in operation.path} or None


def _settle(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_every_route_keeps_to_its_description(client: TestClient, operation: Any, mode: str) -> None:
    @given(operation.as_strategy(MODES[mode], path_parameters=_known(operation)))
    @_settle(EXAMPLES)
    def ask_all(case: Case) -> None:
        ask(client, case)

    try:
        ask_all()
    except Unsatisfiable:
        assert mode == "forbidden"
        pytest.skip("nothing that can be sent to this route is forbidden")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_each_kind_of_key_is_answered_as_described(
    client: TestClient, keys: dict[str, str], operation: Any, scope: str
) -> None:
    @given(operation.as_strategy(GenerationMode.POSITIVE, path_parameters=_known(operation)))
    @_settle(EXAMPLES_OF_A_KIND)
    def ask_all(case: Case) -> None:
        ask(client, case, keys[scope])

    ask_all()


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {KEY}", "Bearer"])
def test_without_the_key_every_route_refuses_as_described(client: TestClient, authorization: str | None) -> None:
    for operation in OPERATIONS:
        path = re.sub(r"{\w+}", "1", operation.path)
        headers = {"Authorization": authorization} if authorization else {}
        request = client.build_request(operation.method, f"http://localhost{path}", headers=headers)
        if authorization is None:
            del request.headers["authorization"]
        response = client.send(request)
        expected = 401 if "security" in operation.definition.raw else 200
        assert response.status_code == expected, operation.label
        assert "401" in operation.definition.raw["responses"] or expected == 200


ODD_ADDRESSES = [
    "/v1/collections/%00",
    "/v1/collections/world/documents/%00",
    "/v1/collections/world/documents/%ff%fe",
    "/v1/collections/world/documents/%ED%A0%80",
    "/v1/collections/world/documents/%zz",
    "/v1/collections/world/documents/%",
    "/v1/collections/world/documents?cursor=%00",
    "/v1/collections/world/documents?limit=1&limit=2&limit=x",
    f"/v1/collections/world/documents?cursor={'A' * 60_000}",
    f"/v1/collections/world/documents?limit={'9' * 5_000}",
    f"/v1/collections/world/passages/{'9' * 19}",
    f"/v1/collections/world/passages/{'9' * 5_000}",
    "/v1/collections/world/passages/1?episode=%00",
    "/v1/collections/world/passages/1?%00=1",
    f"/v1/collections/{'a' * 10_000}",
    "/v1/jobs/%00",
    "/v1/jobs/%00/events",
    "/v1/jobs?state=%00",
    "/v1/jobs?collection=%00",
    "/v1/queries/%00",
    "/v1/queries?since=9999-12-31T23:59:59-12:00",
    "/v1/purges/-1",
    f"/v1/purges/{'9' * 400}",
]
ODD_BODIES = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "half": b'{"query": ',
    "nul": b'{"query": "a\\u0000b"}',
    "surrogate": b'{"query": "\\ud800"}',
    "surrogate in a name": b'{"\\ud800": 1}',
    "surrogate in a filter": b'{"query": "a", "filter": {"\\ud800": "\\udfff"}}',
    "not UTF-8": b'{"query": "\xff"}',
    "deep": b'{"query": "a", "filter": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
    "deeper": b"[" * 200_000,
    "not a number": b'{"query": "a", "top_k": NaN}',
    "infinite": b'{"query": "a", "filter": {"a": Infinity}}',
    "long number": b'{"query": "a", "min_version": ' + b"9" * 5_000 + b"}",
    "large number": b'{"query": "a", "min_version": 99999999999999999999}',
    "twice": b'{"query": "a", "query": "b", "top_k": 0}',
}


@pytest.mark.parametrize("address", ODD_ADDRESSES, ids=lambda address: address[:60])
def test_odd_addresses_are_refused(client: TestClient, address: str) -> None:
    response = client.get(address)
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert set(response.json()) >= {"type", "title", "status", "code", "detail", "request_id"}


@pytest.mark.parametrize("body", ODD_BODIES.values(), ids=ODD_BODIES)
def test_odd_bodies_are_refused(client: TestClient, body: bytes) -> None:
    for path in ("search", "documents", "forget"):
        headers = {"Content-Type": "application/json"}
        response = client.post(f"/v1/collections/world/{path}", content=body, headers=headers)
        assert 400 <= response.status_code < 500, (path, response.text[:300])
        assert response.headers["content-type"] == "application/problem+json"


def test_headers_that_come_twice(client: TestClient) -> None:
    twice = [("Content-Type", "application/json"), ("Content-Type", "text/plain"), ("X-Request-Id", "a")]
    response = client.post(
        "/v1/collections/world/search", content=b'{"query": "a"}', headers=[*twice, ("X-Request-Id", "b")]
    )
    assert response.status_code in (200, 422)
    response = client.get("/v1/jobs/none/events", headers=[("Last-Event-ID", "a"), ("Last-Event-ID", "b")])
    assert response.status_code == 404
