"""Every request has a name: the client's where it is well-formed, on every answer and in every problem."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.request_ids import request_id
from service.settings import Settings


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("ids"), admin_key=SecretStr("key"))
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))

    @app.get("/v1/whoami")
    def whoami() -> dict[str, str | None]:
        return {"id": request_id()}

    @app.get("/v1/fault")
    def fault() -> None:
        raise RuntimeError("secret")

    headers = {"Authorization": "Bearer key"}
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False, headers=headers) as client:
        yield client


@pytest.mark.parametrize("given", ["a", "0f3c-77", "Root=1-67891233-abcdef012345678912345678", "x" * 128])
def test_a_well_formed_id_is_kept(client: TestClient, given: str) -> None:
    response = client.get("/v1/whoami", headers={"X-Request-Id": given})
    assert response.headers.get_list("x-request-id") == [given]
    assert response.json() == {"id": given}


@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, "-a", "a\x7f", 'a"', "a,b"])
def test_any_other_is_replaced(client: TestClient, given: str) -> None:
    response = client.get("/v1/whoami", headers={"X-Request-Id": given})
    made = response.headers["x-request-id"]
    assert made != given
    assert len(made) == 32
    assert response.json() == {"id": made}


def test_two_ids_are_none(client: TestClient) -> None:
    response = client.get("/v1/whoami", headers=[("X-Request-Id", "one"), ("X-Request-Id", "two")])
    assert response.headers["x-request-id"] not in ("one", "two", "one, two")


def test_requests_without_one_are_told_apart(client: TestClient) -> None:
    assert len({client.get("/v1/whoami").headers["x-request-id"] for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/collections/none", {}, 404),
        ("/nothing", {}, 404),
        ("/v1/jobs?limit=0", {}, 422),
        ("/v1/jobs", {"Authorization": "Bearer wrong"}, 401),
        ("/v1/fault", {}, 500),
    ],
)
def test_problems_tell_the_id(client: TestClient, path: str, headers: dict[str, str], status: int) -> None:
    response = client.get(path, headers={"X-Request-Id": "mine", **headers})
    assert response.status_code == status
    assert response.headers.get_list("x-request-id") == ["mine"]
    assert response.json()["request_id"] == "mine"


def test_a_fault_is_logged_under_the_id(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    response = client.get("/v1/fault", headers={"X-Request-Id": "look-for-me"})
    assert "look-for-me" in response.json()["detail"]
    assert "unexpected error look-for-me in GET /v1/fault" in caplog.text
