"""The worker: takes jobs from the queue and learns them, and takes over from workers that died.

DBOS keeps the queue and remembers which steps of a workflow are done; ``ingest/pipeline.py`` keeps what was learned. A
workflow is a share of a job: several workers learn one job side by side, each taking items as it goes. A worker says
every two seconds that it is alive; jobs of one that fell silent, or whose process is gone from this host, are put back
into the queue.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from dbos import error as dbos_error

from ingest import current
from ingest.alive import live_workers
from ingest.jobs import APPLICATION, APPLICATION_VERSION, QUEUE, WORKFLOW, JobQueue
from ingest.pipeline import JobEnded, Learner
from ingest.upkeep import Upkeep
from memory_graph.database import Database
from memory_graph.errors import NotFound, SharpwaveError, StoreBusy, StoreError, StoreUnavailable, StoreVersionMismatch
from memory_graph.store import jobs as job_store
from memory_graph.store import shares
from memory_graph.store.shares import Share

log = logging.getLogger(__name__)

BEAT_S = 2.0
POLL_S = 0.25
# How many workers learn into one collection at once, where nothing else is said.
COLLECTION_WORKERS = 4


class Worker:
    """One worker of this process: ``start`` it once, ``stop`` it to leave.

    ``learner`` is called when the first job comes, so that an idle worker loads no model. ``upkeep`` is what it does
    beside its jobs. ``collection_workers`` bounds how many workers learn into one collection at once; of several
    values, that of the worker that started last holds.
    """

    def __init__(
        self,
        database: Database,
        learner: Callable[[], Learner],
        upkeep: Upkeep | None = None,
        *,
        collection_workers: int = COLLECTION_WORKERS,
    ) -> None:
        self._database = database
        self._collection_workers = collection_workers
        self._make_learner = learner
        self._upkeep = upkeep
        self._learner: Learner | None = None
        self._stopping = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._threads: list[threading.Thread] = []
        # A heartbeat that waits for the database would bring the row of a worker that has left back.
        self._signing = threading.Lock()
        self._current: Share | None = None
        # Why the end of a job could not even be written down, for whoever waits for it.
        self.fault: str | None = None
        self.id = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"

    def start(self) -> None:
        """Begin to take jobs; returns at once.

        Errors: ``StoreVersionMismatch`` where the queue's tables are missing or older.
        """
        self._beat()  # before launch: others must not take this worker's first job for a dead one's
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_url": self._database.url.render_as_string(hide_password=False),
            "executor_id": self.id,
            "application_version": APPLICATION_VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "run_migrations": False,
        }
        DBOS(config=config)

        # Recovery attempts do not reset on progress: a bound here would give up a healthy job. Poison is found by item.
        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=1_000_000)
        def learn_job(job_id: str, share: int = 1, turn: int = 0) -> None:
            self._learn_share(Share(job_id=job_id, number=share, turn=turn))

        DBOS.listen_queues([QUEUE])
        try:
            DBOS.launch()
        except dbos_error.DBOSInitializationError as missing:
            raise StoreVersionMismatch(
                "the tables of the queue are missing or older: run `sharpwave db upgrade`"
            ) from missing
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=1,
            partition_concurrency=self._collection_workers,
            polling_interval_sec=POLL_S,
        )
        thread = threading.Thread(target=self._keep_alive, name="heartbeat", daemon=True)
        thread.start()
        self._threads.append(thread)
        if self._upkeep is not None:
            self._upkeep.start()
        log.info("worker %s is ready", self.id)

    def stop(self, patience_s: float = 5.0) -> None:
        """Leave: the batch in hand is finished if it does not take longer than ``patience_s``, the rest handed back.

        DBOS's threads cannot be interrupted: the caller ends the process afterwards (``os._exit``).
        """
        self._stopping.set()
        if self._upkeep is not None:
            self._upkeep.stop()
        idle = self._idle.wait(patience_s)
        with self._signing, self._database.write() as connection:
            if self._current is not None:
                shares.leave_share(connection, self._current)
            job_store.remove_worker(connection, self.id)
        if idle and self._learner is not None:
            # Not for longer either: a model may be in the middle of a reply.
            closing = threading.Thread(target=self._learner.close, name="closing", daemon=True)
            closing.start()
            closing.join(patience_s)

    def _learn_share(self, share: Share) -> None:
        """The workflow: one step a batch, until the share finds nothing more to take or gives way."""
        self._idle.clear()
        self._current = share
        current.job_id.set(share.job_id)  # a workflow has a context of its own
        outcome: str | None = None
        try:
            with ExitStack() as stack:
                learn_next: list[Callable[[], bool]] = []

                def learn_batch() -> str | None:
                    # Opened in the step, not in the workflow: steps that are done are not run again after a crash.
                    try:
                        if not learn_next:
                            if not self._has_work(share):
                                return "succeeded"
                            learn_next.append(stack.enter_context(self._open(share)))
                        if not learn_next[0]():
                            return "succeeded"
                        return "given way" if self._look_around(share) else None
                    except (StoreBusy, StoreUnavailable):
                        learn_next.clear()
                        stack.close()
                        raise
                    except (JobEnded, NotFound):
                        return "ended"
                    except SharpwaveError as error:
                        # A value, not an exception: its type would change when the step is replayed.
                        return f"failed: {error.message}"

                while outcome is None:
                    if self._stopping.is_set():
                        self._idle.set()
                        threading.Event().wait()  # the process ends here; the job stays with DBOS for the next worker
                    outcome = DBOS.run_step(
                        {
                            "name": "learn_batch",
                            "retries_allowed": True,
                            "max_attempts": 8,
                            "interval_seconds": 0.5,
                            "should_retry": lambda error: isinstance(error, StoreBusy | StoreUnavailable),
                        },
                        learn_batch,
                    )
            self._end(share, outcome)
        except Exception:
            # Raised past the steps' retries, or a fault of ours: it must not leave the job running. What DBOS raises
            # when the job was cancelled, or is another worker's by now, is no Exception and does not come here.
            log.exception("a fault of ours ends job %s", share.job_id)
            self._end(share, "failed: a fault in the worker; its log has the details")
            raise
        finally:
            current.job_id.set(None)
            self._current = None
            self._idle.set()

    def _open(self, share: Share) -> Any:
        if self._learner is None:
            self._learner = self._make_learner()
        return self._learner.open(share.job_id, share, self.id)

    def _has_work(self, share: Share) -> bool:
        # Looked at before the models are loaded: another worker may have taken all there was.
        with self._database.read() as connection:
            return shares.has_work(connection, share)

    def _look_around(self, share: Share) -> bool:
        """Between two batches: let another worker in, if there is one; say whether to give way to another job."""
        with self._database.read() as connection:
            workers = len(live_workers(job_store.list_workers(connection)))
            begun = len(shares.list_shares(connection, share.job_id))
            is_wide = begun >= min(workers, self._collection_workers) or not shares.has_free_items(
                connection, share.job_id
            )
            is_outranked = shares.is_outranked(connection, share.job_id, at_once=self._collection_workers)
        if not is_wide:
            with closing(JobQueue(self._database)) as queue:
                queue.widen(share.job_id, at_most=min(workers, self._collection_workers))
        return is_outranked

    def _end(self, share: Share, outcome: str) -> None:
        if outcome == "ended":
            return
        state, _, error = outcome.partition(": ")
        while not self._stopping.is_set():
            try:
                if state == "given way":
                    with closing(JobQueue(self._database)) as queue:
                        queue.give_way(share)
                else:
                    self._end_job(share, state, error)
                return
            except NotFound:
                return
            except StoreError as unwritten:
                # A full disk, say: the end is written as soon as there is room for it.
                self.fault = error or unwritten.message
                log.error("the end of job %s cannot be written: %s", share.job_id, unwritten.message)
                self._stopping.wait(BEAT_S)

    def _end_job(self, share: Share, state: str, error: str) -> None:
        with self._database.write() as connection:
            is_last = shares.end_share(connection, share)
            if state == "succeeded" and not is_last:
                return  # other shares have items in hand: the last of them ends the job
            job = job_store.get_job(connection, share.job_id, failures=0)
            if state == "succeeded" and job.failed and not (job.documents or job.known):
                state, error = "failed", "nothing could be learned; the failed items say why"
            job_store.end_job(connection, share.job_id, state, error or None)

    def _keep_alive(self) -> None:
        while not self._stopping.is_set():
            try:
                self._beat()
                self._take_over()
            except SharpwaveError as error:
                log.warning("heartbeat: %s", error.message)
            self._stopping.wait(BEAT_S)

    def _beat(self) -> None:
        with self._signing, self._database.write() as connection:
            if self._stopping.is_set():
                return
            job_store.beat(connection, self.id, socket.gethostname(), os.getpid())

    def _take_over(self) -> None:
        """Put the jobs of dead workers back into the queue."""
        running = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        owners = {workflow.executor_id for workflow in running if workflow.executor_id}
        with self._database.read() as connection:
            dead = owners - live_workers(job_store.list_workers(connection)) - {self.id}
        if dead:
            log.info("taking over the jobs of %s", ", ".join(sorted(dead)))
            with self._database.write() as connection:
                shares.forsake_shares(connection, sorted(dead))
            DBOS._recover_pending_workflows(sorted(dead))
