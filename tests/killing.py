"""Workers and senders of jobs in processes of their own, without models, to be killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from ingest import worker as worker_module
from ingest.extraction_pool import PooledExtraction
from ingest.jobs import JobQueue, file_items
from ingest.pipeline import Learner, PipelineParams
from ingest.queue_tables import prepare_queue
from ingest.worker import Worker
from memory_graph.database import Database, upgrade_schema
from memory_graph.store.collections import create_collection
from memory_graph.store.jobs import Job, get_job, list_jobs
from memory_graph.tables import workers
from retrieval.testing import HashEmbedder
from tests.forks import FORKS
from tests.unit.factories import CapitalsPool, ParagraphSplitter, wait_until

COLLECTION = "memory"
BATCH = 8
BEAT_S = 0.3  # a worker that was killed is noticed sooner than in earnest
LONGEST_LIFE_S = 1.5
DEADLY = "Deadly"


class FragileEmbedder(HashEmbedder):
    """Takes its process down with a text that says ``DEADLY``; takes ``pause_s`` for a batch."""

    def __init__(self, pause_s: float = 0.0) -> None:
        super().__init__(32)
        self._pause_s = pause_s

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed, or die."""
        if any(DEADLY in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        if texts:
            time.sleep(self._pause_s)
        return super().encode(texts)


def make_learner(database: Database, pause_s: float = 0.0) -> Learner:
    """Return a learner of paragraphs and capitalised names."""
    return Learner(
        database,
        FragileEmbedder(pause_s),
        PooledExtraction(CapitalsPool()),  # type: ignore[arg-type]
        {"recursive": ParagraphSplitter()},  # type: ignore[dict-item]
        params=PipelineParams(batch_passages=BATCH, embed_facts=True),
    )


def work(url: str, pause_s: float) -> None:
    """Be a worker until killed, or asked to end."""
    worker_module.BEAT_S = BEAT_S
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = Database(url)
    worker = Worker(database, lambda: make_learner(database, pause_s))
    worker.start()
    stop.wait()
    worker.stop()
    os._exit(0)


def send(url: str, paths: Sequence[Path], fingerprint: str, priority: int) -> None:
    """Hand in a job, as the server does."""
    database = Database(url)
    queue = JobQueue(database)
    queue.submit(COLLECTION, file_items(paths), fingerprint=fingerprint, priority=priority)
    os._exit(0)


def open_memory(url: str) -> Database:
    """Return a database with its schema, the queue's tables and an empty collection."""
    database = Database(url)
    upgrade_schema(database)
    prepare_queue(database)
    with database.write() as connection:
        create_collection(connection, COLLECTION)
    return database


def learn_in_peace(database: Database, paths: Sequence[Path]) -> None:
    """Learn files in this process, one after the other."""
    queue = JobQueue(database)
    job_id = queue.submit(COLLECTION, file_items(paths)).job_id
    queue.close()
    with make_learner(database).open(job_id) as learn_next:
        while learn_next():
            pass


def write_files(folder: Path, count: int) -> list[Path]:
    """Write files that share names and sentences, each with one of its own."""
    names = ("Ada Quill", "Bram Oster", "Cora Finch", "Dunmore", "Lake Orrin", "Ivo Brandt")
    chance = random.Random(count)
    paths = []
    for number in range(count):
        likes = [f"{' likes '.join(chance.sample(names, 2))}." for _ in range(chance.randrange(1, 4))]
        own = f"On day {number} the keeper of Mast {number} counted {number * 7} gulls for {chance.choice(names)}."
        path = folder / f"{number:05}.txt"
        path.write_text("\n\n".join([*likes, own]))
        paths.append(path)
    return paths


@dataclass
class Crew:
    """The processes of one database; whoever is left is killed at the end."""

    url: str
    pause_s: float = 0.0
    processes: list[BaseProcess] = field(default_factory=list)

    def start_worker(self) -> BaseProcess:
        """Start a worker and wait until it says that it is alive."""
        process = self._start(work, self.url, self.pause_s)
        database = Database(self.url)

        def is_there() -> bool:
            assert process.exitcode is None, f"the worker ended with {process.exitcode}"
            with database.read() as connection:
                return bool(connection.scalar(select(func.count()).where(workers.c.pid == process.pid)))

        wait_until(is_there, 120)
        database.close()
        return process

    def send(self, paths: Sequence[Path], fingerprint: str, *, priority: int = 5) -> BaseProcess:
        """Start a process that hands in a job and ends."""
        return self._start(send, self.url, paths, fingerprint, priority)

    def _start(self, target: Any, *arguments: Any) -> BaseProcess:
        process = FORKS.Process(target=target, args=arguments, daemon=True)
        process.start()
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Kill whoever is left."""
        for process in self.processes:
            process.kill()
            process.join()


def kill(process: BaseProcess) -> None:
    """End a process as an out-of-memory killer does."""
    process.kill()
    process.join()


@dataclass
class Report:
    """What a run with kills went through."""

    workers_killed: int = 0
    senders_killed: int = 0
    jobs: list[Job] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        learned = sum(job.documents for job in self.jobs)
        return (
            f"{self.workers_killed} workers and {self.senders_killed} senders killed in {self.seconds:.0f} s; "
            f"{len(self.jobs)} jobs learned {learned} files"
        )


def run_with_kills(
    database: Database, crew: Crew, paths: Sequence[Path], *, kills: int, workers: int, seed: int, a_job: int
) -> Report:
    """Learn files in jobs of ``a_job`` each while ``kills`` processes are killed; return how that went.

    A worker lives up to ``LONGEST_LIFE_S`` after its first heartbeat; every fifth kill hits a sender while it hands in
    a job, which is then handed in again, as a client would.
    """
    chance = random.Random(seed)
    start = time.monotonic()
    report = Report()
    at_work = [crew.start_worker() for _ in range(workers)]
    handed_in: list[str] = []
    rest = [paths[begin : begin + a_job] for begin in range(0, len(paths), a_job)]

    def hand_in(*, disturbed: bool) -> None:
        some, fingerprint = rest.pop(0), f"part-{len(handed_in)}"
        if disturbed:
            sender = crew.send(some, fingerprint)
            time.sleep(chance.uniform(0.0, 0.4))
            kill(sender)
            report.senders_killed += 1
        sender = crew.send(some, fingerprint)
        sender.join()
        assert sender.exitcode == 0
        handed_in.append(fingerprint)

    hand_in(disturbed=False)
    while report.workers_killed + report.senders_killed < kills:
        if rest and not _unfinished(database):
            hand_in(disturbed=False)
        if rest and (report.workers_killed + report.senders_killed) % 5 == 2:
            hand_in(disturbed=True)
            continue
        time.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
        victim = chance.randrange(workers)
        kill(at_work[victim])
        report.workers_killed += 1
        at_work[victim] = crew.start_worker()
    while rest:
        hand_in(disturbed=False)
    wait_until(lambda: not _unfinished(database), 280)
    report.jobs = read_jobs(database)
    report.seconds = time.monotonic() - start
    return report


def read_jobs(database: Database) -> list[Job]:
    """Read all jobs, the oldest first."""
    with database.read() as connection:
        return [get_job(connection, job.id) for job in reversed(list_jobs(connection, limit=1000))]


def _unfinished(database: Database) -> bool:
    return any(job.finished_at is None for job in read_jobs(database))
