"""A process whose forks carry out a purge, each killed at the point that it is told; the next goes on with it.

Called with the database's URL, the folder of views, and the points: ``before STEP``, ``during STEP``, ``after STEP``
(done, and not written down yet), or ``end``. Answers with one line of JSON: how each fork ended.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ingest import purging
from ingest.purging import Purger
from memory_graph.database import Database
from memory_graph.store.purges import Purge

TURNED_AWAY = 3
PATIENCE_S = 120.0
_OPERATIONS = 200  # of SQLite's machine, between two looks at whether to die


def die(*_given: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def rewrite_halfway(database: Database) -> None:
    """Begin to rewrite the file, and die in the midst of it."""
    looks = itertools.count()
    with database.outside() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(lambda: die() if next(looks) == 10 else None, _OPERATIONS)
        connection.exec_driver_sql("VACUUM")


def carry_out(url: str, views_dir: Path, point: str) -> bool:
    """Carry out what is asked for, up to a point."""
    database = Database(url)
    purger = Purger(database, views_dir)
    when, _, step = point.partition(" ")
    if when == "during":
        purging.rewrite = rewrite_halfway
    elif when != "end":
        whole = purger._steps[step]

        def cut_off(purges: Sequence[Purge]) -> Mapping[str, Any]:
            if when == "after":
                whole(purges)
            die()
            return {}

        purger._steps[step] = cut_off
    return purger.run()


def fork(work: Callable[[], bool]) -> int:
    """Return how a fork that does this work ended: 0 done, or turned away; below 0 the signal."""
    child = os.fork()
    if not child:
        os._exit(0 if work() else TURNED_AWAY)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def until_nothing_is_in_the_way(work: Callable[[], bool]) -> int:
    """Fork until the fork is not turned away, by a reader who lets go in a moment; return how it ended."""
    deadline = time.monotonic() + PATIENCE_S
    while (end := fork(work)) == TURNED_AWAY and time.monotonic() < deadline:
        time.sleep(0.05)
    return end


def main() -> None:
    url, views_dir, *points = sys.argv[1:]
    ends = [until_nothing_is_in_the_way(partial(carry_out, url, Path(views_dir), point)) for point in points]
    sys.stdout.write(json.dumps(ends) + "\n")


if __name__ == "__main__":
    main()
