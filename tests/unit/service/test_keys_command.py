"""``sharpwave keys``: what it prints is what the service takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound
from service.cli import app
from service.key_ring import KeyRing


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARPWAVE_DATA_DIR", str(tmp_path))
    return tmp_path


def run(*words: str) -> str:
    result = CliRunner().invoke(app, ["keys", *words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def find(data_dir: Path, key: str) -> str | None:
    database = Database(f"sqlite:///{data_dir / 'sharpwave.db'}")
    caller = KeyRing(database, "").find(key)
    database.close()
    return caller and caller.id


def test_a_key_from_making_to_revoking(data_dir: Path) -> None:
    made = json.loads(run("create", "--scope", "read", "--collection", "default", "--expires-days", "2", "--json"))
    assert (made["scopes"], made["collections"], made["name"]) == (["read"], ["default"], "read")
    assert made["expires_at"] is not None
    assert find(data_dir, made["key"]) == made["id"]
    new = run("rotate", made["id"], "--grace-s", "60").strip()
    assert [find(data_dir, key) for key in (made["key"], new)] == [made["id"], made["id"]]
    run("revoke", made["id"])
    assert [find(data_dir, key) for key in (made["key"], new)] == [None, None]
    (listed,) = json.loads(run("list", "--json"))["keys"]
    assert listed["revoked_at"] is not None
    assert "key" not in listed
    assert made["id"] in run("list")
    assert "revoked" in run()


def test_wrong_words_are_refused() -> None:
    with pytest.raises(InvalidInput, match="--scope: must be one of read, write, admin"):
        run("create", "--scope", "root")
    with pytest.raises(InvalidInput, match="--collection"):
        run("create", "--collection", "No Name")
    with pytest.raises(NotFound, match="collection 'nowhere'"):
        run("create", "--collection", "nowhere")
    for verb in ("rotate", "revoke"):
        with pytest.raises(NotFound, match="key 'nobody'"):
            run(verb, "nobody")
    assert "No keys yet" in run("list")
