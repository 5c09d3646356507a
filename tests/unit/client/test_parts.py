"""The client without a service: attempts, errors, events cut anywhere, exports cut short, and what it imports."""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import sharpwave_client
from sharpwave_client import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    ConnectionFailed,
    Forbidden,
    InvalidRequest,
    NotFound,
    RateLimited,
    Retry,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from sharpwave_client.events import EventReader

HEALTHY = {"status": "ok", "instance": "one"}
JOB = {
    "id": "j",
    "collection": "c",
    "progress": {"documents": 0, "passages": 0, "total": 1},
    "created_at": "2026-01-01T00:00:00Z",
}
Reply = httpx.Response | Exception


class Script:
    """Answers requests in turn, with a response or a fault of the network, and keeps the requests."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def client(script: Script, **retry: Any) -> Client:
    return Client(key="k", retry=Retry(**({"first_s": 0.0} | retry)), transport=httpx.MockTransport(script))


def refusal(status: int, code: str = "busy", **headers: str) -> httpx.Response:
    problem = {"status": status, "code": code, "detail": "not now", "request_id": "r-1"}
    return httpx.Response(status, json=problem, headers={name.replace("_", "-"): one for name, one in headers.items()})


def test_what_is_busy_is_asked_again() -> None:
    script = Script(refusal(503), refusal(429, Retry_After="0"), httpx.Response(200, json=HEALTHY))
    with client(script, first_s=0.001) as one:
        assert one.health().instance == "one"
    assert [request.headers["Authorization"] for request in script.asked] == ["Bearer k"] * 3


def test_the_async_client_asks_again_too() -> None:
    script = Script(refusal(503), httpx.ConnectError("refused"), httpx.Response(200, json=HEALTHY))

    async def ask() -> str:
        async with AsyncClient(retry=Retry(first_s=0.0), transport=httpx.MockTransport(script)) as one:
            return (await one.health()).instance

    assert asyncio.run(ask()) == "one"


def test_a_write_is_sent_again_under_its_one_key() -> None:
    made = {"job_id": "j"}
    broken = httpx.ReadError("broken"), refusal(409, "request_in_progress"), refusal(503)
    script = Script(*broken, httpx.Response(202, json=made), httpx.Response(202, json=made))
    with client(script) as one:
        one.add_documents("c", ["a text"])
        one.add_documents("c", ["a text"])
    keys = [request.headers["Idempotency-Key"] for request in script.asked]
    assert len(keys) == 5
    assert len(set(keys)) == 2
    assert keys[0] == keys[3] != keys[4]
    assert {request.content for request in script.asked} == {script.asked[0].content}


def test_files_are_sent_again_whole(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("all of it")
    script = Script(refusal(503), httpx.Response(202, json={"job_id": "j"}))
    with client(script) as one:
        one.upload_files("c", [tmp_path / "a.txt"])
    assert ["all of it" in request.content.decode() for request in script.asked] == [True, True]


@pytest.mark.parametrize(
    ("reply", "kind", "asked"),
    [
        (lambda: refusal(503), Unavailable, 3),
        (lambda: refusal(429), RateLimited, 3),
        (lambda: refusal(429, Retry_After="31"), RateLimited, 1),
        (lambda: refusal(503, "model_missing"), Unavailable, 1),
        (lambda: refusal(502), Unavailable, 1),
        (lambda: refusal(500), ServerFault, 1),
        (lambda: refusal(422), InvalidRequest, 1),
        (lambda: refusal(409), Conflict, 1),
        (lambda: refusal(412), Conflict, 1),
        (lambda: refusal(404), NotFound, 1),
        (lambda: refusal(403), Forbidden, 1),
        (lambda: refusal(401), Unauthorized, 1),
        (lambda: httpx.ConnectError("refused"), ConnectionFailed, 3),
        (lambda: httpx.ReadError("broken"), ConnectionFailed, 3),
        (lambda: httpx.ConnectTimeout("late"), TimedOut, 3),
        (lambda: httpx.ReadTimeout("late"), TimedOut, 1),
    ],
)
def test_what_does_not_pass_is_raised(reply: Callable[[], Reply], kind: type[Exception], asked: int) -> None:
    script = Script(*(reply() for _ in range(3)))
    with client(script, attempts=3) as one, pytest.raises(kind) as caught:
        one.health()
    assert type(caught.value) is kind
    assert len(script.asked) == asked
    if isinstance(caught.value, ApiError):
        assert (caught.value.request_id, caught.value.detail) == ("r-1", "not now")


def test_a_key_is_made_once_where_the_connection_breaks() -> None:
    script = Script(httpx.ReadError("broken"), httpx.ReadError("broken"))
    with client(script) as one, pytest.raises(ConnectionFailed):
        one.create_key("for tests")
    assert len(script.asked) == 1


@pytest.mark.parametrize("body", ["<html>", "[]", '{"status": 1}', ""])
def test_what_is_no_answer_of_the_service_is_told(body: str) -> None:
    with client(Script(httpx.Response(200, text=body))) as one, pytest.raises(UnexpectedAnswer):
        one.health()
    with client(Script(httpx.Response(200, text=body))) as one, pytest.raises(UnexpectedAnswer):
        one.list_documents("c")


def test_a_refusal_of_something_else_has_its_status() -> None:
    reply = httpx.Response(418, text="<html>tea</html>", headers={"X-Request-Id": "r-2"})
    with client(Script(reply)) as one, pytest.raises(InvalidRequest) as caught:
        one.health()
    assert (caught.value.status, caught.value.code, caught.value.request_id) == (418, "http_error", "r-2")


def test_new_fields_are_kept_and_nothing_can_be_changed() -> None:
    with client(Script(httpx.Response(200, json=HEALTHY | {"since": 5}))) as one:
        health = one.health()
    assert health.model_extra == {"since": 5}
    with pytest.raises(ValueError, match="frozen"):
        health.status = "changed"


def told(name: str, data: Any, mark: str = "") -> bytes:
    return f": keep-alive\n\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n{mark}\n".encode()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 10_000])
@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
def test_events_are_read_however_they_are_cut(size: int, ending: bytes) -> None:
    stream = (told("token", {"text": "ü\u2028\u0085x"}, "id: 7\n") + told("done", [1])).replace(b"\n", ending)
    reader = EventReader()
    events = [event for at in range(0, len(stream), size) for event in reader.feed(stream[at : at + size])]
    assert [(one.name, one.data, one.id) for one in events] == [
        ("token", {"text": "ü\u2028\u0085x"}, "7"),
        ("done", [1], None),
    ]


def test_an_answer_that_breaks_off_or_fails_is_no_answer() -> None:
    events = told("hits", {"hits": [], "version": 1}) + told("surprise", {}) + told("token", {"text": "16"})
    with client(Script(httpx.Response(200, content=events))) as one:
        following = one.stream_answer("c", "Who?")
        assert [type(next(following)).__name__ for _ in range(2)] == ["Found", "Token"]
        with pytest.raises(ConnectionFailed, match="ended"):
            next(following)
    problem = {"status": 500, "code": "internal_error", "detail": "a fault"}
    failing = Script(httpx.Response(200, content=told("error", problem)))
    with client(failing) as one, pytest.raises(ServerFault) as caught:
        list(one.stream_answer("c", "Who?"))
    assert caught.value.code == "internal_error"
    with client(Script(httpx.Response(200, content=b"data: {\n\n"))) as one, pytest.raises(UnexpectedAnswer):
        list(one.stream_answer("c", "Who?"))


def test_a_job_is_followed_on_after_a_break() -> None:
    running, done = JOB | {"state": "running"}, JOB | {"state": "succeeded"}
    script = Script(
        httpx.Response(200, content=told("progress", running, "id: one\n")),
        httpx.ReadError("broken"),
        httpx.Response(200, content=told("done", done, "id: two\n")),
    )
    with client(script, attempts=2) as one:
        assert [job.state for job in one.follow_job("j")] == ["running", "succeeded"]
    assert [request.headers.get("Last-Event-ID") for request in script.asked] == [None, "one", "one"]
    empty = Script(*(httpx.Response(200) for _ in range(4)))
    with client(empty, attempts=4) as one, pytest.raises(ConnectionFailed, match="ended"):
        list(one.follow_job("j"))


WHOLE = b'{"kind": "header"}\n{"kind": "end", "counts": {}}\n'


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_an_export_is_saved_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"memory{suffix}"
    with client(Script(httpx.Response(200, content=WHOLE))) as one:
        one.save_export("c", path)
    assert (gzip.decompress(path.read_bytes()) if suffix.endswith("gz") else path.read_bytes()) == WHOLE
    before = path.read_bytes()
    for cut in (WHOLE[:-1], WHOLE[:20], b""):
        with client(Script(httpx.Response(200, content=cut))) as one, pytest.raises(UnexpectedAnswer):
            one.save_export("c", path)

    def broken() -> Iterator[bytes]:
        yield WHOLE[:20]
        raise httpx.ReadError("broken")

    with client(Script(httpx.Response(200, content=broken()))) as one, pytest.raises(ConnectionFailed):
        one.save_export("c", path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_it_needs_nothing_of_the_server() -> None:
    assert sharpwave_client.__file__ is not None
    folder = Path(sharpwave_client.__file__).parent
    adapters = {folder / "langchain.py": {"langchain_core"}, folder / "llama_index.py": {"llama_index"}}
    for file in folder.rglob("*.py"):
        found = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or ".").split(".")[0])
        known = {"httpx", "pydantic", "sharpwave_client", *sys.stdlib_module_names, *adapters.get(file, ())}
        assert found <= known, file
