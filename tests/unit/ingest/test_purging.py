"""A purge takes every byte of what was forgotten; whoever still holds some is waited for, and the proof can fail."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.proof import check_files, check_readers, check_rows, make_probes, without_living
from ingest.purging import STEPS, Purger
from ingest.queue_tables import prepare_queue
from ingest.scanning import Scanned, Scanner, scan_files
from ingest.upkeep import Upkeep
from memory_graph.database import Database
from memory_graph.store.collections import delete_collection
from memory_graph.store.forgetting import Selection, forget
from memory_graph.store.probing import Contents, read_contents
from memory_graph.store.purges import begin_purges, finish_purges, get_purge, open_purges, purge_lease
from memory_graph.store.retention import Rule, put_rule
from retrieval.refreshing import save_collection
from retrieval.saved_views import SavedViews
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from tests.unit.factories import (
    EMBEDDER,
    commit_documents,
    find_collection,
    learn_document,
    new_collection,
    wait_until,
)

KEPT = learn_document("kept", "Ada Quill likes Bram Oster.", title="First")
_TOLD = learn_document(
    "secret", "Zorblax Quendarion likes Ada Quill.", "The seventh key hangs in Mirrenthal.", title="Ledger of Ilvane"
)
# With vectors that nobody else has: those of the double are mostly zeros.
SECRET = replace(
    _TOLD,
    passages=[
        replace(one, vector=np.random.default_rng(number).uniform(-1, 1, 16).astype(np.float16))
        for number, one in enumerate(_TOLD.passages)
    ],
)


@pytest.fixture
def views_dir(tmp_path: Path) -> Path:
    return tmp_path / "views"


@pytest.fixture
def world(database: Database, views_dir: Path) -> Database:
    """Two documents, and a saved view of both."""
    prepare_queue(database)
    cid = new_collection(database).id
    commit_documents(database, cid, KEPT, SECRET)
    assert save_collection(database, "memory", views_dir / str(cid))
    return database


@pytest.fixture
def cache(world: Database, views_dir: Path) -> Iterator[ViewCache]:
    """What a service holds: a view that maps the save."""
    made = ViewCache(world, views_dir)
    made.current("memory")
    yield made
    made.close()


def probes_of(database: Database, key: str = "secret") -> list[bytes]:
    with database.read() as connection:
        return make_probes(read_contents(connection, find_collection(database).id, [key]))


def erase(database: Database, key: str = "secret") -> int:
    with database.write() as connection:
        erased = forget(connection, find_collection(database).id, Selection(key=key))
    assert erased.purge_id is not None
    return erased.purge_id


def found_in(database: Database, views_dir: Path, probes: list[bytes]) -> tuple[int, int]:
    """Return how many of the strings stand in rows, and how many in files."""
    scanner = Scanner(without_living(database, probes))
    assert len(scanner.probes) > 5  # texts, names and vectors: else nothing would be proved
    return check_rows(database, scanner).found, check_files(database, [views_dir], scanner).found


def test_a_purge_takes_every_byte_from_rows_files_and_views(world: Database, views_dir: Path) -> None:
    probes = probes_of(world)
    purge_id = erase(world)
    rows, files = found_in(world, views_dir, probes)
    assert rows == 0
    assert files > 5
    assert Purger(world, views_dir).run()
    assert found_in(world, views_dir, probes) == (0, 0)
    with world.read() as connection:
        purge = get_purge(connection, purge_id)
    assert (purge.state, tuple(purge.steps)) == ("done", STEPS)
    saved = SavedViews(views_dir / str(find_collection(world).id)).newest()
    assert saved is not None
    assert (saved.version, saved.n_passages) == (2, 1)


@pytest.mark.parametrize("place", ["row", "view", "fault"])
def test_the_proof_finds_what_was_left(
    world: Database, views_dir: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.proof.gettempdir", lambda: str(tmp_path))
    probes = probes_of(world)
    erase(world)
    assert Purger(world, views_dir).run()
    if place == "row":
        with world.write() as connection:
            connection.exec_driver_sql("UPDATE collections SET name = name")  # any writer at all
            connection.exec_driver_sql(
                "INSERT INTO workers VALUES ('w', 'Zorblax Quendarion', 1, '2026-01-01 00:00:00')"
            )
    elif place == "view":
        vector = SECRET.passages[0].vector.astype("<f2").tobytes()
        (views_dir / "left.npy").write_bytes(b"\0" * 4097 + vector)
    else:
        (tmp_path / "sharpwave-fault-1.txt").write_text('{"text": "The seventh key hangs"}')
        (tmp_path / "sharpwave-fault-2.txt").write_text("The seventh key hangs in Mirrenthal.")
    rows, files = found_in(world, views_dir, probes)
    assert (rows > 0, files > 0) == (place == "row", True)


def test_a_purge_that_was_only_said_to_be_done_is_found_out(world: Database, views_dir: Path) -> None:
    probes = probes_of(world)
    erase(world)
    with world.write() as connection:
        finish_purges(connection, [one.id for one in begin_purges(connection)])
    assert found_in(world, views_dir, probes)[1] > 5


def test_what_a_living_document_says_too_is_no_residue(world: Database, views_dir: Path) -> None:
    commit_documents(world, find_collection(world).id, learn_document("twin", "The seventh key hangs in Mirrenthal."))
    probes = probes_of(world)
    erase(world)
    assert Purger(world, views_dir).run()
    assert found_in(world, views_dir, probes) == (0, 0)
    assert b"The seventh key hangs in Mirrenthal." in probes


def test_a_reader_of_the_log_is_waited_for(world: Database, views_dir: Path) -> None:
    purger, reader = Purger(world, views_dir), Database(world.url)
    with reader.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM passages").scalar_one() == 3
        purge_id = erase(world)
        assert not purger.run()
        with world.read() as other:
            waiting = get_purge(other, purge_id)
        assert (waiting.state, tuple(waiting.steps)) == ("running", STEPS[:3])
        assert waiting.waits_for == "log: another process still reads from the database's log"
    assert purger.run()
    reader.close()


def test_a_service_lets_go_of_the_old_view_and_answers_on(world: Database, views_dir: Path, cache: ViewCache) -> None:
    searcher, purger = Searcher(world, cache, EMBEDDER), Purger(world, views_dir)

    def hits() -> list[str]:
        found = searcher.search("memory", SearchRequest(query="Who likes Ada Quill?", mode="dense"))
        return sorted({hit.document_id for hit in found.hits})

    assert hits() == ["kept", "secret"]
    purge_id = erase(world)
    assert not purger.run()
    with world.read() as connection:
        assert (
            get_purge(connection, purge_id).waits_for == f"readers: old views are still mapped by process {os.getpid()}"
        )
    assert check_readers(views_dir).found == 1
    assert hits() == ["kept"]
    cache.follow()

    def is_done() -> bool:
        assert hits() == ["kept"]
        gc.collect()
        return purger.run()

    wait_until(is_done)
    assert check_readers(views_dir).found == 0


def test_a_view_that_was_never_saved_is_made_anew_in_memory(database: Database, tmp_path: Path) -> None:
    cid = new_collection(database).id
    commit_documents(database, cid, KEPT, SECRET)
    cache = ViewCache(database, tmp_path / "views")
    cache.current("memory")
    cache.follow()
    erase(database)

    def held() -> int:
        return len(cache.current("memory")[1].passages)  # those that are dead included

    wait_until(lambda: held() == 1)
    cache.close()


def test_the_views_of_a_deleted_collection_go(world: Database, views_dir: Path) -> None:
    cid = find_collection(world).id
    with world.write() as connection:
        delete_collection(connection, "memory")
    assert Purger(world, views_dir).run()
    assert not (views_dir / str(cid)).exists()


def test_the_views_of_a_collection_without_passages_go(world: Database, views_dir: Path) -> None:
    place = views_dir / str(find_collection(world).id)
    (place / "damaged-00000000000000000001-00000000").mkdir()
    for key in ("kept", "secret"):
        erase(world, key)
    assert Purger(world, views_dir).run()
    assert [path.name for path in place.iterdir()] == [".lease"]


def test_another_purger_leaves_the_work_to_the_one_that_has_the_lease(world: Database, views_dir: Path) -> None:
    purge_id = erase(world)
    with purge_lease(world) as ours:
        assert ours
        assert not Purger(world, views_dir).run()
    with world.read() as connection:
        assert get_purge(connection, purge_id).state == "waiting"


def test_upkeep_forgets_what_grew_old_by_its_clock(world: Database, views_dir: Path) -> None:
    with world.write() as connection:
        put_rule(connection, find_collection(world).id, Rule(name="old", max_age_days=30))
    Upkeep(world, Purger(world, views_dir)).apply_rules()
    with world.read() as connection:
        assert open_purges(connection) == []
    later = Upkeep(world, Purger(world, views_dir), clock=lambda: datetime.now(UTC) + timedelta(days=31))
    later.apply_rules()
    with world.read() as connection:
        assert [one.version for one in open_purges(connection)] == [2]


def test_the_scanner_finds_what_a_plain_search_finds(tmp_path: Path) -> None:
    chance = random.Random(7)
    probes = list({bytes(chance.choices(b"abc", k=chance.randrange(6, 12))) for _ in range(60)})
    scanner = Scanner(probes)
    for length in (0, 3, 5, 6, 7, 40, 3000):
        data = bytes(chance.choices(b"abc", k=length))
        assert scanner.find(data) == {number for number, probe in enumerate(probes) if probe in data}
    assert Scanner([]).find(b"anything") == set()


def test_the_scanner_sees_across_the_blocks_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.scanning.BLOCK", 64)
    path = tmp_path / "file"
    for start in range(50, 70):
        path.write_bytes(b"." * start + b"The seventh key" + b"." * 100)
        assert Scanner([b"The seventh key", b"nothing of it"]).find_in_file(path) == Scanned(
            found={0}, size=start + 115
        )


def test_files_that_are_gone_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"the seventh key")
    scanned = scan_files([tmp_path / "gone", tmp_path / "there"], Scanner([b"seventh", b"eighth key"]))
    assert scanned == {tmp_path / "there": Scanned(found={0}, size=15)}


def test_probes_are_taken_as_they_may_be_written() -> None:
    probes = make_probes(
        Contents(texts=['He said "Zürich"\nat noon'], names={"Müller-Söhne", "Ann"}, vectors=[b"\0" * 32])
    )
    assert 'He said "Zürich"\nat noon'.encode() in probes
    assert rb"He said \"Z\u00fcrich\"\nat noon" in probes
    assert r"He said \"Zürich\"\nat noon".encode() in probes
    assert "müller söhne".encode() in probes
    assert not any(b"Ann" in probe or b"\0" in probe for probe in probes)  # too short, and of nothing
