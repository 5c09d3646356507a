"""What is too much, too large or too slow is refused with a problem document, and costs nobody else anything."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from memory_graph.errors import Abandoned
from retrieval.batching import BatchingEmbedder
from retrieval.testing import HashEmbedder
from service.admission import Admission, Overflow, kind_of, leave_line
from service.errors import install_handlers
from service.settings import Settings

PATIENCE_S = 30.0
SEARCH = "/v1/collections/books/search"
QUERY = "/v1/collections/books/query"
WRITE = "/v1/collections/books/documents"


@dataclass
class Door:
    """An app whose searches end when they are let; it tells what it saw."""

    settings: Settings
    let: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    order: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        app = FastAPI()
        install_handlers(app)
        embedder = BatchingEmbedder(HashEmbedder())

        @app.post("/v1/collections/{collection}/search")
        def search(collection: str, body: dict[str, str]) -> dict[str, str]:
            self.order.append(collection)
            self.begun.release()
            assert self.let.acquire(timeout=PATIENCE_S)
            try:
                embedder.encode(["text"])
            except Abandoned:
                self.abandoned.append(collection)
                raise
            return body

        @app.post("/v1/collections/{collection}/query")
        async def query(collection: str) -> StreamingResponse:
            async def pieces() -> AsyncIterator[bytes]:
                yield b"one"
                self.begun.release()
                await asyncio.to_thread(self.let.acquire, timeout=PATIENCE_S)
                yield b"two"

            return StreamingResponse(pieces())

        @app.post("/v1/collections/{collection}/documents")
        async def learn(collection: str, request: Request) -> int:
            size = len(await request.body())
            leave_line()
            self.begun.release()
            await asyncio.to_thread(self.let.acquire, timeout=PATIENCE_S)
            return size

        @app.post("/v1/collections/{collection}/files")
        async def upload(collection: str, files: list[UploadFile]) -> list[int | None]:
            return [file.size for file in files]

        @app.get("/healthz")
        async def alive() -> str:
            return "ok"

        self.admission: Any = Admission(app, self.settings)


@dataclass
class Client:
    """One request as a server hands it over: its messages come when they are sent."""

    path: str
    method: str = "POST"
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    status: int = 0
    answer: bytes = b""
    told: dict[str, str] = field(default_factory=dict)

    def start(self, door: Door, body: bytes | None = b"{}") -> asyncio.Task[None]:
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        if body is not None:
            self.send(body)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": self.method,
            "path": self.path,
            "raw_path": self.path.encode(),
            "root_path": "",
            "query_string": b"",
            "scheme": "http",
            "server": ("localhost", 80),
            "client": ("localhost", 1),
            "headers": [(name.encode(), value.encode()) for name, value in self.headers.items()],
            "state": {},
        }
        return asyncio.create_task(door.admission(scope, self._inbox.get, self._take))

    def send(self, body: bytes, more: bool = False) -> None:
        self._inbox.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def hang_up(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    @property
    def problem(self) -> tuple[int, str]:
        assert self.told["content-type"] == "application/problem+json"
        return self.status, json.loads(self.answer)["code"]

    async def _take(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            assert not self.status
            self.status = message["status"]
            self.told = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.answer += message.get("body", b"")


def _run(tmp_path: Path, story: Callable[[Door], Awaitable[None]], **settings: Any) -> Door:
    door = Door(Settings(data_dir=tmp_path, **settings))

    async def play() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await story(door)

    asyncio.run(play())
    return door


async def _begin(door: Door) -> None:
    assert await asyncio.to_thread(door.begun.acquire, timeout=PATIENCE_S)


async def _settle() -> None:
    """Let every task run until it waits for something from outside."""
    for _ in range(50):
        await asyncio.sleep(0)


FEW = {"searches_at_once": 1, "searches_waiting": 1, "writes_at_once": 1, "writes_waiting": 0}


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", SEARCH, ("searches", "books")),
        ("POST", QUERY, ("answers", "books")),
        ("POST", "/v1/chat/completions", ("answers", "")),
        ("POST", "/mcp", ("answers", "")),
        ("POST", WRITE, ("writes", "books")),
        ("POST", "/v1/collections/books/files", ("writes", "books")),
        ("DELETE", "/v1/collections/books", ("writes", "books")),
        ("DELETE", "/v1/collections/books/documents/search", ("writes", "books")),
        ("POST", "/v1/jobs/one/cancel", ("writes", "")),
        ("GET", WRITE, (None, "")),
        ("GET", "/healthz", (None, "")),
    ],
)
def test_every_request_has_its_line(method: str, path: str, kind: tuple[str | None, str]) -> None:
    assert kind_of(method, path) == kind


def test_what_is_too_much_is_refused_at_once_and_the_rest_is_served(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        clients = [Client(SEARCH) for _ in range(3)]
        tasks = [client.start(door) for client in clients]
        await tasks[2]  # while the others are not done
        assert clients[2].problem == (429, "overloaded")
        assert int(clients[2].told["retry-after"]) >= 1
        health, write = Client("/healthz", method="GET"), Client(WRITE)
        await health.start(door)
        assert (health.status, health.answer) == (200, b'"ok"')
        writing = write.start(door)  # stands in another line
        door.let.release(3)
        await asyncio.gather(*tasks, writing)
        assert [client.status for client in (*clients[:2], write)] == [200, 200, 200]
        lines = door.admission.lines.values()
        assert [(line.in_work, line.waiting) for line in lines] == [(0, 0)] * 3

    _run(tmp_path, story, **FEW)


def test_a_full_line_is_told_before_anybody_looks_who_asks(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        within, looked_at = door.admission, list[str]()

        async def gate(scope: Scope, receive: Receive, send: Send) -> None:
            looked_at.append(scope["path"])
            await within(scope, receive, send)

        door.admission = Overflow(gate, within.lines)
        clients = [Client(SEARCH) for _ in range(2)]
        tasks = [client.start(door) for client in clients]
        await _begin(door)
        while not within.lines["searches"].waiting:
            await asyncio.sleep(0)
        late, health = Client(SEARCH), Client("/healthz", method="GET")
        await asyncio.gather(late.start(door), health.start(door))
        assert (late.problem, health.status) == ((429, "overloaded"), 200)
        assert looked_at == [SEARCH, SEARCH, "/healthz"]
        door.let.release(2)
        await asyncio.gather(*tasks)
        assert [client.status for client in clients] == [200, 200]

    _run(tmp_path, story, **FEW)


def test_who_hangs_up_while_waiting_is_never_served(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        first, gone = Client(SEARCH), Client("/v1/collections/gone/search")
        serving, waiting = first.start(door), gone.start(door)
        await _begin(door)
        gone.hang_up()
        await waiting
        assert gone.status == 0
        next_one = Client("/v1/collections/next/search")
        following = next_one.start(door)
        door.let.release(2)
        await asyncio.gather(serving, following)
        assert (door.order, next_one.status) == (["books", "next"], 200)

    _run(tmp_path, story, **FEW)


def test_the_body_that_came_while_waiting_is_not_lost(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        first, second = Client(SEARCH), Client(SEARCH)
        tasks = [first.start(door), second.start(door, None)]
        await _begin(door)
        second.send(b'{"query":', more=True)
        await _settle()
        second.send(b' "ada"}')
        door.let.release(2)
        await asyncio.gather(*tasks)
        assert second.answer == b'{"query":"ada"}'

    _run(tmp_path, story, **FEW)


def test_who_hangs_up_while_served_has_the_work_dropped(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        client = Client(SEARCH)
        serving = client.start(door)
        await _begin(door)
        client.hang_up()
        await _settle()
        door.let.release()
        await serving

    assert _run(tmp_path, story).abandoned == ["books"]


def test_what_takes_too_long_is_answered_and_keeps_its_place_until_it_ends(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        client, waiting = Client(SEARCH), Client(SEARCH)
        tasks = [client.start(door), waiting.start(door)]
        await asyncio.gather(*tasks)
        assert client.problem == waiting.problem == (504, "timeout")
        line = door.admission.lines["searches"]
        assert (line.in_work, line.waiting) == (1, 0)
        door.let.release()
        while line.in_work:
            await asyncio.sleep(0.001)

    door = _run(tmp_path, story, request_timeout_s=0.05, **FEW)
    assert door.abandoned == ["books"]


def test_an_answer_that_has_begun_is_not_cut_off(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        client = Client(QUERY)
        serving = client.start(door)
        await _begin(door)
        await asyncio.sleep(0.06)  # longer than the time that a request has to begin
        door.let.release()
        await serving
        assert (client.status, client.answer) == (200, b"onetwo")

    _run(tmp_path, story, request_timeout_s=0.05)


def test_who_waits_for_a_job_gives_its_place_back(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        first, second = Client(WRITE), Client(WRITE)
        waiting = first.start(door)
        await _begin(door)
        following = second.start(door)
        await _begin(door)
        door.let.release(2)
        await asyncio.gather(waiting, following)
        assert (first.status, second.status) == (200, 200)

    _run(tmp_path, story, **FEW)


@pytest.mark.parametrize("path", [SEARCH, WRITE])
def test_a_body_that_is_too_large_is_refused(tmp_path: Path, path: str) -> None:
    async def story(door: Door) -> None:
        told = Client(path, headers={"content-type": "application/json", "content-length": str(2**20 + 1)})
        await told.start(door, None)  # before any of it was sent
        assert told.problem == (413, "body_too_large")
        assert told.told["connection"] == "close"
        untold = Client(path)
        serving = untold.start(door, None)
        for _ in range(17):
            untold.send(b" " * 2**16, more=True)
        await serving
        assert untold.problem == (413, "body_too_large")
        assert all(line.in_work == 0 for line in door.admission.lines.values())

    _run(tmp_path, story, max_body_mb=1)


def test_uploads_have_a_limit_of_their_own(tmp_path: Path) -> None:
    def form(size: int) -> bytes:
        head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        return head + b"a" * size + b"\r\n--x--\r\n"

    async def story(door: Door) -> None:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        fits = Client("/v1/collections/books/files", headers=headers)
        await fits.start(door, form(3 * 2**19))
        assert (fits.status, fits.answer) == (200, b"[1572864]")
        large = Client("/v1/collections/books/files", headers=headers)
        await large.start(door, form(2 * 2**20))
        assert large.problem == (413, "body_too_large")

    _run(tmp_path, story, max_body_mb=1, max_upload_mb=2)


@pytest.mark.parametrize("waits", [False, True])
def test_a_body_that_does_not_arrive_is_refused(tmp_path: Path, waits: bool) -> None:
    async def story(door: Door) -> None:
        first, slow = Client(SEARCH), Client(SEARCH)
        serving = first.start(door) if waits else None
        await slow.start(door, None)
        assert slow.problem == (408, "slow_request")
        door.let.release()
        if serving is not None:
            await serving
        assert door.admission.lines["searches"].in_work == 0

    _run(tmp_path, story, client_timeout_s=0.05, **FEW)


def test_a_body_that_comes_steadily_is_taken_however_long_it_is(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        client = Client(WRITE)
        serving = client.start(door, None)
        for _ in range(3):
            client.send(b"a" * 2**16, more=True)  # buys four seconds at the least rate
            await asyncio.sleep(0.03)
        client.send(b"")
        door.let.release()
        await serving
        assert (client.status, client.answer) == (200, str(3 * 2**16).encode())

    _run(tmp_path, story, client_timeout_s=0.05)


def test_an_error_of_the_app_goes_on_and_the_place_is_free(tmp_path: Path) -> None:
    async def story(door: Door) -> None:
        async def broken(*_: object) -> None:
            raise RuntimeError("broken")

        admission = door.admission = Admission(broken, door.settings)
        with pytest.raises(RuntimeError, match="broken"):
            await Client(SEARCH).start(door)
        assert admission.lines["searches"].in_work == 0

    _run(tmp_path, story)
