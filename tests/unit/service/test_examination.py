"""The examination: its checks alike from the command line and over HTTP, and what the installation is made of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from memory_graph.database import Database
from memory_graph.errors import InvalidInput
from memory_graph.store.purges import request_purge
from memory_graph.store.rows import now
from memory_graph.tables import purges
from retrieval import models
from retrieval.testing import HashEmbedder, ScriptedGenerator
from service import doctor as doctor_module
from service.app import create_app
from service.doctor import CHECKS, Examined, Result, examine
from service.parts_list import list_models
from service.settings import Settings
from tests.unit.service.test_api import assert_problem

KEY = "sk-doctor"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = create_app(
        Settings(data_dir=tmp_path, admin_key=KEY),  # type: ignore[arg-type]
        embedder=HashEmbedder(16),
        generator=ScriptedGenerator([]),
    )
    with TestClient(app, base_url="http://localhost", headers={"Authorization": f"Bearer {KEY}"}) as client:
        yield client


def check(settings: Settings, *names: str, database: Database | None = None) -> list[Result]:
    return asyncio.run(examine(Examined(settings=settings, database=database), names))


def test_each_check_says_what_it_found(tmp_path: Path, database: Database) -> None:
    results = check(
        Settings(data_dir=tmp_path), "python", "data folder", "store", "worker", "purges", database=database
    )
    assert [one.check for one in results] == ["python", "data folder", "store", "worker", "purges"]
    assert all(one.ok for one in results)
    told = {one.check: one.detail for one in results}
    assert "schema current" in told["store"]
    assert told["worker"].startswith("none alive")
    assert list(tmp_path.glob(".doctor-*")) == []


def test_what_is_wrong_is_said_with_what_to_do(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (folder,) = check(Settings(data_dir=tmp_path / "file" / "data"), "data folder")
    assert (folder.ok, "SHARPWAVE_DATA_DIR" in folder.detail) == (False, True)
    monkeypatch.setattr(doctor_module, "LOW_DISK_MB", 10**12)
    (disk,) = check(Settings(data_dir=tmp_path), "disk")
    assert (disk.ok, disk.detail.startswith("only")) == (False, True)
    with database.write() as connection:
        request_purge(connection, 1, 1)
        connection.execute(update(purges).values(requested_at=now() - timedelta(hours=2)))
    (waiting,) = check(Settings(data_dir=tmp_path), "purges", database=database)
    assert (waiting.ok, "sharpwave purges run" in waiting.detail) == (False, True)


def test_a_check_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="must be one of python, data folder"):
        check(Settings(data_dir=tmp_path), "strange")


def test_the_service_examines_itself(client: TestClient) -> None:
    names = ["python", "store", "worker"]
    told = client.post("/v1/doctor", params={"check": names}).json()
    assert ([one["check"] for one in told["checks"]], told["ok"]) == (names, True)
    assert_problem(client.post("/v1/doctor", params={"check": "strange"}), 422, "invalid_input", "check")
    bound = client.post("/v1/keys", json={"name": "k", "scopes": ["admin"], "collections": ["default"]}).json()
    headers = {"Authorization": f"Bearer {bound['key']}"}
    for path, method in (("/v1/doctor", "POST"), ("/v1/installation", "GET")):
        assert_problem(client.request(method, path, headers=headers), 403, "forbidden")


def test_what_it_is_made_of(client: TestClient) -> None:
    told = client.get("/v1/installation").json()
    assert told["database_schema"]["state"] == "current"
    assert told["database_schema"]["revision"].isdigit()
    assert {one["name"] for one in told["models"]} == {model.name for model in models.registry()}
    used = {one["name"] for one in told["models"] if one["used"]}
    assert models.default_for("embedder").name in used
    assert any(one["name"].lower() == "sqlalchemy" for one in told["libraries"])
    assert not any(one["name"] in ("ruff", "pytest") for one in told["libraries"])


def test_a_model_is_verified_when_all_of_it_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"weights"
    file = models.ModelFile(path="a.bin", size=len(data), sha256=hashlib.sha256(data).hexdigest())
    whole: dict[str, Any] = {"role": "embedder", "licence": "MIT", "description": "", "source": "", "mirrors": ()}
    model = models.Model(name="small", size=len(data), files=(file,), **whole)
    monkeypatch.setattr(models, "registry", lambda: (model,))
    (absent,) = list_models(tmp_path, ["small"])
    assert (absent.verified_at, absent.used) == (None, True)
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "a.bin").write_bytes(data)
    assert list_models(tmp_path, [])[0].verified_at is None  # it lies there, but nobody has looked at its bytes
    (tmp_path / "small" / models.MANIFEST).write_text(f'{{"a.bin": "{file.sha256}"}}')
    (here,) = list_models(tmp_path, [])
    assert here.verified_at is not None
    assert abs(now() - here.verified_at) < timedelta(minutes=1)


def test_the_checks_are_those_that_are_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "api.md").read_text("utf-8")
    section = page.split("### POST /v1/doctor")[1].split("###")[0]
    assert [name for name in CHECKS if f"`{name}`" not in section] == []
