"""How the service ends and is restarted: nothing that was accepted is lost, and nothing waits without bound."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.installation import Installation, Started, assert_no_trace, free_port, wait_for
from tests.integration.slow_model import SlowModel, slow_model

# Starting a process of the API takes its time where others work beside it, and each test starts several.
pytestmark = pytest.mark.timeout(900)

HERE = Path(__file__).parent
# Nobody listens there: the API starts without a language model.
NO_MODEL = {"SHARPWAVE_GENERATOR_URL": "http://127.0.0.1:9/v1", "SHARPWAVE_GENERATOR_RETRIES": "0"}
HARBOUR = "# The harbour\n\nMaren Quill built the harbour of Tessaly in 1871.\n"
# More than the worker learns before it hears of the end.
NOTES = 600
ASKED = {"question": "Who built the harbour?", "stream": True}


class Api:
    """``sharpwave serve`` on a free port."""

    def __init__(self, installation: Installation, *options: object, **environment: str) -> None:
        self.installation = installation
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.started = installation.start("serve", "--port", self.port, *options, **environment)
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        wait_for(lambda: self.said().get("pid") == self.started.pid, within_s=300, what="the announcement")

    def said(self) -> dict[str, Any]:
        file = self.installation.data_dir / "server.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def processes(self) -> set[int]:
        """Those that answer."""
        found = self.installation.processes()
        return {pid for pid, line in found.items() if line.rstrip().endswith(" serve")}

    def refuses(self) -> bool:
        """Whether the port takes no connection."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) != 0

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        os.kill(self.started.pid, number)


@pytest.fixture(scope="module")
def learned_once(make_installation: Callable[..., Installation], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with one document; copied for each test."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "harbour.md").write_text(HARBOUR)
    installation = make_installation()
    installation.run("ingest", folder / "harbour.md", timeout_s=400)
    return installation.data_dir


def copied(make_installation: Callable[..., Installation], learned_once: Path) -> Installation:
    installation = make_installation(**NO_MODEL)
    shutil.copytree(learned_once, installation.data_dir)
    return installation


@pytest.fixture
def small(make_installation: Callable[..., Installation], learned_once: Path) -> Iterator[Installation]:
    installation = copied(make_installation, learned_once)
    yield installation
    installation.end()


@contextmanager
def load(*arguments: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """Search from a second process, and return what ends it and tells how its requests went."""
    command = [sys.executable, str(HERE / "load_process.py"), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end() -> dict[str, Any]:
        out, _ = process.communicate(timeout=300)
        return dict(json.loads(out))

    try:
        yield end
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def asking(api: Api, model: SlowModel) -> Iterator[Callable[[], str]]:
    """Have a question under way whose model does not answer; returns what waits for the stream and returns its text."""
    got: list[str] = []

    def ask() -> None:
        with (
            httpx.Client(timeout=60, trust_env=False) as client,
            client.stream("POST", f"{api.url}/v1/collections/default/query", json=ASKED) as response,
        ):
            got.append("".join(response.iter_text()))

    thread = threading.Thread(target=ask)
    thread.start()
    assert model.asked.wait(60)

    def result() -> str:
        thread.join(60)
        return got[0]

    yield result
    model.released.set()
    thread.join(60)


def events_of(text: str) -> list[dict[str, str]]:
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in text.strip().split("\n\n")]


def assert_ended(api: Api, status: int = 0) -> str:
    api.client.close()
    assert api.started.wait(60) == status
    wait_for(lambda: not api.installation.processes(), within_s=60, what="the end of all processes")
    assert not (api.installation.data_dir / "server.json").exists()
    said = api.started.err.read_text()
    assert_no_trace(said)
    return said


@pytest.fixture(scope="module")
def two(make_installation: Callable[..., Installation], learned_once: Path) -> Iterator[Api]:
    """A service of two processes, which ends as it should when the tests have done with it."""
    installation = copied(make_installation, learned_once)
    api = Api(installation, "--workers", 2)
    wait_for(lambda: len(api.processes()) == 2, within_s=60, what="two processes")
    yield api
    api.stop()
    assert_ended(api)
    installation.end()


def test_restarting_all_processes_loses_no_request(two: Api) -> None:
    before, instance, restarts = two.processes(), two.client.get("/healthz").json()["instance"], two.said()["restarts"]
    with load(two.url) as end:
        assert "restarted" in two.installation.run("restart", timeout_s=300).err
        found = end()
    assert two.said()["restarts"] == restarts + 1
    assert found["failed"] == 0, found
    assert min(found["requests"]) > 0
    assert not before & two.processes()
    assert len(two.processes()) == 2
    assert two.client.get("/healthz").json()["instance"] == instance


def test_a_process_that_dies_is_replaced(two: Api) -> None:
    victim = min(two.processes())
    os.kill(victim, signal.SIGKILL)
    wait_for(
        lambda: victim not in two.processes() and len(two.processes()) == 2, within_s=200, what="another in its place"
    )
    assert two.client.get("/readyz").status_code == 200


def test_a_restart_that_cannot_be_leaves_the_service_and_says_why(small: Installation) -> None:
    api = Api(small)
    before = api.processes()
    with small.open() as database, database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    ran = small.run("restart", status=1, timeout_s=300)
    assert ran.err.splitlines()[-1].startswith("error: the new process ended with status 1")
    assert api.processes() == before
    assert "newer version of sharpwave" in api.started.err.read_text()
    # It goes on, and says that it should not be relied on.
    ready = api.client.get("/readyz")
    assert ready.status_code == 503
    assert "newer version of sharpwave" in ready.json()["parts"]["store"]
    api.stop()
    assert_ended(api)


def test_without_a_service_there_is_nothing_to_restart(installation: Installation) -> None:
    assert "no service answers" in installation.run("restart", status=1).err


def test_the_end_waits_for_an_answer_and_tells_those_who_follow(small: Installation) -> None:
    with slow_model() as model:
        api = Api(small, SHARPWAVE_GENERATOR_URL=model.url, SHARPWAVE_SHUTDOWN_S="60")
        job = small.run("ingest", HERE / "slow_model.py", "--no-wait", "--json", status=None)
        job_id = job.json["job_id"]
        with (
            asking(api, model) as answer,
            httpx.Client(timeout=60, trust_env=False) as follower,
            follower.stream("GET", f"{api.url}/v1/jobs/{job_id}/events") as events,
        ):
            lines = events.iter_lines()
            assert next(line for line in lines if not line.startswith("retry:")) == "event: progress"
            assert api.client.get("/readyz").status_code == 200  # on a connection that is kept
            api.stop()
            *_, closing = events_of("\n".join(lines))
            assert (closing["event"], closing["retry"]) == ("closing", "1000")
            assert json.loads(closing["data"])["code"] == "shutting_down"
            # Streams are told first; the port closes a moment later.
            wait_for(api.refuses, within_s=60, what="the end of the port")
            assert api.started.process.poll() is None  # a question is under way
            model.released.set()
            done = events_of(answer())[-1]
            assert done["event"] == "done"
        assert_ended(api)
        # Its row was waiting to be written when the end began.
        assert small.value("SELECT count(*) FROM queries") == 1


def test_an_answer_that_takes_too_long_is_cut_off_and_says_so(small: Installation) -> None:
    with slow_model() as model:
        api = Api(small, SHARPWAVE_GENERATOR_URL=model.url, SHARPWAVE_SHUTDOWN_S="1.5")
        with asking(api, model) as answer:
            api.stop()
            last = events_of(answer())[-1]
            assert last["event"] == "error"
            assert json.loads(last["data"])["code"] == "shutting_down"
            assert_ended(api)


def test_a_second_signal_does_not_wait_for_answers(small: Installation) -> None:
    with slow_model() as model:
        api = Api(small, SHARPWAVE_GENERATOR_URL=model.url, SHARPWAVE_SHUTDOWN_S="3000")
        with asking(api, model):
            api.stop()
            wait_for(lambda: not (small.data_dir / "server.json").exists(), within_s=60, what="the first signal")
            api.stop(signal.SIGINT)
            assert "cut off" in assert_ended(api)


def test_readiness_ends_with_the_first_signal(small: Installation) -> None:
    with slow_model() as model:
        api = Api(small, SHARPWAVE_GENERATOR_URL=model.url, SHARPWAVE_SHUTDOWN_S="60")
        (process,) = api.processes()
        with asking(api, model):
            assert api.client.get("/readyz").status_code == 200
            os.kill(process, signal.SIGTERM)
            # The kept connection still reaches the process that ends; the port, another one.
            ready = wait_for(
                lambda: (got := api.client.get("/readyz")).status_code == 503 and got, within_s=60, what="503"
            )
            assert ready.headers["connection"] == "close"
            assert (ready.json()["ready"], ready.json()["parts"]["process"]) == (False, "ending")
        wait_for(lambda: api.processes() - {process}, within_s=200, what="another in its place")
        api.stop()
        assert_ended(api)


def test_up_ends_in_the_middle_of_a_job_and_hands_it_back(installation: Installation, tmp_path: Path) -> None:
    lines = [{"id": f"note-{n}", "text": f"Note {n}: on day {n} Anna Quell counted {n} gulls."} for n in range(NOTES)]
    (tmp_path / "notes.jsonl").write_text("\n".join(map(json.dumps, lines)))
    port = free_port()
    started: Started = installation.start("up", "--port", port, **NO_MODEL)
    wait_for(lambda: "The worker is ready" in started.err.read_text(), within_s=300, what="the worker")
    installation.run("ingest", tmp_path / "notes.jsonl", "--no-wait")
    wait_for(lambda: installation.value("SELECT count(*) FROM documents"), within_s=300, what="the first commit")
    os.kill(started.pid, signal.SIGTERM)
    os.kill(started.pid, signal.SIGTERM)  # signals of a kind may be merged: one or two, both end it
    assert started.wait(60) == 0
    wait_for(lambda: not installation.processes(), within_s=60, what="the end of all processes")
    assert installation.rows("SELECT state FROM jobs") == [("queued",)]
    assert installation.rows("SELECT id FROM workers") == []
    assert_no_trace(started.err.read_text())
    before = installation.value("SELECT count(*) FROM documents")
    assert 0 < before < NOTES
    installation.run("ingest", tmp_path / "notes.jsonl", timeout_s=300)
    assert installation.value("SELECT count(*) FROM documents") == NOTES
