"""A web server for tests, that says byte for byte what it is told to say, also what no server should."""

from __future__ import annotations

import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Answer = bytes | Callable[["Exchange"], None]


class Exchange:
    """One request, and the way to answer it."""

    def __init__(self, path: str, headers: Mapping[str, str], send: Callable[[bytes], Any], ended: threading.Event):
        self.path = path
        self.headers = headers
        self.send = send
        self._ended = ended

    def pause(self) -> bool:
        """Wait a moment; False once the test is over."""
        return not self._ended.wait(0.01)


class WebServer(socketserver.ThreadingTCPServer):
    """Answers each path as ``answers`` says; ``requests`` remembers what was asked for."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tls = tls
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[Exchange] = []
        self.ended = threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answer(self, path: str, *answers: Answer) -> None:
        """Answer the path so; of several answers the last one stays."""
        self.answers[path] = list(answers)

    def get_request(self) -> Any:
        connection, address = super().get_request()
        connection.settimeout(30)
        return connection, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what is tested."""


class _Handler(socketserver.StreamRequestHandler):
    server: WebServer

    def handle(self) -> None:
        if self.server.tls is not None:
            self.connection = self.server.tls.wrap_socket(self.request, server_side=True)
            self.rfile = self.connection.makefile("rb")
        path = self.rfile.readline().decode("latin-1").split(" ")[1]
        headers = {}
        while (line := self.rfile.readline().decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        exchange = Exchange(path, headers, self.connection.sendall, self.server.ended)
        self.server.requests.append(exchange)
        answers = self.server.answers[path]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer(exchange)
        else:
            exchange.send(answer)
        if self.server.tls is not None:
            self.connection.close()


@contextmanager
def running(server: WebServer) -> Iterator[WebServer]:
    """Serve while the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def say(body: bytes = b"", status: int = 200, **headers: str) -> bytes:
    """Return a response; ``Content_Length`` and the like are headers, an empty one is left out."""
    fields = {"Content-Length": str(len(body)), "Content-Type": "text/html"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status} Whatever\r\n{head}\r\n".encode("latin-1") + body
