"""A process whose forks learn and save, and are killed at the step that they are told.

Reads one order a line, ``{"do", "url", "folder", "at", …}``; every order is done in a fork of its own, which kills
itself at step number ``at``. Answers with one line: what the fork acknowledged and at which steps, how it ended, and
how many steps it made. It forks, since a process that starts anew takes a second to import what it needs, and half of
one to load compiled kernels.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
from sqlalchemy import event

from memory_graph.database import Database, upgrade_schema
from memory_graph.store.collections import get_collection
from memory_graph.store.learning import Commit
from retrieval.refreshing import save_collection
from tests.unit.factories import SENTENCES, Step, commit_documents, learn_document, new_collection, random_history

HISTORY = 10


def commits(seed: int) -> list[Step]:
    """Return the history that is learned, the steps that change nothing left out."""
    return [step for step in random_history(seed, HISTORY) if step.write or step.forget]


class Steps:
    """Counts what this process does and kills it at one step."""

    def __init__(self, at: int) -> None:
        self.at, self.made = at, 0
        self._numbers = itertools.count(1)  # threads count too

    def step(self, *_given: Any, **_named: Any) -> None:
        self.made = next(self._numbers)
        if self.made == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with a step before it."""

        def counted(*given: Any, **named: Any) -> Any:
            self.step()
            return function(*given, **named)

        return counted


def count_what_saving_does(steps: Steps) -> None:
    """Make each thing that changes the disk a step, so that every state of it is met; files are written in two."""
    os.fsync, os.replace, os.unlink, os.rmdir = map(steps.before, (os.fsync, os.replace, os.unlink, os.rmdir))
    faiss.write_index = steps.before(faiss.write_index)
    shutil.rmtree = steps.before(shutil.rmtree)  # type: ignore[assignment]
    Path.mkdir = steps.before(Path.mkdir)  # type: ignore[method-assign]
    open_file, write_array, write_text = Path.open, np.save, Path.write_text

    def open_to_write(self: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        if "w" in mode:
            steps.step()
        return open_file(self, mode, *given, **named)

    def write_array_in_two(file: Path, array: Any, **named: Any) -> None:
        steps.step()
        write_array(file, array, **named)
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        steps.step()
        file.write_bytes(whole)

    def write_text_in_two(self: Path, text: str, *given: Any, **named: Any) -> int:
        steps.step()
        write_text(self, text[: len(text) // 2], *given, **named)
        steps.step()
        return write_text(self, text, *given, **named)

    Path.open = open_to_write  # type: ignore[assignment, method-assign]
    np.save = write_array_in_two
    Path.write_text = write_text_in_two  # type: ignore[method-assign]


def count_what_learning_does(steps: Steps, database: Database) -> None:
    """Make each statement and each end of a transaction a step."""
    for name in ("before_cursor_execute", "after_cursor_execute", "begin", "commit", "rollback"):
        event.listen(database.engine, name, steps.step)
    event.listen(database.engine.pool, "checkin", steps.step)  # after a commit


def learn(order: dict[str, Any], database: Database, steps: Steps, acknowledge: Callable[[int], None]) -> None:
    """Learn the history from commit number ``first``; with ``saves`` the view is saved after every third commit."""
    with database.read() as connection:
        cid = get_collection(connection, "memory").id
    count_what_learning_does(steps, database)
    if order["saves"]:
        count_what_saving_does(steps)
    for number, one in list(enumerate(commits(order["seed"]), start=1))[order["first"] :]:
        with database.write() as connection:
            commit = Commit(connection, cid)
            for learned in one.write:
                commit.write(learned, None)
            for key in one.forget:
                commit.forget(key)
            commit.finish()
        steps.step()
        acknowledge(number)
        if order["saves"] and number % 3 == 0:
            save_collection(database, "memory", Path(order["folder"]))


def save(order: dict[str, Any], database: Database, steps: Steps, acknowledge: Callable[[int], None]) -> None:
    count_what_saving_does(steps)
    saved = save_collection(database, "memory", Path(order["folder"]))
    steps.step()
    acknowledge(int(saved))


def do(order: dict[str, Any], said: int) -> None:
    steps = Steps(order["at"])
    database = Database(order["url"])
    {"learn": learn, "save": save}[order["do"]](
        order, database, steps, lambda number: os.write(said, f"{number} {steps.made}\n".encode()) and None
    )
    os.write(said, f"steps {steps.made}\n".encode())


def warm_up() -> None:
    """Learn and save, and again, so that no fork has to load the compiled kernels."""
    with TemporaryDirectory(prefix="sharpwave-") as folder:
        database = Database(f"sqlite:///{folder}/sharpwave.db")
        upgrade_schema(database)
        new_collection(database)
        for key in "ab":
            commit_documents(database, 1, learn_document(key, *SENTENCES))
            save_collection(database, "memory", Path(folder, "views"))
        database.close()


def main() -> None:
    warm_up()
    for line in sys.stdin:
        hears, said = os.pipe()
        child = os.fork()
        if not child:
            os.close(hears)
            do(json.loads(line), said)
            os._exit(0)
        os.close(said)
        with os.fdopen(hears) as heard:
            words = heard.read().split("\n")[:-1]
        _, status = os.waitpid(child, 0)
        made = [int(word.split()[1]) for word in words if word.startswith("steps")]
        reply = {
            "acknowledged": [[int(one) for one in word.split()] for word in words if not word.startswith("steps")],
            "status": os.waitstatus_to_exitcode(status),
            "steps": made[0] if made else None,
        }
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
