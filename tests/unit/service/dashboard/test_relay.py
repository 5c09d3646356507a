"""What comes for the dashboard to one process reaches the one that has it, as it was sent, and comes back as it is."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from service.dashboard.relay import Relay


async def _tell(request: Request) -> Response:
    body = await request.body()
    told = {
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.url.query,
        "host": request.headers["host"],
        "cookie": request.headers.get("cookie"),
        "body": len(body),
    }
    answer = JSONResponse(told, status_code=207)
    answer.headers.append("set-cookie", "a=1")
    answer.headers.append("set-cookie", "b=2")
    return answer


async def _stream(_: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d," % number

    return StreamingResponse(pieces(), headers={"content-encoding": "made-up"})


async def _echo(websocket: WebSocket) -> None:
    if websocket.headers.get("cookie") != "session=good":
        await websocket.close()
        return
    await websocket.accept()
    try:
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("text") == "go":
                await websocket.close(4001)
                return
            if message.get("text") is not None:
                await websocket.send_text(message["text"] + websocket.url.query)
            else:
                await websocket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        return


@pytest.fixture
def path() -> Iterator[str]:
    """Where a service listens that has the pages."""
    routes = [
        Route("/admin/tell/{rest:path}", _tell, methods=["GET", "POST"]),
        Route("/admin/stream", _stream),
        WebSocketRoute("/admin/socket", _echo),
    ]
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        where = str(Path(folder) / "desk")
        listener.bind(where)
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
        thread.start()
        yield where
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(path: str) -> Iterator[TestClient]:
    app = Starlette(routes=[Mount("/admin", Relay(path))])
    with TestClient(app, base_url="http://memory.example:8000") as client:
        yield client


def test_a_request_is_passed_on_as_it_was_sent(client: TestClient) -> None:
    answer = client.post(
        "/admin/tell/a%2Fb?x=1&y=%20", content=b"x" * 300_000, headers={"cookie": "session=good", "te": "trailers"}
    )
    assert answer.status_code == 207
    assert answer.json() == {
        "method": "POST",
        "path": "/admin/tell/a%2Fb",
        "query": "x=1&y=%20",
        "host": "memory.example:8000",
        "cookie": "session=good",
        "body": 300_000,
    }
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert client.get("/admin/tell/").json()["body"] == 0


def test_an_answer_comes_piece_by_piece_and_packed_as_it_was(client: TestClient) -> None:
    with client.stream("GET", "/admin/stream") as answer:
        assert answer.headers["content-encoding"] == "made-up"
        assert b"".join(answer.iter_raw()) == b"0,1,2,"


def test_a_socket_is_passed_on_both_ways_until_one_side_ends_it(client: TestClient) -> None:
    with client.websocket_connect("/admin/socket?!", headers={"cookie": "session=good"}) as one:
        one.send_text("hello")
        assert one.receive_text() == "hello!"
        one.send_bytes(b"\0\1")
        assert one.receive_bytes() == b"\0\1"
        one.send_text("go")
        with pytest.raises(WebSocketDisconnect) as ended:
            one.receive_text()
        assert ended.value.code == 4001


def test_a_socket_that_is_refused_there_is_refused_here(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/admin/socket"):
        pass


def test_where_nobody_listens_a_request_is_told_and_a_socket_refused(tmp_path: Path) -> None:
    with TestClient(Starlette(routes=[Mount("/admin", Relay(str(tmp_path / "nobody")))])) as client:
        answer = client.get("/admin/")
        assert (answer.status_code, answer.json()["code"]) == (503, "shutting_down")
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/admin/socket"):
            pass
