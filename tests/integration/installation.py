"""The product as its users run it: processes on a data folder of their own, all of them ended with the test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from memory_graph.database import Database
from tests.integration.warm import run_warm

REPOSITORY = Path(__file__).parents[2]
Got = TypeVar("Got")


def wait_for(look: Callable[[], Got], *, within_s: float, what: str) -> Got:
    """Return what ``look`` returns as soon as it is true of it; fails when that takes too long."""
    deadline = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within_s:g} s")
        time.sleep(0.02)


def learn(client: httpx.Client, *documents: Mapping[str, Any]) -> dict[str, Any]:
    """Have the running service learn documents, and return the job when it has succeeded."""
    path, body = "/v1/collections/default/documents", {"documents": documents, "wait": True}
    response = client.post(path, json=body, timeout=180)
    assert response.is_success, response.text
    if response.status_code == 200:
        return dict(response.json())

    def job() -> dict[str, Any]:  # a busy machine takes longer than a request waits
        return dict(client.get(f"/v1/jobs/{response.json()['job_id']}").json())

    return wait_for(lambda: (got := job())["state"] == "succeeded" and got, within_s=240, what="the end of the job")


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    arguments: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.out)


@dataclass
class Started:
    """A command that runs, its output in files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self, timeout_s: float) -> int:
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """Kill the command and all that it started in its group, as a closed terminal or an OOM killer would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass
class Installation:
    """One data folder, and the command line on it."""

    data_dir: Path
    logs: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[Started] = field(default_factory=list)

    def run(
        self, *arguments: object, status: int | None = 0, timeout_s: float = 120, cold: bool = False, **more: str
    ) -> Ran:
        """Run a command to its end; whatever it says, it never shows a stack trace.

        ``cold`` starts an interpreter as a shell does; otherwise the command begins with its imports behind it.
        """
        words = tuple(str(argument) for argument in arguments)
        run = _run_cold if cold else run_warm
        ended, out, err = run(words, folder=REPOSITORY, environment=self.environ(more), timeout_s=timeout_s)
        if ended is None:
            pytest.fail(f"{' '.join(words)} did not end within {timeout_s:g} s: {out}{err}")
        ran = Ran(words, ended, out, err)
        assert_no_trace(ran.out + ran.err)
        if status is not None:
            assert ran.status == status, f"{words} ended with {ran.status}: {ran.out}{ran.err}"
        return ran

    def start(self, *arguments: object, **more: str) -> Started:
        """Start a command in a process group of its own."""
        number = len(self.started)
        out, err = self.logs / f"{number}.out", self.logs / f"{number}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", *map(str, arguments)],
                cwd=REPOSITORY,
                env=self.environ(more),
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                start_new_session=True,
            )
        started = Started(process, out, err)
        self.started.append(started)
        return started

    def environ(self, more: dict[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SHARPWAVE_", "PYTEST_"))}
        if "SHARPWAVE_MODELS_DIR" in os.environ:
            kept["SHARPWAVE_MODELS_DIR"] = os.environ["SHARPWAVE_MODELS_DIR"]
        own = {"SHARPWAVE_DATA_DIR": str(self.data_dir), "COLUMNS": "200", "NO_COLOR": "1"}
        return kept | own | self.environment | more

    def open(self) -> closing[Database]:
        """Open the database beside whoever else has it open."""
        return closing(Database(f"sqlite:///{self.data_dir / 'sharpwave.db'}"))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read from the database; nothing where it is not made yet."""
        if not (self.data_dir / "sharpwave.db").exists():
            return []
        with self.open() as database, database.read() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(sql)]

    def value(self, sql: str) -> Any:
        """Read one value."""
        return self.rows(sql)[0][0]

    def processes(self) -> dict[int, str]:
        """Return the processes that live on this data folder, whoever their parent is now: id → command line."""
        mark = f"SHARPWAVE_DATA_DIR={self.data_dir}".encode()
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                try:
                    if mark in (folder / "environ").read_bytes().split(b"\0"):
                        found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                except OSError:
                    continue  # ended meanwhile, or another user's
        return found

    def end(self) -> None:
        """Kill what is left."""
        for _ in range(3):
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        for started in self.started:
            started.process.wait(10)


def _run_cold(
    arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str], timeout_s: float
) -> tuple[int | None, str, str]:
    """Do what ``run_warm`` does, in an interpreter of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", *arguments],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return None, out.decode(), err.decode()
    return process.returncode, out.decode(), err.decode()


def assert_no_trace(text: str) -> None:
    """A user gets one line that says what is wrong, never a stack trace or word of a fault of ours."""
    assert "Traceback" not in text, text
    assert "a fault inside sharpwave" not in text, text


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """``sharpwave up`` on a free port."""

    def __init__(self, installation: Installation, **environment: str) -> None:
        self.installation = installation
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self.up = installation.start("up", "--port", self.port, **environment)
        self.wait_ready()

    def wait_ready(self, within_s: float = 300) -> None:
        wait_for(self.is_ready, within_s=within_s, what="/readyz")

    def is_ready(self) -> bool:
        try:
            return self.client.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False

    def child(self, verb: str) -> int:
        """Return the process of ``serve`` or ``worker``."""

        def look() -> int | None:
            found = [pid for pid, line in self.installation.processes().items() if line.rstrip().endswith(f" {verb}")]
            return found[0] if found else None

        return wait_for(look, within_s=60, what=f"the process of {verb}")

    def search(self, query: str, **options: Any) -> list[str]:
        """Return the ids of the documents found."""
        response = self.client.post("/v1/collections/default/search", json={"query": query, **options})
        assert response.status_code == 200, response.text
        return [hit["document_id"] for hit in response.json()["hits"]]
