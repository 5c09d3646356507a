"""How much memory this process holds."""

from __future__ import annotations

import gc
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_mb() -> float | None:
    """Return the megabytes of this process that are resident, where the system says so."""
    gc.collect()
    if not _STATUS.exists():
        return None
    fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024 / 1e6
