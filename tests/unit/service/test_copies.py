"""Copies as users meet them: chosen in a request, counted in jobs, listed with a document, folded among hits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from ingest.jobs import fingerprint_paths
from memory_graph.errors import InvalidInput
from memory_graph.store.jobs import end_job
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service.app import create_app
from service.cli import app as cli
from service.commands.copies import describe_copies
from service.learning_schemas import JobOut
from service.services import Services
from service.settings import Settings, read_settings
from tests.unit.service.test_api import assert_problem, make_learner

TEXT = " ".join(f"word{n}" for n in range(120))
NEAR = f"changed {TEXT}"
runner = CliRunner()


class Service:
    """The service in process; jobs are learned by hand."""

    def __init__(self, client: TestClient, parts: Services, tokenizer_file: Path) -> None:
        self.client = client
        self._parts = parts
        self._learner = make_learner(parts, tokenizer_file)

    def learn(self, path: str, **sent: Any) -> dict[str, Any]:
        """Send what is to be learned, learn it, and return the job."""
        response = self.client.post(f"/v1/collections/default/{path}", **sent)
        assert response.status_code == 202, response.text
        job_id = response.json()["job_id"]
        with self._learner.open(job_id) as learn_next:
            while learn_next():
                pass
        with self._parts.database.write() as connection:
            end_job(connection, job_id, "succeeded")
        job: dict[str, Any] = self.client.get(f"/v1/jobs/{job_id}").json()
        return job


@pytest.fixture
def service(tmp_path: Path, tokenizer_file: Path) -> Iterator[Service]:
    settings = Settings(data_dir=tmp_path, duplicates="skip")
    app = create_app(settings, embedder=HashEmbedder(), generator=ScriptedGenerator([]))
    with TestClient(app, base_url="http://localhost") as client:
        yield Service(client, app.state.services, tokenizer_file)


def _documents(**texts: str) -> dict[str, Any]:
    return {"documents": [{"id": key, "text": text} for key, text in texts.items()], "split": "none"}


def test_the_setting_decides_where_a_request_does_not(service: Service) -> None:
    job = service.learn("documents", json=_documents(a=TEXT, b=TEXT, near=NEAR))
    assert job["duplicates"] == "skip"
    counts = {name: job["progress"][name] for name in ("documents", "exact", "near", "skipped", "failed", "total")}
    assert counts == {"documents": 1, "exact": 1, "near": 1, "skipped": 2, "failed": 0, "total": 3}
    assert job["skipped"] == [
        {"document_id": "b", "kind": "exact", "duplicate_of": "a"},
        {"document_id": "near", "kind": "near", "duplicate_of": "a"},
    ]
    assert service.client.get("/v1/jobs").json()["jobs"][0]["skipped"] == []


def test_linked_copies_are_listed_with_a_document_and_folded_among_hits(service: Service) -> None:
    job = service.learn("documents", json=_documents(a=TEXT, b=TEXT, near=NEAR) | {"duplicates": "link"})
    assert (job["duplicates"], job["progress"]["documents"], job["skipped"]) == ("link", 3, [])
    exact, near = service.client.get("/v1/collections/default/documents/a").json()["duplicates"]
    assert exact == {"document_id": "b", "kind": "exact", "similarity": 1.0}
    assert (near["document_id"], near["kind"]) == ("near", "near")
    assert 0.8 <= near["similarity"] < 1
    found = service.client.post("/v1/collections/default/search", json={"query": TEXT, "mode": "dense"}).json()
    (hit,) = found["hits"]
    assert {hit["document_id"], *hit["duplicates"]} == {"a", "b", "near"}


def test_uploads_have_a_choice_too(service: Service) -> None:
    files = [("files", (f"{name}.txt", TEXT.encode())) for name in "ab"]
    assert service.learn("files", files=files, data={"duplicates": "keep"})["progress"]["documents"] == 2
    assert service.client.get("/v1/collections/default/documents/a.txt").json()["duplicates"] == []
    again = [("files", (f"{name}.txt", NEAR.encode())) for name in "cd"]
    assert service.learn("files", files=again)["progress"]["skipped"] == 1


def test_a_wrong_choice_names_the_field(service: Service) -> None:
    path = "/v1/collections/default"
    body = _documents(a=TEXT) | {"duplicates": "drop"}
    assert_problem(service.client.post(f"{path}/documents", json=body), 422, "invalid_input", "duplicates")
    files = [("files", ("a.txt", TEXT.encode()))]
    response = service.client.post(f"{path}/files", files=files, data={"duplicates": "drop"})
    assert_problem(response, 422, "invalid_input", "duplicates")


def test_a_job_tells_its_copies_in_the_terminal(service: Service) -> None:
    given = {f"d{n:02}": TEXT for n in range(30)}
    job = JobOut.model_validate(service.learn("documents", json=_documents(**given)))
    first, second, *others = describe_copies(job)
    assert first == "Copies: 29 exact, 0 near; 29 of these were skipped."
    assert second == "  d01 is the same as d00"
    assert len(others) == 20
    assert "jobs show" in others[-1]
    alone = JobOut.model_validate(service.learn("documents", json=_documents(other="nothing like it")))
    assert describe_copies(alone) == []


def test_the_command_takes_no_other_choice(tmp_path: Path) -> None:
    ran = runner.invoke(cli, ["ingest", str(tmp_path), "--duplicates", "drop"])
    assert ran.exit_code == 2
    assert "--duplicates" in ran.output


def test_the_setting_takes_no_other_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARPWAVE_DUPLICATES", "drop")
    with pytest.raises(InvalidInput, match="SHARPWAVE_DUPLICATES"):
        read_settings()


def test_another_choice_is_another_request(tmp_path: Path) -> None:
    usual = fingerprint_paths([tmp_path], "recursive")
    assert fingerprint_paths([tmp_path], "recursive", duplicates="link") == usual
    assert fingerprint_paths([tmp_path], "recursive", duplicates="skip") != usual


def test_a_set_that_is_not_there_is_refused(tmp_path: Path) -> None:
    ran = runner.invoke(cli, ["eval", "duplicates", str(tmp_path / "nowhere")])
    assert isinstance(ran.exception, InvalidInput)
    assert "there is no such folder" in str(ran.exception)
