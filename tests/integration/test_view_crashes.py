"""A process that learns or saves is killed at every step: what was acknowledged is there, and views say the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memory_graph.database import Database, upgrade_schema
from retrieval.refreshing import save_collection
from retrieval.saved_views import SavedViews, load_view
from retrieval.views import ViewCache
from tests.integration.saving_process import commits
from tests.unit.factories import (
    SENTENCES,
    commit_documents,
    content_of,
    forget_document,
    learn_document,
    new_collection,
    replay,
)
from tests.unit.views import assert_up_to_date

REPOSITORY = Path(__file__).parents[2]
SEED = 3


class Process:
    """The process that forks for every order."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.saving_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def order(self, do: str, database: Database, folder: Path, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        line = {"do": do, "url": str(database.url), "folder": str(folder), "at": 0, **order}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        reply: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert reply["status"] in (0, -signal.SIGKILL)
        assert (reply["status"] == 0) == (reply["steps"] is not None)
        return reply

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    started = Process()
    yield started
    started.close()


def open_copy(template: Path, folder: Path) -> Database:
    """Return a database of its own with the content of another that is closed."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("sharpwave.db*"):
        old.unlink()
    shutil.copy(template, folder / "sharpwave.db")
    return Database(f"sqlite:///{folder / 'sharpwave.db'}")


def make_template(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    upgrade_schema(database)
    new_collection(database)
    return database


def check_start(database: Database, folder: Path, what: object, *, thoroughly: bool = False) -> None:
    """Check a start after a crash: right content, a free lease and nothing left half-written.

    Thoroughly: what is learned next is saved too, and takes the place of all that was there.
    """
    saves = SavedViews(folder)
    assert_up_to_date(ViewCache(database, folder.parent).current("memory")[1], database)
    with saves.lease() as ours:
        assert ours, what
        left = [path.name for path in folder.iterdir() if path.name != ".lease"]
    # Where it was killed before it removed the older save, that is still there.
    assert all(name[0] == "0" for name in left), (what, left)
    assert len(left) <= 2, (what, left)
    if thoroughly:
        commit_documents(database, 1, learn_document("after", f"Ada Quill saw the crash {what}."))
        assert save_collection(database, "memory", folder)
        (saved,) = folder.glob("0*")
        assert_up_to_date(load_view(saved), database)


@pytest.mark.parametrize("before", ["nothing", "an older save", "a half-written one"])
def test_killed_at_every_step_of_a_save(process: Process, tmp_path: Path, before: str) -> None:
    database, older = make_template(tmp_path / "sharpwave.db"), tmp_path / "older" / "1"
    commit_documents(database, 1, learn_document("a", *SENTENCES), learn_document("b", "Bram Oster likes Mount Ulver."))
    if before != "nothing":
        save_collection(database, "memory", older)
    forget_document(database, 1, "a")
    commit_documents(database, 1, learn_document("c", *SENTENCES[2:5]), learn_document("d", "Dunmore."))
    if before == "a half-written one":
        (older / ".writing-half" / "index").mkdir(parents=True)
        (older / ".writing-half" / "index" / "vectors.npy").write_bytes(b"half")

    def prepare(at: int) -> Path:
        folder = tmp_path / f"at-{at}" / "1"
        if older.exists():
            shutil.copytree(older, folder)
        return folder

    undisturbed = process.order("save", database, prepare(0))
    assert [saved for saved, _ in undisturbed["acknowledged"]] == [1]
    steps = undisturbed["steps"]
    assert steps > 80
    # Every step once; beside half of a save, only its removal is another thing.
    for at in range(1, steps + 1 if before == "an older save" else 12):
        folder = prepare(at)
        reply = process.order("save", database, folder, at=at)
        assert reply["status"] == -signal.SIGKILL, at
        check_start(database, folder, at, thoroughly=at % 10 == 0)
        shutil.rmtree(folder.parent)
    database.close()


@pytest.fixture(scope="module")
def prefixes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the database holds after each prefix of the history."""
    database = make_template(tmp_path_factory.mktemp("prefixes") / "sharpwave.db")
    contents = [content_of(database)]
    for step in commits(SEED):
        replay(database, 1, step)
        contents.append(content_of(database))
    database.close()
    return contents


@pytest.mark.parametrize("saves", [False, True], ids=["learning", "learning and saving"])
def test_killed_while_it_learns(process: Process, tmp_path: Path, prefixes: list[dict[str, Any]], saves: bool) -> None:
    template = tmp_path / "template.db"
    make_template(template).close()
    database = open_copy(template, tmp_path / "undisturbed")
    order = {"seed": SEED, "first": 0, "saves": saves}
    undisturbed = process.order("learn", database, tmp_path / "undisturbed" / "views" / "1", **order)
    assert [number for number, _ in undisturbed["acknowledged"]] == list(range(1, len(prefixes)))
    assert content_of(database) == prefixes[-1]
    database.close()
    steps = undisturbed["steps"]
    assert steps > 200
    between = set()
    chosen = random.Random(SEED).sample(range(1, steps + 1), 30)
    for _, step in undisturbed["acknowledged"][::3]:  # about a commit: on the last step it was made, and not yet told
        chosen += [step - 2, step - 1, step]
    for at in sorted(chosen):
        folder = tmp_path / "killed"
        database, views = open_copy(template, folder), folder / "views" / "1"
        shutil.rmtree(views.parent, ignore_errors=True)  # a folder that is there already is a step less
        reply = process.order("learn", database, views, at=at, **order)
        assert reply["status"] == -signal.SIGKILL, at
        acknowledged = len(reply["acknowledged"])
        content = content_of(database)
        held = [number for number, prefix in enumerate(prefixes) if prefix == content]
        # A commit may have been made that there was no time to acknowledge.
        assert set(held) & {acknowledged, acknowledged + 1}, (at, held, acknowledged)
        between.add(acknowledged in held)
        check_start(database, views, at)
        if at % 5 == 0:  # and what is learned next goes on from there
            first = max(set(held) & {acknowledged, acknowledged + 1})
            process.order("learn", database, views, **{**order, "first": first})
            assert content_of(database) == prefixes[-1]
            check_start(database, views, at, thoroughly=True)
        database.close()
    assert between == {False, True}  # before a commit, and between it and its acknowledgement


def test_killed_again_and_again(process: Process, tmp_path: Path, prefixes: list[dict[str, Any]]) -> None:
    """One history, learned and saved by processes that are killed one after the other."""
    database, views = make_template(tmp_path / "sharpwave.db"), tmp_path / "views" / "1"
    chance, first, kills = random.Random(SEED), 0, 0
    while True:
        at = chance.randrange(20, 300)
        reply = process.order("learn", database, views, at=at, seed=SEED, first=first, saves=True)
        if reply["status"] == 0:
            break
        kills += 1
        content = content_of(database)
        reached = first + len(reply["acknowledged"])
        held = {number for number, prefix in enumerate(prefixes) if prefix == content} & {reached, reached + 1}
        assert held
        first = max(held)
        assert_up_to_date(ViewCache(database, views.parent).current("memory")[1], database)
    assert kills >= 3
    assert content_of(database) == prefixes[-1]
    check_start(database, views, kills, thoroughly=True)
    database.close()
