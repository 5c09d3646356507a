"""What a server process reads of itself for its metrics: when it is asked, and now and then where it has siblings."""

from __future__ import annotations

import os
import threading

from memory_graph.errors import StoreError
from memory_graph.store.gauges import Doing, first_commit_after
from memory_graph.store.rows import now
from service.metrics_folder import FOLDER_VARIABLE
from service.metrics_store import MAX_COLLECTIONS, StoreMetrics
from service.observed_generator import ObservedGenerator
from service.services import Services

BEAT_S = 5.0


class Pulse:
    """The views, the process and the generator of a running service, as its metrics show them."""

    def __init__(self, parts: Services) -> None:
        self._parts = parts
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.store = StoreMetrics(parts.database)

    def start(self) -> None:
        """Keep the numbers fresh where another process may be asked for them."""
        if FOLDER_VARIABLE in os.environ:
            self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop that."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def beat(self) -> Doing | None:
        """Read everything now, and return what the database said."""
        parts, metrics = self._parts, self._parts.metrics
        metrics.note_process()
        metrics.raise_to(metrics.dropped, parts.query_log.dropped)
        if isinstance(parts.generator, ObservedGenerator):
            parts.generator.note_servers()
        doing = self.store.read()
        if doing is not None:
            self._note_views(doing)
        return doing

    def _note_views(self, doing: Doing) -> None:
        metrics, sizes = self._parts.metrics, self._parts.views.nbytes()
        shown = sorted(doing.versions)[:MAX_COLLECTIONS]
        for name, version in self._parts.views.versions().items():
            if name not in shown:
                continue
            behind = max(0, doing.versions[name] - version)
            metrics.view_version.labels(name).set(version)
            metrics.view_lag.labels(name).set(behind)
            metrics.view_lag_seconds.labels(name).set(self._age(name, version) if behind else 0.0)
            metrics.view_bytes.labels(name).set(sum(sizes.get(name, {}).values()))

    def _age(self, name: str, version: int) -> float:
        with self._parts.database.read() as connection:
            first = first_commit_after(connection, name, version)
        return max(0.0, (now() - first).total_seconds()) if first is not None else 0.0

    def _run(self) -> None:
        while not self._stopping.wait(BEAT_S):
            try:
                self.beat()
            except StoreError:
                continue  # the database is away: the next beat tries again, and sharpwave_store_up says so
