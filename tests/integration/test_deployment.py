"""The shape of ``deploy/``, run by hand: PostgreSQL, two API services and a worker, behind nginx as in the example."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.installation import Installation, Started, free_port, learn, wait_for
from tests.integration.nginx import NAME, running, write_configuration
from tests.integration.test_lifecycle import NO_MODEL, Api, events_of, load
from tests.postgres import PostgresServer

pytestmark = pytest.mark.timeout(900)

KEY = "a-key-of-the-test"
BEARER = {"Authorization": f"Bearer {KEY}"}


@dataclass
class Deployment:
    """Two services of the same memory, each with a data folder of its own as on two hosts, and the way to both."""

    apis: tuple[Api, Api]
    worker: Started
    proxy: httpx.Client
    proxy_url: str

    def ask(self, number: int, method: str, path: str, **more: Any) -> Any:
        response = self.apis[number].client.request(method, path, headers=BEARER, **more)
        assert response.is_success, response.text
        return response.json()


@pytest.fixture(scope="module")
def deployment(
    make_installation: Callable[..., Installation],
    postgres: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    nginx = shutil.which("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed: `apt-get install nginx-light`")
    folder = tmp_path_factory.mktemp("nginx")
    secret = folder / "admin-key"
    secret.write_text(f"{KEY}\n")
    environment = NO_MODEL | {
        "SHARPWAVE_DATABASE_URL": postgres.create_database(),
        "SHARPWAVE_ADMIN_KEY_FILE": str(secret),
        "SHARPWAVE_ALLOWED_HOSTS": NAME,
    }
    hosts = [make_installation(**environment) for _ in range(3)]
    hosts[0].run("db", "upgrade", timeout_s=300)
    worker = hosts[2].start("worker")
    apis = (Api(hosts[0]), Api(hosts[1]))
    plain, secure = free_port(), free_port()
    written = write_configuration(folder, {80: plain, 443: secure}, [f"127.0.0.1:{api.port}" for api in apis])
    proxy_url = f"https://127.0.0.1:{secure}"
    with (
        running(nginx, folder, written),
        httpx.Client(
            base_url=proxy_url, verify=written.trust, timeout=120, trust_env=False, headers={"Host": NAME, **BEARER}
        ) as proxy,
    ):
        redirected = httpx.get(f"http://127.0.0.1:{plain}/healthz", headers={"Host": NAME}, trust_env=False)
        assert redirected.headers["location"] == f"https://{NAME}/healthz"
        yield Deployment(apis, worker, proxy, proxy_url)
    for api in apis:
        api.client.close()
    for host in hosts:
        host.end()


def test_a_job_through_one_service_is_followed_through_the_proxy_and_seen_by_the_other(deployment: Deployment) -> None:
    large = b"<p>A gull.</p><!--" + b"x" * 3 * 2**20 + b"-->"  # above nginx's own limit of 1 MB
    files = [("files", ("mill.txt", b"Ivo Brandt built the mill at Ostrow.")), ("files", ("gull.html", large))]
    uploaded = deployment.proxy.post("/v1/collections/default/files", files=files)
    assert uploaded.is_success, uploaded.text
    job_id = uploaded.json()["job_id"]
    with deployment.proxy.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        assert response.status_code == 200
        events = events_of("".join(response.iter_text()))
    assert events[-1]["event"] == "done"
    shown = [deployment.ask(number, "GET", f"/v1/jobs/{job_id}") for number in (0, 1)]
    assert shown[0] == shown[1]
    assert shown[0]["state"] == "succeeded"
    for number in (0, 1):
        body = {"query": "Who built the mill?", "min_version": shown[0]["version"]}
        found = deployment.ask(number, "POST", "/v1/collections/default/search", json=body)
        assert found["hits"][0]["document_id"] == "mill.txt"


def test_the_proxy_keeps_numbers_inside_and_needs_the_key(deployment: Deployment) -> None:
    assert deployment.proxy.get("/metrics").status_code == 404
    refused = deployment.proxy.get("/v1/collections", headers={"Authorization": "Bearer nothing"})
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")


def test_an_event_comes_through_the_proxy_before_the_stream_ends(deployment: Deployment) -> None:
    body = {"documents": [{"id": "later", "text": "Later."}]}
    os.kill(deployment.worker.pid, signal.SIGSTOP)
    try:
        job_id = deployment.proxy.post("/v1/collections/default/documents", json=body).json()["job_id"]
        with deployment.proxy.stream("GET", f"/v1/jobs/{job_id}/events") as response:
            lines = response.iter_lines()
            assert next(line for line in lines if not line.startswith("retry:")) == "event: progress"
            os.kill(deployment.worker.pid, signal.SIGCONT)
            assert events_of("\n".join(lines))[-1]["event"] == "done"
    finally:
        os.kill(deployment.worker.pid, signal.SIGCONT)


def test_restarting_both_services_behind_the_proxy_loses_nothing(deployment: Deployment, tmp_path: Path) -> None:
    learn(deployment.proxy, {"id": "harbour", "text": "Maren Quill built the harbour in 1871."})
    before = [api.processes() for api in deployment.apis]
    with load(deployment.proxy_url, KEY, NAME) as end:
        for api in deployment.apis:
            assert "restarted" in api.installation.run("restart", timeout_s=400).err
        found = end()
    assert (found["failed"], found["failures"]) == (0, [])
    assert min(found["requests"]) > 0
    for api, old in zip(deployment.apis, before, strict=True):
        assert not old & api.processes()


def test_without_one_service_the_other_answers_all(deployment: Deployment) -> None:
    """The last test: one host ends while requests come in."""
    leaving, _ = deployment.apis
    with load(deployment.proxy_url, KEY, NAME) as end:
        leaving.stop(signal.SIGTERM)
        assert leaving.started.wait(120) == 0
        wait_for(lambda: not leaving.installation.processes(), within_s=60, what="the end of the processes")
        found = end()
    assert (found["failed"], found["failures"]) == (0, [])
    assert deployment.proxy.get("/readyz").status_code == 200
