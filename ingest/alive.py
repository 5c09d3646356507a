"""Which workers are alive."""

from __future__ import annotations

import os
import socket
from typing import Any


def live_workers(rows: list[Any]) -> set[str]:
    """Return the ids of those workers that are alive: heard of lately and, on this host, with a process."""
    here = socket.gethostname()
    return {row["id"] for row in rows if row["host"] != here or process_exists(row["pid"])}


def process_exists(pid: int) -> bool:
    """Whether a process of this host has the id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
