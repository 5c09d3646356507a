"""Who is let in: the open mode on this machine alone, and the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from memory_graph.errors import InvalidInput
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.auth import check_address
from service.settings import Settings

KEY = "k3y-with-ünïcode"


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("open"))
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def locked_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("locked"), admin_key=SecretStr(KEY))
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://memory.example") as client:
        yield client


def authorize(key: str) -> dict[str, bytes]:
    return {"Authorization": f"Bearer {key}".encode()}


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_open_mode_answers_loopback_names(open_service: TestClient, host: str) -> None:
    assert open_service.get("/v1/collections", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "10.0.0.1", "", "localhost@evil.example", "[::1"],
)
@pytest.mark.parametrize("path", ["/v1/collections", "/healthz", "/docs", "/openapi.json", "/nothing"])
def test_open_mode_refuses_foreign_hosts_on_every_route(open_service: TestClient, host: str, path: str) -> None:
    response = open_service.get(path, headers={"Host": host})
    assert response.status_code == 403
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "forbidden_host"


@pytest.mark.parametrize("origin", ["http://evil.example", "https://localhost.evil.example", "null", "file://"])
def test_open_mode_refuses_foreign_origins(open_service: TestClient, origin: str) -> None:
    response = open_service.post("/v1/collections", json={"name": "stolen"}, headers={"Origin": origin})
    assert (response.status_code, response.json()["code"]) == (403, "forbidden_origin")
    assert open_service.get("/v1/collections/stolen").status_code == 404


@pytest.mark.parametrize("origin", ["http://localhost:8000", "http://127.0.0.1:3000"])
def test_open_mode_lets_a_local_page_in(open_service: TestClient, origin: str) -> None:
    assert open_service.get("/v1/collections", headers={"Origin": origin}).status_code == 200


@pytest.mark.parametrize(
    "header", [{"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"}, {"x-forwarded-for": ""}]
)
def test_open_mode_refuses_a_proxy(open_service: TestClient, header: dict[str, str]) -> None:
    response = open_service.get("/v1/collections", headers=header)
    assert (response.status_code, response.json()["code"]) == (403, "forbidden_proxy")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        authorize("wrong"),
        authorize(""),
        authorize(KEY + "x"),
        authorize(KEY[:-1]),
        {"Authorization": b"Basic " + KEY.encode()},
        {"Authorization": b"\xff\xfe"},
        {"X-Api-Key": KEY.encode()},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/collections"), ("POST", "/v1/collections/default/query"), ("GET", "/v1/jobs"), ("GET", "/nothing")],
)
def test_with_a_key_nobody_else_is_let_in(
    locked_service: TestClient, headers: dict[str, bytes], method: str, path: str
) -> None:
    response = locked_service.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "unauthorized"
    assert KEY not in response.text


def test_the_key_opens_from_any_host_and_behind_a_proxy(locked_service: TestClient) -> None:
    headers = authorize(KEY) | {"X-Forwarded-For": b"10.0.0.1", "Origin": b"https://memory.example"}
    assert locked_service.get("/v1/collections", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_key(locked_service: TestClient, path: str) -> None:
    assert locked_service.get(path).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_without_a_key_loopback_may_be_listened_on(tmp_path: Path, host: str) -> None:
    check_address(Settings(data_dir=tmp_path, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "memory.example", "localhost.evil.example", ""])
def test_without_a_key_no_other_address(tmp_path: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="SHARPWAVE_ADMIN_KEY"):
        check_address(Settings(data_dir=tmp_path, host=host))
    check_address(Settings(data_dir=tmp_path, host=host, admin_key=SecretStr(KEY)))
