"""One vLLM for all tests here; without its environment they are skipped, and say what to run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.generator import ClientParams
from tests.vllm.server import FIGURES, VLLM, is_set_up

# A CPU that others use too reads a prompt of two thousand tokens in a minute.
PATIENT = ClientParams(total_timeout_s=240, idle_timeout_s=240, probe_timeout_s=30, trust_env=False)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLM]:
    """The running server."""
    if not is_set_up():
        pytest.skip("vLLM IS NOT SET UP HERE: run `make vllm`, which installs it into .venv-vllm and runs these tests")
    one = VLLM(Path(tmp_path_factory.mktemp("vllm")) / "log")
    try:
        one.start()
        yield one
    finally:
        one.stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was seen."""
    for line in FIGURES:
        terminalreporter.write_line(line)
