"""The child process that reads files: bounded in memory, unable to write a file, and gone with its parent.

Started as ``python -m ingest.reading_child FD`` with one end of a socket pair. It is asked in JSON and answers in JSON,
never in pickles: what a broken parser could send must not be run by its parent.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import select
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ingest.formats.limits import ReadLimits
from ingest.readers import read_bytes, read_file
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

PARSERS = ("bs4", "charset_normalizer", "lxml.etree", "markitdown.converters", "pypdfium2", "python_calamine")
GRACE_S = 10.0  # after the parent's own limit: only a child that nobody watches any more ends by this


def serve(connection: Connection) -> None:
    """Answer requests until the parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all its processes; the parent decides
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    threading.Thread(target=_end_with_parent, args=(connection.fileno(),), daemon=True).start()
    load_parsers()
    limits = ReadLimits(**json.loads(connection.recv_bytes()))
    _send(connection, {"kind": "ready"})
    while True:
        try:
            request = json.loads(connection.recv_bytes())
            data = connection.recv_bytes() if "path" not in request else b""
        except EOFError:
            return
        _bound_memory(limits.max_memory_bytes)
        try:
            for answer in _answers(connection, request, data, limits):
                signal.setitimer(signal.ITIMER_REAL, 0)  # a parent that takes its time costs the file none
                _send(connection, answer)
                signal.setitimer(signal.ITIMER_REAL, limits.max_seconds + GRACE_S)
        except MemoryError:
            _end(connection, "out_of_memory", "")
        except Exception as error:  # noqa: BLE001 - told to the parent, which names it; this process ends
            _end(connection, "crashed", type(error).__name__)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(connection, {"kind": "end"})


def load_parsers() -> None:
    """Import what reads files, before any limit counts."""
    for module in PARSERS:
        importlib.import_module(module)


def to_json(result: Document | UnreadableDocument) -> dict[str, Any]:
    """Return what the parent makes the same value of."""
    if isinstance(result, UnreadableDocument):
        return {"kind": "unreadable", "name": result.name, "reason": result.reason, "detail": result.detail}
    return {
        "kind": "document",
        "id": result.id,
        "text": result.text,
        "title": result.title,
        "metadata": dict(result.metadata),
        "source": result.source,
        "occurred_at": result.occurred_at.isoformat() if result.occurred_at else None,
        "pages": result.pages,
    }


def from_json(answer: dict[str, Any]) -> Document | UnreadableDocument:
    """Return what ``to_json`` wrote."""
    if answer["kind"] == "unreadable":
        return UnreadableDocument(answer["name"], answer["reason"], answer["detail"])
    moment = answer["occurred_at"]
    return Document(
        id=answer["id"],
        text=answer["text"],
        title=answer["title"],
        metadata=answer["metadata"],
        source=answer["source"],
        occurred_at=datetime.fromisoformat(moment) if moment else None,
        pages=tuple(answer["pages"]),
    )


def _answers(
    connection: Connection, request: dict[str, Any], data: bytes, limits: ReadLimits
) -> Iterator[dict[str, Any]]:
    def begun(name: str) -> None:
        _send(connection, {"kind": "begun", "name": name})
        signal.setitimer(signal.ITIMER_REAL, limits.max_seconds + GRACE_S)

    signal.setitimer(signal.ITIMER_REAL, limits.max_seconds + GRACE_S)
    skip = frozenset(request["skip"])
    if "path" in request:
        results = read_file(Path(request["path"]), limits=limits, begun=begun, skip=skip)
    else:
        results = read_bytes(request["name"], data, limits=limits, id=request["id"], begun=begun, skip=skip)
    return map(to_json, results)


def _send(connection: Connection, answer: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(answer).encode())


def _end(connection: Connection, reason: str, detail: str) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0)
    _send(connection, {"kind": "ended", "reason": reason, "detail": detail})
    os._exit(1)


def _bound_memory(size: int) -> None:
    """Let this process grow by so many bytes from here on, and no further."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
    with contextlib.suppress(ValueError):  # over a hard limit that someone else has set, which then holds
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + size, resource.RLIM_INFINITY))


def _end_with_parent(descriptor: int) -> None:
    poll = select.poll()
    poll.register(descriptor, 0)  # nothing but the hang-up, which is always told
    poll.poll()
    os._exit(1)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
