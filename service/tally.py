"""How much each collection holds, counted beside the requests that ask: of millions of rows it takes seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memory_graph.database import Database
from memory_graph.errors import StoreError
from memory_graph.store.collections import Collection, Counts, count_contents, list_collections
from memory_graph.store.growth import Growth, read_growth

log = logging.getLogger(__name__)

# Of the time, so much at most goes into counting while a collection is learned into.
SHARE = 0.02
# How long the first who asks waits to be told.
PATIENCE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a collection held at a version, and how it grew."""

    version: int
    counts: Counts
    growth: Growth


class Tally:
    """Counts a collection again when its version is another one, and not sooner than the last count allows."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._changed = threading.Condition()
        self._counted: dict[int, Counted] = {}
        self._due_at: dict[int, float] = {}
        self._thread: threading.Thread | None = None
        self._stopping = False

    def read(self, collections: Sequence[Collection]) -> dict[int, Counted]:
        """Return by id what was counted of these collections, and count those anew, beside, of which that is due."""
        with self._changed:
            due = [one.id for one in collections if self._is_due(one)]
            if due and self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, args=(due,), name="tally", daemon=True)
                self._thread.start()
            self._changed.wait_for(lambda: all(one in self._counted for one in due) or not self._thread, PATIENCE_S)
            return {one.id: self._counted[one.id] for one in collections if one.id in self._counted}

    def stop(self) -> None:
        """Count no more; returns when what was begun is done."""
        with self._changed:
            self._stopping = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def _is_due(self, one: Collection) -> bool:
        known = self._counted.get(one.id)
        return known is None or (known.version != one.version and self._clock() >= self._due_at[one.id])

    def _run(self, ids: Sequence[int]) -> None:
        try:
            for one in ids:
                if self._stopping:
                    return
                self._count(one)
        except StoreError as error:
            log.warning("what the collections hold cannot be counted: %s", error.message)
        finally:
            with self._changed:
                self._thread = None
                self._changed.notify_all()

    def _count(self, collection_id: int) -> None:
        began = self._clock()
        with self._database.read() as connection:  # one state: the version is that of the counts
            here = {one.id: one for one in list_collections(connection)}
            counted = None
            if collection_id in here:
                counted = Counted(
                    version=here[collection_id].version,
                    counts=count_contents(connection, collection_id),
                    growth=read_growth(connection, collection_id),
                )
        ended = self._clock()
        with self._changed:
            self._counted = {one: held for one, held in self._counted.items() if one in here}
            if counted is not None:
                self._counted[collection_id] = counted
                self._due_at[collection_id] = ended + (ended - began) / SHARE
            self._changed.notify_all()
