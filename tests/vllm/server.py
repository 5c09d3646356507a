"""A real vLLM in a process group of its own, as `deploy/vllm.sh serve` runs it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.integration.installation import wait_for

REPOSITORY = Path(__file__).parents[2]
_MODELS = REPOSITORY / ".venv-vllm" / "models"
# Half a minute on an idle machine.
_START_S = 600.0

FIGURES: list[str] = []
"""What the tests saw, for the end of the report."""


def is_set_up() -> bool:
    """Whether `make vllm` has run here."""
    return (REPOSITORY / ".venv-vllm" / ".installed").exists() and _MODELS.is_dir() and any(_MODELS.iterdir())


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class VLLM:
    """The server; it keeps its port when it is started again."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=10)

    def start(self) -> None:
        """Start it and wait until it answers."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [REPOSITORY / "deploy" / "vllm.sh", "serve", str(self.port)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        wait_for(self._is_ready, within_s=_START_S, what="vLLM's start")
        FIGURES.append(f"vLLM started in {time.monotonic() - began:.0f} s")

    def kill(self) -> None:
        """Kill the server and its engine at once, as the system does where memory runs out."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order, or else kill it."""
        self._end(signal.SIGTERM)
        self._http.close()

    def metric(self, name: str) -> float:
        """Return the sum over a metric's labels."""
        found = re.findall(rf"^vllm:{name}{{[^}}]*}} (\S+)$", self._http.get("/metrics").text, re.MULTILINE)
        assert found, name
        return sum(map(float, found))

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            pytest.fail(f"vLLM ended while it started:\n{self._log.read_text('utf-8', 'replace')[-3000:]}")
        try:
            return self._http.get("/health").is_success
        except httpx.TransportError:
            return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        for one in (how, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, one)
                self._process.wait(30)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._process = None
