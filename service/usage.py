"""What the installation takes up: the data folder by part, and the memory of its processes on this host."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from memory_graph.database import Database
from memory_graph.errors import StoreError

# A folder's files are looked at so often at most.
DISK_S = 10.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True, kw_only=True)
class Disk:
    """Bytes on the disk of the data folder, by part, and what is free there."""

    parts: dict[str, int]
    free: int
    total: int


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process and its memory in bytes (resident), None where it cannot be known: on another host, or gone.

    ``children`` is the memory of what it started: readers, extractors.
    """

    role: str
    host: str
    pid: int
    resident: int | None
    children: int


class DiskUse:
    """Reads what lies in the data folder, and keeps it for a while."""

    def __init__(
        self, folder: Path, views: Path, database: Database, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder.expanduser().absolute()
        self._views = views.expanduser().absolute()
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._read: Disk | None = None
        self._read_at = 0.0

    def read(self) -> Disk:
        """Return what lies there, at most ten seconds old."""
        with self._lock:  # of several who ask at once, one looks
            if self._read is None or self._clock() - self._read_at >= DISK_S:
                self._read = self._look()
                self._read_at = self._clock()
            return self._read

    def _look(self) -> Disk:
        path = self._database.path
        own = [path.with_name(path.name + end) for end in ("", "-wal", "-shm")] if path else []
        parts = {
            "database": sum(map(_size, own)) if path else self._server_bytes(),
            "views": _size_under(self._views),
        }
        inside = _size_under(self._folder)
        parts["other"] = max(
            0,
            inside
            - sum(_size(one) for one in own if one.is_relative_to(self._folder))
            - (parts["views"] if self._views.is_relative_to(self._folder) else 0),
        )
        here = self._folder
        while not here.exists():
            here = here.parent
        disk = shutil.disk_usage(here)
        return Disk(parts=parts, free=disk.free, total=disk.total)

    def _server_bytes(self) -> int:
        try:
            with self._database.read() as connection:
                return int(connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        except StoreError:
            return 0


def read_processes(api: Iterable[int], workers: Iterable[tuple[str, int]]) -> list[Process]:
    """Return the memory of processes: those of the API, by id, and the workers, by host and id."""
    here = socket.gethostname()
    found = [_process("api", here, pid) for pid in sorted(set(api))]
    for host, pid in sorted(workers):
        one = Process(role="worker", host=host, pid=pid, resident=None, children=0)
        found.append(_process("worker", host, pid) if host == here else one)
    return found


def _process(role: str, host: str, pid: int) -> Process:
    below = _children(pid)
    return Process(
        role=role,
        host=host,
        pid=pid,
        resident=_resident(pid),
        children=sum(_resident(one) or 0 for one in below),
    )


def _children(pid: int) -> list[int]:
    """Return the processes that a process started, and those that these did."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        for task in _list(Path(f"/proc/{waiting.pop()}/task")):
            try:
                below = [int(one) for one in (task / "children").read_text().split()]
            except (OSError, ValueError):
                continue  # ended meanwhile, or a system that does not tell
            new = [one for one in below if one not in found]
            found += new
            waiting += new
    return found


def _resident(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return None


def _list(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _size_under(folder: Path) -> int:
    total = 0
    for here, _, names in os.walk(folder):
        total += sum(_size(Path(here, name)) for name in names)
    return total
