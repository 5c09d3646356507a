"""The service behind a real port, for clients that come over the network, with doubles for the models.

Who calls is told by the bearer key: ``KEYS`` stands in for the table of keys.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from ingest.pipeline import Learner
from memory_graph.store import jobs as job_store
from memory_graph.store.collections import create_collection
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.access import Caller
from service.app import create_app
from service.services import Services
from service.settings import Settings
from tests.unit.service.test_api import make_learner

KEYS: Mapping[str, Caller] = {
    "all": Caller(id="1", name="all", scopes=frozenset({"admin"})),
    "reader": Caller(id="2", name="reader", scopes=frozenset({"read"})),
    "writer": Caller(id="3", name="writer", scopes=frozenset({"write"})),
    "letters": Caller(id="4", name="letters", scopes=frozenset({"read", "write"}), collections=frozenset({"letters"})),
}


class ActAs:
    """Stands behind the gate, and says that the caller is whose key was sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            key = Headers(scope=scope).get("authorization", "").removeprefix("Bearer ")
            if key in KEYS:
                scope["state"]["caller"] = KEYS[key]
        await self._app(scope, receive, send)


@dataclass
class Listening:
    """The service on a port, and the worker's part of it by hand."""

    url: str
    parts: Services
    generator: ScriptedGenerator
    learner: Learner
    instance: Any

    def create(self, name: str, description: str = "") -> None:
        with self.parts.database.write() as connection:
            create_collection(connection, name, description)

    def learn_waiting(self) -> None:
        with self.parts.database.read() as connection:
            waiting = [job.id for job in job_store.list_jobs(connection) if job.state == "queued"]
        for job_id in waiting:
            with self.learner.open(job_id) as learn_next:
                while learn_next():
                    pass
            with self.parts.database.write() as connection:
                job_store.end_job(connection, job_id, "succeeded")


class _Server(uvicorn.Server):
    """Says when it listens, or that it never will."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()


@contextmanager
def listen(folder: Path, tokenizer_file: Path, **settings: Any) -> Iterator[Listening]:
    """Run the service on a free port until the block ends."""
    generator = ScriptedGenerator([])
    app = create_app(Settings(data_dir=folder, **settings), embedder=HashEmbedder(), generator=generator)
    app.user_middleware.append(Middleware(ActAs))  # the innermost, behind the gate
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = _Server(uvicorn.Config(app, log_level="warning", proxy_headers=False, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            assert server.settled.wait(60)
            assert server.started
            parts: Services = app.state.services
            url = f"http://127.0.0.1:{port}"
            yield Listening(url, parts, generator, make_learner(parts, tokenizer_file), app)
        finally:
            server.should_exit = True
            thread.join()
