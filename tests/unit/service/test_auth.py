"""Who is let in: the open mode on this machine alone, and the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import WebSocket
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.testclient import WebSocketDenialResponse

from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import ANYONE
from service.app import create_app
from service.hosts import parse_allowed_hosts
from service.keys import WantedKey, make_key
from service.opening import check_address
from service.settings import Settings

KEY = "k3y-with-ünïcode"


async def tell_caller(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(socket.state.caller.id)
    await socket.close()


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("open"))
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    app.add_api_websocket_route("/echo", tell_caller)
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture(scope="module")
def locked_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("locked"),
        admin_key=SecretStr(KEY),
        allowed_hosts="memory.example, *.below.example",
    )
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    app.add_api_websocket_route("/echo", tell_caller)
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


def test_the_key_opens_behind_a_proxy(locked_service: TestClient) -> None:
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


def test_a_key_in_the_database_lets_any_address_be_listened_on(database: Database) -> None:
    settings = Settings(host="0.0.0.0")
    with pytest.raises(InvalidInput, match="sharpwave keys create"):
        check_address(settings, database)
    with database.write() as connection:
        make_key(connection, ANYONE, WantedKey(name="k", scopes=frozenset({"read"})))
    check_address(settings, database)


GOOD_HOSTS = [
    "localhost",
    "127.0.0.1:80",
    "[::1]:8000",
    "10.0.0.1",
    "memory.example:443",
    "MEMORY.example",
    "a.below.example",
]
BAD_HOSTS = [
    "evil.example",
    "memory.example.evil.example",
    "below.example",
    "xbelow.example",
    "localhost.evil.example",
    "",
    "[::1",
]
GOOD_ORIGINS = ["https://memory.example", "http://localhost:3000", "https://a.below.example"]
BAD_ORIGINS = ["https://evil.example", "http://10.0.0.1", "null", "file://", "https://memory.example.evil.example"]


@pytest.mark.parametrize("path", ["/v1/collections", "/healthz", "/openapi.json"])
def test_with_a_key_names_are_still_checked_on_every_route(locked_service: TestClient, path: str) -> None:
    for host in GOOD_HOSTS:
        assert locked_service.get(path, headers=authorize(KEY) | {"Host": host.encode()}).status_code == 200, host
    for host in BAD_HOSTS:
        refused = locked_service.get(path, headers=authorize(KEY) | {"Host": host.encode()})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden_host"), host
    for origin in GOOD_ORIGINS:
        assert locked_service.get(path, headers=authorize(KEY) | {"Origin": origin.encode()}).status_code == 200, origin
    for origin in BAD_ORIGINS:
        refused = locked_service.get(path, headers=authorize(KEY) | {"Origin": origin.encode()})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden_origin"), origin


def test_a_page_may_ask_the_address_that_it_came_from(locked_service: TestClient) -> None:
    headers = authorize(KEY) | {"Host": b"10.0.0.1:8000", "Origin": b"http://10.0.0.1:8000"}
    assert locked_service.get("/v1/collections", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": b"evil.example"} | authorize(KEY), 403),
        ({"Origin": b"https://evil.example"} | authorize(KEY), 403),
        ({}, 401),
        (authorize("wrong"), 401),
    ],
)
def test_a_websocket_is_guarded_like_a_route(
    locked_service: TestClient, headers: dict[str, bytes], status: int
) -> None:
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        locked_service.websocket_connect("ws://memory.example/echo", headers=headers),
    ):
        pytest.fail("it was let in")
    assert refused.value.status_code == status


def test_a_websocket_opens_with_the_key(locked_service: TestClient) -> None:
    with locked_service.websocket_connect("ws://memory.example/echo", headers=authorize(KEY)) as socket:  # type: ignore[arg-type]
        assert socket.receive_text() == "first"


def test_an_open_websocket_is_for_pages_of_this_machine(open_service: TestClient) -> None:
    with open_service.websocket_connect("ws://localhost/echo", headers={"Origin": "http://localhost:8000"}) as socket:
        assert socket.receive_text() == "open"
    with (
        pytest.raises(WebSocketDenialResponse),
        open_service.websocket_connect("ws://localhost/echo", headers={"Origin": "https://evil.example"}),
    ):
        pytest.fail("it was let in")


@pytest.mark.parametrize("text", ["https://memory.example", "memory.example:443", "*.*", "a b", "*example"])
def test_a_list_of_names_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="SHARPWAVE_ALLOWED_HOSTS"):
        parse_allowed_hosts(text, "SHARPWAVE_ALLOWED_HOSTS")


def test_a_star_takes_every_name() -> None:
    hosts = parse_allowed_hosts("*", "SHARPWAVE_ALLOWED_HOSTS")
    assert hosts.takes("evil.example")
    assert hosts.takes_page("evil.example", "memory.example")
    assert not hosts.takes(None)
