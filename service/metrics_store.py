"""Metrics of what the database knows: collections, jobs, workers and purges, those of all hosts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from memory_graph.database import Database
from memory_graph.errors import StoreError
from memory_graph.store.gauges import Doing, Held, read_doing, read_held

# Counting rows takes seconds where there are millions: it is done so rarely that nobody notices.
HELD_S = 60.0
# So many collections have series of their own, the first by name.
MAX_COLLECTIONS = 500
_STATES = ("queued", "running", "succeeded", "failed", "cancelled")


class StoreMetrics:
    """Reads the database when it is asked; what is counted there is kept for a minute."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._counted_at = 0.0

    def read(self) -> Doing | None:
        """Return what the database says now, None where it cannot be read."""
        try:
            with self._database.read() as connection:
                return read_doing(connection)
        except StoreError:
            return None

    def collect(self, doing: Doing | None) -> Iterator[Metric]:
        """Yield the metrics."""
        yield _gauge("store_up", "Whether the database can be read", [((), float(doing is not None))])
        if doing is None:
            return
        names = sorted(doing.versions)[:MAX_COLLECTIONS]
        shown = set(names)
        yield _gauge("collections", "How many collections there are", [((), len(doing.versions))])
        yield _gauge(
            "collections_left_out", "Collections without series of their own", [((), len(doing.versions) - len(names))]
        )
        versions = [((name,), doing.versions[name]) for name in names]
        yield _gauge("collection_version", "Version of a collection", versions, "collection")
        jobs = [((name, state), doing.jobs.get((name, state), 0)) for name in names for state in _STATES]
        yield _gauge("jobs", "Ingestion jobs that are known, by state", jobs, "collection", "state")
        waiting = sum(count for (_, state), count in doing.jobs.items() if state == "queued")
        yield _gauge("queue_jobs", "Ingestion jobs that wait for a worker", [((), waiting)])
        paces = [((name,), doing.passages_per_s.get(name, 0.0)) for name in names]
        yield _gauge("learning_passages_per_second", "Pace of the jobs that run", paces, "collection")
        yield _gauge("workers_alive", "Ingestion workers that were heard of lately", [((), len(doing.beat_ages))])
        yield _gauge(
            "worker_beat_age_seconds",
            "How long ago the worker that was silent for longest was heard of",
            [((), max(doing.beat_ages.values(), default=0.0))],
        )
        yield _gauge("purges_waiting", "Purges of forgotten bytes that are not done", [((), doing.purges)])
        yield _gauge("purge_wait_seconds", "Age of the oldest purge that is not done", [((), doing.oldest_purge_s)])
        held = self._count()
        if held is None:
            return
        rows = [(key, count) for key, count in sorted(held.rows.items()) if key[0] in shown]
        yield _gauge("rows", "What a collection holds, counted once a minute", rows, "collection", "kind")
        items = [((state, reason), count) for (state, reason), count in sorted(held.items.items())]
        yield _gauge("items", "Items of the jobs that are known, by state and reason", items, "state", "reason")
        pending = sum(count for (state, _), count in held.items.items() if state == "pending")
        yield _gauge("queue_items", "Items that wait to be learned, counted once a minute", [((), pending)])
        tokens = [((kind,), count) for kind, count in held.tokens.items()]
        yield _gauge("job_tokens", "Tokens spent on a language model by the jobs that are known", tokens, "kind")

    def _count(self) -> Held | None:
        with self._lock:  # of several that ask at once, one counts
            if self._held is None or self._clock() - self._counted_at >= HELD_S:
                try:
                    with self._database.read() as connection:
                        self._held = read_held(connection)
                except StoreError:
                    return self._held
                self._counted_at = self._clock()
            return self._held


def _gauge(name: str, said: str, samples: Iterable[tuple[tuple[str, ...], float]], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"sharpwave_{name}", said, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family
