"""A model server that answers when it is told to: requests to it are under way for as long as a test needs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class SlowModel:
    """``asked`` is set when a chat has come in; it is refused once ``released`` is, and answers are then extractive."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked = threading.Event()
        self.released = threading.Event()


@contextmanager
def slow_model() -> Iterator[SlowModel]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"object": "list", "data": [{"id": "m1", "max_model_len": 2048}]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/chat/completions"):
                model.asked.set()
                model.released.wait()
            self._answer(400, {"error": {"message": "not now"}})

        def _answer(self, status: int, value: object) -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that hang up are part of the test."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        model = SlowModel(f"http://127.0.0.1:{server.server_address[1]}/v1")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield model
        finally:
            model.released.set()
            server.shutdown()
            thread.join()
