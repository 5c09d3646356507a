"""The command line from the outside: what it prints, what it keeps, and how it ends."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from service.cli import app
from tests.integration.installation import Installation, Ran, free_port

FOUNDED = "In what year was Lissenholt founded?"
VERBS = [
    [],
    ["up"],
    ["serve"],
    ["worker"],
    ["ingest"],
    ["search"],
    ["ask"],
    ["forget"],
    ["purges"],
    ["purges", "list"],
    ["purges", "run"],
    ["retention"],
    ["retention", "list"],
    ["retention", "put"],
    ["retention", "delete"],
    ["retention", "run"],
    ["collections"],
    ["collections", "list"],
    ["collections", "create"],
    ["collections", "delete"],
    ["jobs"],
    ["jobs", "list"],
    ["jobs", "show"],
    ["jobs", "cancel"],
    ["jobs", "resume"],
    ["jobs", "retry"],
    ["jobs", "remove"],
    ["graph"],
    ["graph", "ego"],
    ["graph", "path"],
    ["graph", "communities"],
    ["graph", "export"],
    ["models"],
    ["models", "list"],
    ["models", "pull"],
    ["db"],
    ["db", "upgrade"],
    ["eval"],
    ["eval", "continual"],
    ["bench"],
    ["bench", "ingest"],
    ["doctor"],
    ["config"],
    ["restart"],
    ["keys"],
    ["keys", "list"],
    ["keys", "create"],
    ["keys", "rotate"],
    ["keys", "revoke"],
    ["corrections"],
    ["corrections", "list"],
    ["corrections", "merge"],
    ["corrections", "split"],
    ["corrections", "retract"],
    ["corrections", "undo"],
    ["audit"],
    ["export"],
    ["import"],
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_help(verb: list[str]) -> None:
    result = CliRunner().invoke(app, [*verb, "--help"])
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert len(result.output.strip().splitlines()) > 4


def test_every_verb_is_in_the_list_above() -> None:
    group = typer.main.get_command(app)
    names = {verb[0] for verb in VERBS if verb}
    assert set(group.commands) == names  # type: ignore[attr-defined]


def test_the_module_is_the_command(installation: Installation) -> None:
    assert "Long-term memory" in installation.run("--help", cold=True).out
    assert installation.run("--version", cold=True).out.strip()
    assert not installation.data_dir.exists()


def test_bad_usage_ends_with_2(installation: Installation) -> None:
    assert "No such command" in installation.run("remember", status=2).err
    assert "--frobnicate" in installation.run("search", "x", "--frobnicate", status=2).err
    assert "SHARPWAVE_PORT" in installation.run("serve", status=2, SHARPWAVE_PORT="http").err
    assert not installation.data_dir.exists()


def test_the_samples_are_learned(learned: tuple[Installation, Ran], samples: Path) -> None:
    installation, ran = learned
    job = ran.json
    assert (job["state"], job["collection"], job["failures"], job["error"]) == ("succeeded", "default", [], None)
    assert (job["progress"]["documents"], job["progress"]["failed"]) == (42, 0)
    assert job["progress"]["bytes"] == job["progress"]["total_bytes"]
    (only,) = installation.run("collections", "list", "--json").json["collections"]
    assert (only["name"], only["documents"], only["passages"]) == ("default", 42, job["progress"]["passages"])
    assert only["phrases"] > 100
    assert only["facts"] > 0


def test_the_same_again_adds_nothing(learned: tuple[Installation, Ran], samples: Path) -> None:
    installation, _ = learned
    before = installation.run("collections", "list", "--json").json
    again = installation.run("ingest", samples / "documents", "--json").json
    assert (again["state"], again["progress"]["documents"], again["progress"]["known"]) == ("succeeded", 0, 42)
    assert installation.run("collections", "list", "--json").json == before
    # People read it on standard error.
    said = installation.run("ingest", samples / "documents" / "lissenholt.md")
    assert "Learned 0 documents" in said.err
    assert "1 were known already, 0 failed" in said.err
    assert said.out == ""


def test_search_in_process(learned: tuple[Installation, Ran], samples: Path) -> None:
    installation, _ = learned
    found = installation.run("search", FOUNDED, "-k", 3, "--json", "--trace").json
    assert [hit["rank"] for hit in found["hits"]] == [1, 2, 3]
    assert str(samples / "documents" / "lissenholt.md") in [hit["document_id"] for hit in found["hits"]]
    stages = [stage["name"] for stage in found["trace"]["stages"]]
    assert stages == ["view", "embed", "dense", "lexical", "walk", "chain", "read", "flow"]
    plain = installation.run("search", FOUNDED, "-k", 1, "--mode", "dense", cold=True)
    assert "1. Lissenholt" in plain.out


@pytest.mark.alone
def test_ask_in_process(learned: tuple[Installation, Ran]) -> None:
    installation, _ = learned
    patient = {"SHARPWAVE_GENERATOR_TIMEOUT_S": "240"}  # for a machine that is busy with other things
    answered = installation.run("ask", FOUNDED, "--json", timeout_s=290, cold=True, **patient).json
    assert "1612" in answered["answer"]
    assert (answered["fallback_reason"], answered["extractive"]) == (None, False)
    assert answered["citations"]
    kept = installation.rows(f"SELECT question, answer FROM queries WHERE id = '{answered['query_id']}'")
    assert kept == [(FOUNDED, answered["answer"])]


def test_a_filter_from_the_command_line(learned: tuple[Installation, Ran], samples: Path) -> None:
    installation, _ = learned
    source = str(samples / "documents" / "fennay.md")
    found = installation.run("search", "light", "--filter", json.dumps({"source": source}), "--json").json
    assert {hit["document_id"] for hit in found["hits"]} == {source}
    for wrong in ("{", "[1]", '{"year": {"near": 3}}'):
        assert installation.run("search", "light", "--filter", wrong, status=2).err.startswith("error: ")


def test_jobs_are_listed_and_shown(learned: tuple[Installation, Ran]) -> None:
    installation, ran = learned
    listed = installation.run("jobs", "list", "--json").json["jobs"]
    assert ran.json["id"] in [job["id"] for job in listed]
    assert installation.run("jobs", "show", ran.json["id"], "--json").json == ran.json
    assert "does not exist" in installation.run("jobs", "show", "none", status=1).err
    assert "only an unfinished or failed job" in installation.run("jobs", "cancel", ran.json["id"], status=1).err
    assert "only a failed job" in installation.run("jobs", "resume", ran.json["id"], status=1).err
    assert "no failed item" in installation.run("jobs", "retry", ran.json["id"], status=1).err


@pytest.mark.parametrize("noun", ["collections", "jobs", "models"])
def test_a_noun_alone_lists_also_as_json(learned: tuple[Installation, Ran], noun: str) -> None:
    installation, _ = learned
    assert noun in installation.run(noun, "--json").json


def test_models_list(installation: Installation) -> None:
    listed = installation.run("models", "list", "--json").json
    assert {model["role"] for model in listed["models"]} == {"embedder", "generator", "nlp", "reranker"}
    assert all(model["present"] for model in listed["models"] if model["default"])


def test_forgetting(make_installation: Callable[..., Installation], tmp_path: Path) -> None:
    installation = make_installation()
    (tmp_path / "a.md").write_text("# Quell\n\nAnna Quell lives in Prague.\n")
    (tmp_path / "b.md").write_text("# Brandt\n\nIvo Brandt lives in Prague.\n")
    installation.run("ingest", tmp_path / "a.md", tmp_path / "b.md")
    document_id = str(tmp_path / "a.md")
    before = installation.run("collections", "list", "--json").json
    trial = installation.run("forget", document_id, "--dry-run", "--json").json
    assert (trial["document_id"], trial["passages"], trial["dry_run"]) == (document_id, 1, True)
    assert installation.run("collections", "list", "--json").json == before
    done = installation.run("forget", document_id)
    assert f"Forgot {document_id}: 1 passages" in done.out
    assert "does not exist" in installation.run("forget", document_id, status=1).err
    left = installation.run("search", "Who lives in Prague?", "--json").json
    assert [hit["title"] for hit in left["hits"]] == ["Brandt"]


def test_collections_are_made_and_deleted(installation: Installation) -> None:
    assert installation.run("collections", "list").out.startswith("No collections yet")
    installation.run("collections", "create", "letters", "--description", "Old [b]letters[/b]")
    assert "exists already" in installation.run("collections", "create", "letters", status=1).err
    assert "[b]letters[/b]" in installation.run("collections", "list").out
    assert "NAME" in installation.run("collections", "create", "No Good", status=2).err
    installation.run("collections", "delete", "letters", status=1)  # nobody is there to say yes
    installation.run("collections", "delete", "letters", "--yes")
    assert "does not exist" in installation.run("collections", "delete", "letters", "--yes", status=1).err


def test_db_upgrade_makes_the_database_and_may_be_repeated(installation: Installation) -> None:
    assert "The schema was empty; now it is current." in installation.run("db", "upgrade").err
    assert "The schema is up to date." in installation.run("db", "upgrade").err


def test_doctor_finds_all_well(learned: tuple[Installation, Ran]) -> None:
    installation, _ = learned
    found = installation.run("doctor", "--json").json
    assert found["ok"] is True
    assert [check["check"] for check in found["checks"]] == [
        "python", "data folder", "disk", "store", "models", "generator", "worker", "purges",
    ]  # fmt: skip


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_port_that_is_taken(installation: Installation, verb: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = installation.run(verb, "--port", taken.getsockname()[1], status=2, timeout_s=120)
    assert "SHARPWAVE_PORT: cannot listen on" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_without_a_key_only_this_machine(installation: Installation, verb: str) -> None:
    ran = installation.run(verb, "--host", "0.0.0.0", "--port", free_port(), status=2, timeout_s=120)
    assert "set SHARPWAVE_ADMIN_KEY or make a key" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not installation.data_dir.exists()


def test_no_wait_hands_the_job_over(installation: Installation, samples: Path) -> None:
    ran = installation.run("ingest", samples / "documents" / "fennay.md", "--no-wait", "--json")
    job_id = ran.json["job_id"]
    assert installation.run("jobs", "show", job_id, "--json").json["state"] == "queued"
    installation.run("jobs", "cancel", job_id)
    assert installation.run("jobs", "show", job_id, "--json").json["state"] == "cancelled"


def test_a_database_learned_with_another_embedder(learned: tuple[Installation, Ran]) -> None:
    installation, _ = learned
    ran = installation.run("search", "light", status=2, SHARPWAVE_EMBEDDER="no-such-model")
    assert "no-such-model" in ran.err


def test_output_into_a_closed_pipe(learned: tuple[Installation, Ran]) -> None:
    import subprocess
    import sys

    installation, _ = learned
    process = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "jobs", "list", "--json"],
        env=installation.environ({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read().decode()
        process.wait(60)
    finally:
        process.kill()
        process.stderr.close()
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
