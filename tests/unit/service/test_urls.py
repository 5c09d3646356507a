"""``POST …/urls`` and addresses on the command line: refused at once, or handed to the worker as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from typer.testing import CliRunner

from memory_graph.tables import job_items, jobs
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.cli import app as cli
from service.services import Services
from service.settings import Settings

PATH = "/v1/collections/default/urls"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(data_dir=tmp_path, url_hosts="docs.example.org", stores="memory://library/public/")
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[TestClient]:
    """A service out of the box."""
    app = create_app(Settings(data_dir=tmp_path), embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def _items(client: TestClient) -> list[tuple[Any, ...]]:
    parts: Services = client.app.state.services  # type: ignore[attr-defined]
    with parts.database.read() as connection:
        columns = (job_items.c.kind, job_items.c.name, job_items.c.payload, jobs.c.split)
        return [tuple(row) for row in connection.execute(select(*columns).join(jobs).order_by(job_items.c.id))]


def test_addresses_become_items_of_a_job_and_nothing_is_opened(service: TestClient) -> None:
    urls = ["HTTPS://Docs.example.org:443/a/../ferries#top", "memory://library/public/"]
    response = service.post(PATH, json={"urls": urls, "split": "none"})
    assert response.status_code == 202
    job = service.get(f"/v1/jobs/{response.json()['job_id']}").json()
    assert (job["state"], job["progress"]["total"]) == ("queued", 2)
    page, prefix = "https://docs.example.org/ferries", "memory://library/public/"
    assert _items(service) == [("url", page, {"url": page}, "none"), ("store", prefix, {"url": prefix}, "none")]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://docs.example.org.evil.example/", "SHARPWAVE_URL_HOSTS"),
        ("https://docs.example.org:8443/", "SHARPWAVE_URL_HOSTS"),
        ("https://docs.example.org@evil.example/", "user name or password"),
        ("http://127.1/", "four decimal numbers"),
        ("http://localhost/", "SHARPWAVE_URL_HOSTS"),
        ("ftp://docs.example.org/a.md", "SHARPWAVE_STORES"),
        ("memory://library/private/a.md", "SHARPWAVE_STORES"),
        ("memory://library/public/../private/a.md", "no parts"),
        ("simplecache::memory://library/public/a.md", "chained"),
        ("file:///etc/passwd", "never read from"),
        ("/etc/passwd", "no address"),
        ("docs/*.md", "no address"),
        ("", "no address"),
        ("https://docs.example.org/\u0000", "NUL"),
    ],
)
def test_one_address_that_will_not_do_refuses_the_request(service: TestClient, url: str, said: str) -> None:
    response = service.post(PATH, json={"urls": ["https://docs.example.org/", url]})
    body = response.json()
    assert (response.status_code, body["code"], body["field"]) == (422, "invalid_input", "urls.1")
    assert said in body["detail"]
    assert _items(service) == []


def test_out_of_the_box_no_address_is_allowed(closed: TestClient) -> None:
    for url, setting in (("https://example.org/", "SHARPWAVE_URL_HOSTS"), ("s3://bucket/a.md", "SHARPWAVE_STORES")):
        response = closed.post(PATH, json={"urls": [url]})
        assert response.status_code == 422
        assert f"({setting}), which is empty" in response.json()["detail"]


def test_the_same_address_twice_is_an_error_however_it_is_written(service: TestClient) -> None:
    urls = ["https://docs.example.org/a", "https://DOCS.example.org:443/b/../a"]
    response = service.post(PATH, json={"urls": urls})
    assert (response.status_code, response.json()["field"]) == (422, "urls.1")


@pytest.mark.parametrize("body", [{}, {"urls": []}, {"urls": "https://docs.example.org/"}, {"urls": [1]}])
def test_a_request_of_another_form_is_refused(service: TestClient, body: dict[str, Any]) -> None:
    assert service.post(PATH, json=body).json()["code"] == "invalid_input"


def test_a_collection_that_is_not_there_is_not_found(service: TestClient) -> None:
    response = service.post("/v1/collections/nowhere/urls", json={"urls": ["https://docs.example.org/"]})
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


# The command line


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SHARPWAVE_{name.upper()}", raising=False)
    monkeypatch.setenv("COLUMNS", "1000")

    def run(*arguments: str, **environment: str) -> tuple[Any, list[tuple[Any, ...]]]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        ran = CliRunner().invoke(cli, ["ingest", *arguments, "--no-wait", "--data-dir", str(tmp_path / "data")])
        return ran, _waiting(tmp_path / "data")

    return run


def _waiting(folder: Path) -> list[tuple[Any, ...]]:
    from memory_graph.database import Database

    if not (folder / "sharpwave.db").exists():
        return []
    database = Database(f"sqlite:///{folder / 'sharpwave.db'}")
    with database.read() as connection:
        found = [tuple(row) for row in connection.execute(select(job_items.c.kind, job_items.c.name))]
    database.close()
    return found


def test_paths_patterns_and_addresses_go_into_one_job(run: Any, tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.txt"):
        (tmp_path / name).write_text("They rise.")
    pattern, page = str(tmp_path / "*.md"), "https://docs.example.org/a"
    given = (pattern, str(tmp_path / "c.txt"), page, page + "#x", "s3://library/")
    ran, items = run(*given, SHARPWAVE_URL_HOSTS="docs.example.org", SHARPWAVE_STORES="s3")
    assert ran.exit_code == 0
    files = [("file", str(tmp_path / name)) for name in ("a.md", "b.md", "c.txt")]
    assert items == [*files, ("url", page), ("store", "s3://library/")]
    again, items = run(*given)
    assert "unfinished job" in again.output
    assert len(items) == 5


def test_a_path_that_looks_like_an_address_is_a_path_where_it_is_there(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "a.md").write_text("They rise.")
    _, items = run("http://a.md")
    assert [kind for kind, _ in items] == ["file"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("https://docs.example.org/", "SHARPWAVE_URL_HOSTS"),
        ("s3://library/a.md", "SHARPWAVE_STORES"),
        ("file:///etc/passwd", "never read from"),
        ("simplecache::file:///etc/passwd", "chained"),
        ("none/*.md", "'none/*.md' matches nothing"),
    ],
)
def test_what_will_not_do_is_bad_usage_and_nothing_is_queued(run: Any, given: str, said: str) -> None:
    from memory_graph.errors import InvalidInput

    ran, items = run(given)
    assert isinstance(ran.exception, InvalidInput)  # which ``main`` turns into one line and status 2
    assert said in ran.exception.message
    assert items == []


def test_an_estimate_reads_no_addresses(run: Any) -> None:
    ran, _ = run("--estimate", "https://docs.example.org/", SHARPWAVE_URL_HOSTS="docs.example.org")
    assert "--estimate" in str(ran.exception)
