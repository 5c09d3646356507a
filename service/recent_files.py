"""The last hour of all server processes of this host that share a data folder, through a small file of each.

So whichever of them draws the overview draws all, and a restart does not empty it. A file holds numbers alone; one that
cannot be read or written is left out, as what it tells is of no use tomorrow.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from service.recent import MINUTE_S, MINUTES, Minute, Recent, sum_up

log = logging.getLogger(__name__)

SAVE_S = 5.0
_SILENCE_S = 3 * SAVE_S  # after which a process is taken for gone
_BROKEN = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class RecentFiles:
    """Writes what ``recent`` holds to ``folder`` every few seconds, and reads what the others wrote."""

    def __init__(self, recent: Recent, folder: Path) -> None:
        self._recent = recent
        self._folder = folder
        # Not the process id alone: in a container every start may have the same.
        self._own = folder / f"{os.getpid()}-{uuid4().hex[:8]}.json"
        self._saved_changes = -1
        self._read: dict[Path, tuple[int, dict[int, Minute]]] = {}  # by file: when it was written, and what it held
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._complained = False

    def start(self) -> None:
        """Begin to write in the background."""
        self._thread = threading.Thread(target=self._run, name="recent", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write a last time and stop; what there was nothing to tell of leaves no file."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._recent.changes:
            self.save()

    def save(self) -> None:
        """Write the last hour, or that there is nothing new in it; remove files that are of earlier hours."""
        changes = self._recent.changes
        if changes == self._saved_changes:
            with suppress(OSError):
                os.utime(self._own)  # a sign of life
            return
        minutes = {str(at): minute.to_json() for at, minute in self._recent.read().items()}
        aside = self._own.with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            aside.write_text(json.dumps(minutes), encoding="utf-8")
            aside.replace(self._own)
            self._remove_old()
        except OSError as error:
            if not self._complained:
                log.warning("the overview's figures cannot be kept in %s: %s", self._folder, error.strerror)
            self._complained = True
            return
        self._saved_changes = changes

    def read(self) -> dict[int, Minute]:
        """Return the last hour of all processes, minute by minute; the others' is a few seconds old."""
        first = self._recent.minute - MINUTES
        found: dict[int, list[Minute]] = {}
        for held in (self._recent.read(), *self._read_others()):
            for at, minute in held.items():
                if at > first:
                    found.setdefault(at, []).append(minute)
        return {at: some[0] if len(some) == 1 else sum_up(some) for at, some in sorted(found.items())}

    def living(self) -> set[int]:
        """Return the ids of the processes that wrote lately, and of this one."""
        found = {os.getpid()}
        for path in self._list():
            with suppress(OSError, ValueError):
                if time.time() - path.stat().st_mtime < _SILENCE_S:
                    found.add(int(path.name.partition("-")[0]))
        return found

    def _read_others(self) -> list[dict[int, Minute]]:
        with self._lock:
            known, self._read = self._read, {}
            for path in self._list():
                with suppress(*_BROKEN):
                    written = path.stat().st_mtime_ns
                    if path not in known or known[path][0] != written:
                        found = json.loads(path.read_text("utf-8"))
                        known[path] = written, {int(at): Minute.of_json(minute) for at, minute in found.items()}
                    self._read[path] = known[path]
            return [minutes for _, minutes in self._read.values()]

    def _list(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.glob("*.json") if path != self._own)
        except OSError:
            return []

    def _remove_old(self) -> None:
        long_ago = time.time() - MINUTES * MINUTE_S
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if path != self._own and path.stat().st_mtime < long_ago:
                    path.unlink()

    def _run(self) -> None:
        while not self._stopping.wait(SAVE_S):
            self.save()
