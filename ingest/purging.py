"""Carrying out purges: every byte of what was forgotten goes from the files that this installation writes.

The steps, in order, each of which may be done again: the queue's records of jobs that ended, the saved views, the
database's file, its log, and then those who still map old views. What is done is written down, so that whoever takes
over a purge goes on with the next step. One process at a time does this, whoever gets the lease.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dbos import DBOSClient, DBOSPortableJSONSerializer

from ingest.jobs import APPLICATION
from memory_graph.database import Database
from memory_graph.errors import StoreBusy, StoreError
from memory_graph.store.purges import Purge, begin_purges, finish_purges, note_step, note_wait, open_purges, purge_lease
from memory_graph.store.rewriting import empty_log, rewrite, size_of
from memory_graph.store.rows import chunks
from retrieval.renewing import processes_mapping_removed, renew_saves

log = logging.getLogger(__name__)

# Not CANCELLED: a worker may still be in its last step. Such a run has no error.
_ENDED = ["SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
STEPS = ("queue", "views", "rewrite", "log", "readers")


class Purger:
    """Carries out the purges of one database, whose views are saved in ``views_dir``."""

    def __init__(self, database: Database, views_dir: Path) -> None:
        self._database = database
        self._views_dir = views_dir
        self._steps: dict[str, Callable[[Sequence[Purge]], Mapping[str, Any]]] = {
            "queue": self._clear_queue,
            "views": self._renew_views,
            "rewrite": self._rewrite,
            "log": self._empty_log,
            "readers": self._look_for_readers,
        }

    def run(self) -> bool:
        """Carry out what is asked for; returns whether nothing is left to do, here or by another process.

        What is in the way is written down with the purge, and the next run tries again.
        """
        with self._database.read() as connection:
            if not open_purges(connection):
                return True
        with purge_lease(self._database) as ours:
            while ours:
                with self._database.write() as connection:
                    purges = begin_purges(connection)
                if not purges:
                    return True
                if not self._carry_out(purges):
                    return False
        return False

    def _carry_out(self, purges: Sequence[Purge]) -> bool:
        ids = [purge.id for purge in purges]
        for step in STEPS:
            if all(step in purge.steps for purge in purges):
                continue
            started = time.monotonic()
            try:
                found = self._steps[step](purges)
            except (StoreError, OSError) as error:
                reason = f"{step}: {error}"
                log.info("the purge of %s waits: %s", ids, reason)
                with self._database.write() as connection:
                    note_wait(connection, ids, reason)
                return False
            with self._database.write() as connection:
                note_step(connection, ids, step, {**found, "seconds": round(time.monotonic() - started, 3)})
        with self._database.write() as connection:
            finish_purges(connection, ids)
        log.info("purged what was forgotten: %s", ids)
        return True

    def _clear_queue(self, purges: Sequence[Purge]) -> Mapping[str, Any]:
        """Remove what the queue keeps of runs that ended: their errors may quote what they read.

        Nobody needs it: how a job ended is in its own row, and a resumed job is a new run.
        """
        client = DBOSClient(
            system_database_url=self._database.url.render_as_string(hide_password=False),
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
        )
        try:
            ended = client.list_workflows(status=_ENDED, load_input=False, load_output=False)
            for some in chunks([workflow.workflow_id for workflow in ended]):
                client.delete_workflows(list(some))
        finally:
            client.destroy()
        return {"runs": len(ended)}

    def _renew_views(self, purges: Sequence[Purge]) -> Mapping[str, Any]:
        for purge in purges:
            hindrance = renew_saves(
                self._database, purge.collection, purge.collection_id, self._views_dir, purge.version
            )
            if hindrance:
                raise StoreBusy(hindrance)
        return {"collections": len({purge.collection_id for purge in purges})}

    def _rewrite(self, _purges: Sequence[Purge]) -> Mapping[str, Any]:
        before = size_of(self._database)
        rewrite(self._database)
        return {"bytes_before": before, "bytes_after": size_of(self._database)}

    def _empty_log(self, _purges: Sequence[Purge]) -> Mapping[str, Any]:
        empty_log(self._database)
        return {}

    def _look_for_readers(self, _purges: Sequence[Purge]) -> Mapping[str, Any]:
        processes = processes_mapping_removed(self._views_dir)
        if processes:
            raise StoreBusy(f"old views are still mapped by process {', '.join(map(str, processes))}")
        return {"checked": processes is not None}
