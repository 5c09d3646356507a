"""A service on a real port of this machine, with doubles for the models and a worker that learns at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ingest.pipeline import Learner
from memory_graph.store import jobs as job_store
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.services import Services
from service.settings import Settings
from tests.unit.factories import wait_until
from tests.unit.service.test_api import make_learner

ADMIN_KEY = "an-admin-key-für-tests"
START_S = 120.0


@dataclass(frozen=True)
class Served:
    """The running service; its worker works while ``working`` is set."""

    url: str
    app: FastAPI
    generator: ScriptedGenerator
    working: threading.Event

    @property
    def parts(self) -> Services:
        services: Services = self.app.state.services
        return services


@contextmanager
def served(folder: Path, tokenizer_file: Path) -> Iterator[Served]:
    """Run the service until the block ends."""
    generator = ScriptedGenerator([])
    settings = Settings(data_dir=folder, admin_key=ADMIN_KEY, max_file_mb=1)
    app = create_app(settings, embedder=HashEmbedder(), generator=generator)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    stop, working = threading.Event(), threading.Event()
    working.set()
    try:
        wait_until(lambda: server.started, START_S)
        (address,) = [socket.getsockname() for one in server.servers for socket in one.sockets]
        up = Served(f"http://127.0.0.1:{address[1]}", app, generator, working)
        worker = threading.Thread(target=_work, args=(up, make_learner(up.parts, tokenizer_file), stop))
        worker.start()
        try:
            yield up
        finally:
            stop.set()
            worker.join()
    finally:
        server.should_exit = True
        thread.join()


def _work(up: Served, learner: Learner, stop: threading.Event) -> None:
    """Learn what is queued, as a worker does."""
    database = up.parts.database
    while not stop.wait(0.02):
        if not up.working.is_set():
            continue
        with database.read() as connection:
            waiting = [job.id for job in job_store.list_jobs(connection) if job.state == "queued"]
        for job_id in waiting:
            with learner.open(job_id) as learn_next:
                while learn_next():
                    pass
            with database.write() as connection:
                job_store.end_job(connection, job_id, "succeeded")
