"""Purges survive kills at any point, and readers go on meanwhile; forgetting on the command line is proved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ingest.proof import check_files, check_readers, check_rows, make_probes, without_living
from ingest.purging import STEPS
from ingest.queue_tables import prepare_queue
from ingest.scanning import Scanner
from memory_graph.database import Database, upgrade_schema
from memory_graph.store.collections import create_collection
from memory_graph.store.forgetting import Selection, forget
from memory_graph.store.probing import read_contents
from memory_graph.store.purges import Purge, list_purges
from retrieval.refreshing import save_collection
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from tests.integration.installation import REPOSITORY, Installation, wait_for
from tests.unit.factories import EMBEDDER, commit_documents, learn_document

POINTS = [f"{when} {step}" for step in STEPS for when in ("before", "after")]


def make_memory(data_dir: Path, views_dir: Path) -> tuple[Database, int]:
    """Make a memory of some hundred passages, with a saved view; the document ``secret`` is one of them."""
    data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(f"sqlite:///{data_dir / 'sharpwave.db'}")
    upgrade_schema(database)
    prepare_queue(database)
    with database.write() as connection:
        cid = create_collection(connection, "default").id
    told = [learn_document(f"kept-{n}", f"Lake Orrin froze in winter {n}. " * 8) for n in range(300)]
    secret = learn_document("secret", *(f"Zorblax Quendarion hid key {n} in Mirrenthal." for n in range(40)))
    commit_documents(database, cid, *told[:150], secret, *told[150:])
    assert save_collection(database, "default", views_dir / str(cid))
    return database, cid


def forget_secret(database: Database, cid: int) -> Scanner:
    """Forget the secret; return what finds what is left of it."""
    with database.read() as connection:
        probes = make_probes(read_contents(connection, cid, ["secret"]))
    with database.write() as connection:
        assert forget(connection, cid, Selection(key="secret")).documents == 1
    scanner = Scanner(without_living(database, probes))
    assert len(scanner.probes) > 40
    return scanner


def purge_of(database: Database) -> Purge:
    with database.read() as connection:
        return list_purges(connection, limit=1)[0]


def left(database: Database, folder: Path, scanner: Scanner) -> int:
    return check_rows(database, scanner).found + check_files(database, [folder], scanner).found


def test_a_purge_that_is_killed_everywhere_is_finished_while_readers_go_on(tmp_path: Path) -> None:
    views_dir = tmp_path / "views"
    database, cid = make_memory(tmp_path, views_dir)
    cache = ViewCache(database, views_dir)
    searcher = Searcher(database, cache, EMBEDDER)

    def hits() -> set[str]:
        found = searcher.search("default", SearchRequest(query="Who hid key 7 in Mirrenthal?", mode="dense", top_k=5))
        return {hit.document_id for hit in found.hits}

    assert "secret" in hits()
    cache.follow()
    scanner = forget_secret(database, cid)
    assert left(database, tmp_path, scanner) > 40
    points = [*POINTS[:4], "during rewrite", *POINTS[4:], "end"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.purging_process", str(database.url), str(views_dir), *points],
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    answered = 0
    with process:
        while process.poll() is None:
            found = hits()
            assert len(found) == 5
            assert "secret" not in found
            answered += 1
        assert process.stdout is not None
        *killed, end = json.load(process.stdout)
    assert killed == [-signal.SIGKILL] * len(killed)
    assert end == 0
    assert answered > 10
    purge = purge_of(database)
    assert (purge.state, tuple(purge.steps)) == ("done", STEPS)
    assert left(database, tmp_path, scanner) == 0
    assert check_readers(views_dir).found == 0
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
    cache.close()
    database.close()


def test_a_killed_workers_purge_is_taken_over_by_the_next(installation: Installation) -> None:
    database, cid = make_memory(installation.data_dir, installation.data_dir / "views" / "own")
    reader = Database(database.url)
    with reader.read() as connection:  # holds the log, so that the purge cannot end
        connection.exec_driver_sql("SELECT count(*) FROM passages").scalar_one()
        scanner = forget_secret(database, cid)
        worker = installation.start("worker")
        wait_for(lambda: purge_of(database).waits_for, within_s=240, what="a purge that waits")
        worker.kill()
        purge = purge_of(database)
        assert (purge.state, tuple(purge.steps)) == ("running", STEPS[:3])
    reader.close()
    installation.start("worker")
    wait_for(lambda: purge_of(database).state == "done", within_s=240, what="the end of the purge")
    assert left(database, installation.data_dir, scanner) == 0
    assert installation.run("purges", "--json").json["purges"][0]["state"] == "done"
    database.close()


def test_forgetting_is_proved_on_the_command_line(
    make_installation: Callable[..., Installation], tmp_path: Path
) -> None:
    installation = make_installation()
    folder = tmp_path / "documents"
    folder.mkdir()
    secret = folder / "secret.txt"
    secret.write_text("Zorblax Quendarion founded the Observatory of Mirrenthal in 1871 and measured the comet Ilvane.")
    (folder / "kept.txt").write_text("Bram Oster lived in Dunmore. He built the Old Mill by Lake Orrin.")
    installation.run("ingest", folder, timeout_s=300)
    assert b"Quendarion" in (installation.data_dir / "sharpwave.db").read_bytes() + _log_of(installation)
    told = installation.run("forget", secret, "--dry-run", "--json").json
    assert (told["documents"], told["purge_id"]) == (1, None)
    (installation.data_dir / "notes.txt").write_text("A copy of all: Zorblax Quendarion founded the Observatory.")
    report = installation.run("forget", secret, "--verify", "--json", status=1, timeout_s=300).json
    checks = {check["name"]: check for check in report["proof"]["checks"]}
    assert [name for name, check in checks.items() if not check["ok"]] == ["files"]
    assert str(installation.data_dir / "notes.txt") in checks["files"]["detail"]
    (installation.data_dir / "notes.txt").unlink()
    proved = installation.run("forget", "--all", "--yes", "--verify", "--json", timeout_s=300).json
    assert proved["proof"]["ok"]
    assert proved["proof"]["probes"] > 5
    assert proved["documents"] == 1
    for path in installation.data_dir.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"Quendarion" not in data, path
            assert b"Dunmore" not in data, path
    refused = installation.run("forget", "--all", status=2)
    assert "--yes" in refused.err
    assert os.path.exists(secret)


def _log_of(installation: Installation) -> bytes:
    log = installation.data_dir / "sharpwave.db-wal"
    return log.read_bytes() if log.exists() else b""
