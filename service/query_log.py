"""The log of questions and of the notes taken for them, written in batches off the request's path."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from memory_graph.database import Database
from memory_graph.errors import StoreError
from memory_graph.store.notes import NewNote, add_notes
from memory_graph.store.queries import add_queries
from memory_graph.store.rows import now
from retrieval.ask import Asked

log = logging.getLogger(__name__)

FLUSH_S = 1.0
MAX_WAITING = 10_000


class QueryLog:
    """Keeps answered questions until the next flush; a full queue drops the newest, which is counted and logged.

    ``listener`` is told of each answer.
    """

    def __init__(self, database: Database, listener: Callable[[Asked], None] | None = None) -> None:
        self._database = database
        self._listener = listener
        self._waiting: SimpleQueue[tuple[dict[str, Any], NewNote | None]] = SimpleQueue()
        self._stopped = threading.Event()
        self._flushing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="query-log", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        """Begin to write in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Write what waits and stop."""
        self._stopped.set()
        self._thread.join()
        self.flush()

    def add(self, question: str, asked: Asked) -> str:
        """Log an answered question and return its id."""
        query_id = str(uuid4())
        if self._listener is not None:
            self._listener(asked)
        if self._waiting.qsize() >= MAX_WAITING:
            self.dropped += 1
            return query_id
        row = {
            "id": query_id,
            "collection_id": asked.found.collection_id,
            "question": question,
            "answer": asked.answer.text,
            "found": asked.answer.found,
            "fallback_reason": asked.fallback_reason,
            "version": asked.found.version,
            "milliseconds": round(asked.timings_ms["total"]),
            "trace": asked.trace(),
            "created_at": now(),
            "cited": [one.passage_id for one in asked.answer.citations],
        }
        self._waiting.put((row, asked.note_to_keep(question, query_id)))
        return query_id

    def flush(self) -> None:
        """Write what waits now."""
        with self._flushing:
            rows = []
            while True:
                try:
                    rows.append(self._waiting.get_nowait())
                except Empty:
                    break
            if not rows:
                return
            try:
                with self._database.write() as connection:
                    add_queries(connection, [row for row, _ in rows])
                    add_notes(connection, [note for _, note in rows if note])
            except StoreError as error:
                self.dropped += len(rows)
                log.warning("%d questions could not be logged: %s", len(rows), error.message)

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_S):
            self.flush()
