"""The extractor in a process of its own, so that tagging and embedding run at the same time."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from ingest.extracting import Finding, NotExtracted, Wanted
from ingest.extraction import Extractor
from memory_graph.types import Extraction

# What the child returns: the extractions, and the seconds that they took it.
Extracted = tuple[list[Extraction], float]

_extractor: Extractor | None = None


class ExtractionPool:
    """One child process that extracts; it is started with the first texts and again if it dies.

    ``build`` makes the extractor there: it is pickled, so a class or a ``partial`` of one.
    """

    def __init__(self, build: Callable[[], Extractor]) -> None:
        self._build = build
        self._pool: ProcessPoolExecutor | None = None
        self._ended = False
        # One thread submits ahead while another collects, and starts the child again when it died.
        self._lock = threading.Lock()

    def submit(self, texts: Sequence[str]) -> Future[Extracted]:
        """Hand texts to the child and return at once; after the end they are not begun."""
        with self._lock:
            if self._ended:
                return _cancelled()
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    max_workers=1,
                    # A fresh interpreter: a fork of a process with torch's and DBOS's threads could deadlock.
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_start_child,
                    initargs=(self._build,),
                )
                # Waited for when nobody has this any more: an interpreter that exits while the pool's own thread
                # ends may write to a pipe that was closed under it.
                weakref.finalize(self, self._pool.shutdown, wait=True, cancel_futures=True)
            try:
                return self._pool.submit(_extract, list(texts))
            except BrokenProcessPool as error:
                broken: Future[Extracted] = Future()
                broken.set_exception(error)
                return broken

    def collect(self, texts: Sequence[str], future: Future[Extracted]) -> tuple[list[Extraction | None], float]:
        """Wait for the child and return one extraction a text; None stands for a text on which the child died.

        When the child dies, the texts are tried again one at a time in a new child, to find the one that kills it.
        """
        try:
            found, seconds = future.result()
            return [*found], seconds
        except (BrokenProcessPool, CancelledError):  # cancelled: handed to a child that was closed for another's sake
            self.close()
        results: list[Extraction | None] = []
        start = time.perf_counter()
        for text in texts:
            try:
                found, _ = self.submit([text]).result()
                results.append(found[0])
            except BrokenProcessPool:
                self.close()
                results.append(None)
        return results, time.perf_counter() - start

    def end(self) -> None:
        """Close the pool for good."""
        with self._lock:
            self._ended = True
        self.close()

    def close(self) -> None:
        """End the child, after the texts that it is at; others are not begun."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)


class PooledExtraction:
    """Extracts for any job with one pool; a text on which the child died is a failure of its document.

    ``made_by`` names the extractor and all that decides what it finds.
    """

    def __init__(self, pool: ExtractionPool, made_by: str = "extractor") -> None:
        self._pool = pool
        self.made_by = made_by

    def begin(self, job_id: str, collection_id: int) -> PooledExtraction:
        """Return itself: it keeps nothing of a job."""
        return self

    def submit(self, wanted: Wanted) -> Future[Extracted]:
        """Hand the passages' texts to the child."""
        return self._pool.submit([one.text for one in wanted.values()])

    def collect(self, wanted: Wanted, future: Future[Extracted]) -> tuple[dict[str, Finding], float]:
        """Wait for the child."""
        found, seconds = self._pool.collect([one.text for one in wanted.values()], future)
        return {text_hash: one or _DIED for text_hash, one in zip(wanted, found, strict=True)}, seconds

    def end(self) -> None:
        """Leave the pool as it is: other jobs use it."""

    def close(self) -> None:
        """End the pool; whoever reads ahead may still submit."""
        self._pool.end()


def _cancelled() -> Future[Extracted]:
    future: Future[Extracted] = Future()
    future.cancel()
    return future


_DIED = NotExtracted(reason="extraction_crashed", error="the extractor's process died on a passage of it")


def _start_child(build: Callable[[], Extractor]) -> None:
    global _extractor
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _extractor = build()


def _die_with_parent() -> None:
    """End this process when its parent is gone: a killed worker must not leave a child behind."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _extract(texts: Sequence[str]) -> Extracted:
    if _extractor is None:  # the pool runs the initializer before any task
        raise RuntimeError("the extractor was not started")
    start = time.perf_counter()
    return _extractor.extract(texts), time.perf_counter() - start
