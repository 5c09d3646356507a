"""What a worker does beside its jobs: it carries out purges, forgets what grew old, and shortens the logs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from ingest.purging import Purger
from memory_graph.database import Database
from memory_graph.errors import SharpwaveError
from memory_graph.store.answers import drop_answers
from memory_graph.store.retention import LogLimits, apply_rules, shorten_logs
from memory_graph.store.rows import now

log = logging.getLogger(__name__)

LOOK_S = 2.0
MAX_PAUSE_S = 60.0
ROUND_S = 6 * 3600.0  # what rules forget is purged, which rewrites the database's file


class Upkeep:
    """Looks for purges every two seconds, and every six hours for what grew old by ``clock``."""

    def __init__(
        self,
        database: Database,
        purger: Purger,
        limits: LogLimits | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._database = database
        self._purger = purger
        self._limits = limits or LogLimits()
        self._clock = clock
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin in a thread of its own."""
        threading.Thread(target=self._run, name="upkeep", daemon=True).start()

    def stop(self) -> None:
        """Begin nothing more; a step that runs may be cut off, and is done again by the next worker."""
        self._stopping.set()

    def apply_rules(self) -> None:
        """Forget what grew old, and shorten the logs, now."""
        moment = self._clock()
        for rule, erased in apply_rules(self._database, moment):
            log.info(
                "the rule %r of %r forgot %d documents, %d passages",
                rule.name,
                rule.collection,
                erased.documents,
                erased.passages,
            )
        with self._database.write() as connection:
            drop_answers(connection, moment)
        dropped = shorten_logs(self._database, self._limits, moment)
        if any(vars(dropped).values()):
            log.info(
                "dropped by age: %d questions, %d jobs, %d tombstones, %d entries of the audit log",
                dropped.questions,
                dropped.jobs,
                dropped.tombstones,
                dropped.changes,
            )

    def _run(self) -> None:
        pause, next_round = LOOK_S, 0.0
        while not self._stopping.wait(pause):
            try:
                if time.monotonic() >= next_round:
                    next_round = time.monotonic() + ROUND_S
                    self.apply_rules()
                # What is in the way may stay there: look less and less often.
                pause = LOOK_S if self._purger.run() else min(pause * 2, MAX_PAUSE_S)
            except SharpwaveError as error:
                log.warning("upkeep: %s", error.message)
                pause = min(pause * 2, MAX_PAUSE_S)
