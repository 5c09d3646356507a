"""``up`` as it is run: two processes that come back when they die, and end with the one that watches them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.installation import Installation, Server, assert_no_trace, learn, wait_for

HARBOUR = {"id": "50%25/a b?.md", "title": "The harbour", "text": "Maren Quill built the harbour of Tessaly in 1871."}


@pytest.fixture(scope="module")
def server(make_installation: Callable[..., Installation]) -> Iterator[Server]:
    installation = make_installation()
    running = Server(installation)
    yield running
    running.client.close()
    installation.end()


def test_what_is_posted_is_found(server: Server) -> None:
    job = learn(server.client, HARBOUR)
    assert (job["state"], job["progress"]["documents"]) == ("succeeded", 1)
    assert server.search("Who built the harbour?", min_version=job["version"]) == [HARBOUR["id"]]
    # A percent sign in an id is one in the path too, encoded once.
    shown = server.client.get("/v1/collections/default/documents/50%2525%2Fa%20b%3F.md")
    assert shown.json()["id"] == HARBOUR["id"]


def test_files_are_uploaded_and_followed(server: Server) -> None:
    job_id = server.client.post(
        "/v1/collections/default/files", files=[("files", ("mill.txt", b"Ivo Brandt built the mill at Ostrow."))]
    ).json()["job_id"]
    with server.client.stream("GET", f"/v1/jobs/{job_id}/events") as response:
        text = "".join(response.iter_text())
    assert text.rstrip().split("\n\n")[-1].startswith("event: done")
    assert "mill.txt" in server.search("Who built the mill?")


def test_a_commit_of_another_process_shows(server: Server, tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("# The lamp\n\nThe lamp of Fennay burns whale oil.\n")
    installation = server.installation
    started = installation.start("ingest", tmp_path / "lamp.md")
    finished = "SELECT count(*) FROM job_items WHERE kind = 'file' AND state = 'done'"
    wait_for(lambda: installation.value(finished), within_s=60, what="the commit")
    wait_for(
        lambda: str(tmp_path / "lamp.md") in server.search("What does the lamp burn?"), within_s=60, what="the hit"
    )
    assert started.wait(60) == 0
    # It was the running worker that learned it: the command started none of its own.
    assert installation.value("SELECT count(*) FROM workers") == 1


def test_the_command_line_asks_the_running_service(server: Server) -> None:
    found = server.installation.run("search", "Who built the harbour?", "-k", 1, "--json").json
    assert [hit["document_id"] for hit in found["hits"]] == [HARBOUR["id"]]
    gone = server.installation.run("search", "x", "-c", "nowhere", status=1)
    assert gone.err == "error: collection 'nowhere' does not exist\n"
    wrong = server.installation.run("search", "x", "--filter", '{"year": {"near": 1}}', status=2)
    assert wrong.err.startswith("error: filter.year: must be")


def test_a_second_service_on_the_port_is_refused(server: Server) -> None:
    ran = server.installation.run("up", "--port", server.port, status=2, timeout_s=120)
    assert "cannot listen on" in ran.err
    assert server.is_ready()


def test_a_killed_api_comes_back(server: Server) -> None:
    before = server.child("serve")
    os.kill(before, signal.SIGKILL)
    wait_for(lambda: before not in server.installation.processes(), within_s=60, what="the end of the API")
    server.wait_ready()
    assert server.child("serve") != before
    assert HARBOUR["id"] in server.search("Who built the harbour?")


def test_a_worker_killed_at_work_costs_nothing(server: Server) -> None:
    documents = [
        {"id": f"note-{n}", "text": f"Note {n}: on day {n} Anna Quell{n} counted {n * 7} gulls at Mast {n}."}
        for n in range(600)
    ]
    job_id = server.client.post("/v1/collections/default/documents", json={"documents": documents}).json()["job_id"]

    def job() -> dict[str, Any]:
        return dict(server.client.get(f"/v1/jobs/{job_id}").json())

    wait_for(lambda: job()["progress"]["documents"], within_s=120, what="the first commit")
    before = server.child("worker")
    os.kill(before, signal.SIGKILL)
    assert job()["state"] == "running"
    wait_for(lambda: job()["state"] == "succeeded", within_s=240, what="the end of the job")
    progress = job()["progress"]
    assert (progress["documents"], progress["known"], progress["failed"]) == (600, 0, 0)
    count = "SELECT count(*) FROM documents WHERE key LIKE 'note-%'"
    assert server.installation.value(count) == 600
    assert server.child("worker") != before
    assert server.search("How many gulls at Mast 451?", top_k=1) == ["note-451"]


def test_sigterm_ends_all_of_it(server: Server) -> None:
    """The last test on this server."""
    assert server.is_ready()
    learn(
        server.client, {"id": "pier", "text": "Orla Finch built the pier at Ostrow."}
    )  # the worker has an extractor now
    said_before = server.up.err.read_text()
    os.kill(server.up.pid, signal.SIGTERM)
    assert server.up.wait(40) == 0
    wait_for(lambda: not server.installation.processes(), within_s=60, what="the end of all processes")
    assert not (server.installation.data_dir / "server.json").exists()
    said = server.up.err.read_text()
    assert_no_trace(said)
    assert server.url in said
    assert "No key is set" in said
    assert "leaked" not in said.removeprefix(said_before)


def test_children_do_not_outlive_a_killed_up_and_a_key_keeps_the_door(
    make_installation: Callable[..., Installation], start_server: Callable[..., Server]
) -> None:
    installation = make_installation(SHARPWAVE_ADMIN_KEY="the-kéy")
    server = start_server(installation)
    assert server.client.get("/healthz").status_code == 200
    assert server.client.get("/v1/collections").status_code == 401
    wrong = server.client.get("/v1/collections", headers={"Authorization": "Bearer nothing"})
    assert wrong.status_code == 401
    assert "the-k" not in wrong.text
    right = {"Authorization": "Bearer the-kéy".encode()}
    assert server.client.get("/v1/collections", headers=right).status_code == 200
    # The command line has the key from the same variable.
    assert installation.run("search", "Anything?", "--json").json["hits"] == []
    server.child("worker")
    os.kill(server.up.pid, signal.SIGKILL)
    server.up.wait(10)
    wait_for(lambda: not installation.processes(), within_s=60, what="the end of the children")
    with pytest.raises(httpx.TransportError):
        server.client.get("/healthz")
