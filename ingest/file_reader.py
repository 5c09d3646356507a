"""Reads files for a job: plain text here, everything else in a child that is ended when it takes too much.

A parser that hangs, eats memory or crashes costs its file, which ends with a reason; of an archive only the file in it
that did it. See docs/decisions/0027-files-in-a-child.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ingest.files import show_path, suffix_of
from ingest.formats.limits import DEFAULT_LIMITS, MB, ReadLimits
from ingest.readers import read_bytes, read_file
from ingest.reading_child import from_json
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

# Read by our own code in one pass over bytes of a bounded number: nothing in it can hang or crash, and a memory of
# plain text needs no child.
PLAIN = (".txt", ".md", ".markdown", ".jsonl")
MAX_ENDED = 3  # files in one archive that may end the child; the rest is then left out
FILES_PER_CHILD = 500  # what parsers leak is given back
START_S = 120.0
_SIGALRM = -14


class FileReader:
    """Reads files one at a time; the child starts with the first that needs it."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        self.limits = limits or DEFAULT_LIMITS
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def read_file(self, path: Path) -> Iterator[Document | UnreadableDocument]:
        """Yield the documents of a file, as ``ingest.readers.read_file`` does."""
        if suffix_of(path.name) in PLAIN:
            return read_file(path, limits=self.limits)
        return self._read(show_path(path), {"path": os.fspath(path.absolute())}, None)

    def read_bytes(self, name: str, data: bytes, *, id: str | None = None) -> Iterator[Document | UnreadableDocument]:
        """Yield the documents of an uploaded file, as ``ingest.readers.read_bytes`` does."""
        if suffix_of(name) in PLAIN:
            return read_bytes(name, data, limits=self.limits, id=id)
        return self._read(name, {"name": name, "id": id}, data)

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end_child()

    def _read(self, name: str, request: dict[str, Any], data: bytes | None) -> Iterator[Document | UnreadableDocument]:
        with self._lock:
            skip: list[str] = []
            told: set[tuple[str, str]] = set()  # after an end the file is read again from its beginning
            while True:
                at = name
                finished = False
                try:
                    for answer in self._ask({**request, "skip": skip}, data):
                        if answer["kind"] == "begun":
                            at = answer["name"]
                            continue
                        key = (answer["kind"], answer.get("id") or answer["name"])
                        if not skip or key not in told:
                            told.add(key)
                            yield from_json(answer)
                    finished = True
                except _Ended as ended:
                    yield UnreadableDocument(at, ended.reason, ended.detail)
                finally:
                    if not finished:  # also where nobody wants the rest
                        self._end_child()
                if finished or at == name:
                    return
                skip.append(at)
                if len(skip) == MAX_ENDED:
                    message = f"{MAX_ENDED} files in it ended the process that reads; the rest was left out."
                    yield UnreadableDocument(name, "crashed", message)
                    return

    def _ask(self, request: dict[str, Any], data: bytes | None) -> Iterator[dict[str, Any]]:
        if self._child is None or self._child.asked >= FILES_PER_CHILD:
            self._end_child()
            self._child = _Child(self.limits)
        return self._child.ask(request, data)

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Ended(Exception):
    """The child ended, or was ended, while it read a file."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class _Child:
    """One process of ``ingest/reading_child.py``."""

    def __init__(self, limits: ReadLimits) -> None:
        self.asked = 0
        self.limits = limits
        self._connection, theirs = Pipe()
        # A fresh interpreter of this module alone: multiprocessing would import the program's main module again.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "ingest.reading_child", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        theirs.close()
        self.end = weakref.finalize(self, _end_process, self._process, self._connection)
        try:
            self._connection.send_bytes(json.dumps(asdict(limits)).encode())
            is_ready = self._connection.poll(START_S) and json.loads(self._connection.recv_bytes())["kind"] == "ready"
        except (EOFError, OSError):
            is_ready = False
        if not is_ready:
            self.end()
            raise RuntimeError("the process that reads files cannot be started")

    def ask(self, request: dict[str, Any], data: bytes | None) -> Iterator[dict[str, Any]]:
        """Yield what the child says of a file; raises ``_Ended``."""
        self.asked += 1
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            if data is not None:
                self._connection.send_bytes(data)
            while True:
                if not self._connection.poll(self.limits.max_seconds):
                    raise self._timed_out()
                answer = json.loads(self._connection.recv_bytes())
                if answer["kind"] == "end":
                    return
                if answer["kind"] == "ended":
                    raise self._out_of_memory() if answer["reason"] == "out_of_memory" else _crashed(answer["detail"])
                yield answer
        except (EOFError, OSError):
            status = self._process.wait()
            raise (self._timed_out() if status == _SIGALRM else _crashed(f"signal {-status}")) from None

    def _timed_out(self) -> _Ended:
        message = f"takes over {self.limits.max_seconds:g} s to read. Split it, or raise SHARPWAVE_MAX_FILE_SECONDS."
        return _Ended("timeout", message)

    def _out_of_memory(self) -> _Ended:
        message = f"takes over {self.limits.max_memory_bytes / MB:.0f} MB of memory to read"
        return _Ended("out_of_memory", f"{message}. Split it, or raise SHARPWAVE_MAX_FILE_MEMORY_MB.")


def _crashed(how: str) -> _Ended:
    message = (
        f"the process that reads files ended on it ({how}); perhaps for want of memory. Save it again, or split it."
    )
    return _Ended("crashed", message)


def _end_process(process: subprocess.Popen[bytes], connection: Connection) -> None:
    connection.close()
    process.kill()
    process.wait()
