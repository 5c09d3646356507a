"""What happened in the last hour, by the minute: what the dashboard's overview draws.

Prometheus keeps what is counted for ever and answers with sums; here an hour is kept, with no server beside. Numbers of
a fixed set of names alone: the caller sees to it that names are bounded (``service/metrics.py``).
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bins: TypeAlias = NDArray[np.int64]  # (n_bins,)

MINUTES = 60
MINUTE_S = 60
# Times are counted in bins, each a tenth wider than the one before: a quantile is within 5 % of the true one.
_STEP = math.log(1.1)
_SHORTEST_MS, _LONGEST_MS = 0.01, 1e7
_FIRST = round(math.log(_SHORTEST_MS) / _STEP)
_BINS = round(math.log(_LONGEST_MS) / _STEP) - _FIRST + 1


@dataclass(kw_only=True)
class Minute:
    """What happened in one minute: how often, by name, and how long it took, by name and bin."""

    counts: Counter[str] = field(default_factory=Counter)
    times: dict[str, Bins] = field(default_factory=dict)

    def add(self, other: Minute) -> None:
        """Add what happened in another process or minute."""
        self.counts.update(other.counts)
        for name, bins in other.times.items():
            self.bins(name)[:] += bins

    def bins(self, name: str) -> Bins:
        """Return the bins of a name, to be added to."""
        if name not in self.times:
            self.times[name] = np.zeros(_BINS, dtype=np.int64)
        return self.times[name]

    def to_json(self) -> dict[str, Any]:
        """Return it for a file: of the bins those that are not empty, by number."""
        times = {}
        for name, bins in self.times.items():
            full = np.flatnonzero(bins)
            times[name] = [full.tolist(), bins[full].tolist()]
        return {"counts": self.counts, "times": times}

    @staticmethod
    def of_json(written: Mapping[str, Any]) -> Minute:
        """Read what ``to_json`` wrote. Errors: ``ValueError``, ``TypeError``, ``LookupError``, ``AttributeError``."""
        minute = Minute(counts=Counter({str(name): int(count) for name, count in written["counts"].items()}))
        for name, (full, counts) in written["times"].items():
            minute.bins(str(name))[np.array(full, dtype=np.int64)] = np.array(counts, dtype=np.int64)
        return minute


class Recent:
    """The last hour of this process; minutes are counted from 1970 (UTC). Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._minutes: dict[int, Minute] = {}
        self.changes = 0
        """Raised with all that is noted, so that a reader sees whether there is anything new."""

    @property
    def minute(self) -> int:
        """The minute that it is now."""
        return int(self._clock() // MINUTE_S)

    def count(self, name: str, by: int = 1) -> None:
        """Note that something happened."""
        with self._lock:
            self._now().counts[name] += by

    def time(self, name: str, ms: float) -> None:
        """Note how many milliseconds something took."""
        with self._lock:
            self._now().bins(name)[bin_of(ms)] += 1

    def read(self) -> dict[int, Minute]:
        """Return the minutes in which something happened, not to be changed; that which goes on as a copy."""
        with self._lock:
            now = self.minute
            found = {at: minute for at, minute in sorted(self._minutes.items()) if at > now - MINUTES}
            if now in found:
                found[now] = sum_up([found[now]])
            return found

    def _now(self) -> Minute:
        self.changes += 1
        at = self.minute
        if at not in self._minutes:
            self._minutes = {one: minute for one, minute in self._minutes.items() if at - MINUTES < one <= at}
            self._minutes[at] = Minute()
        return self._minutes[at]


def bin_of(ms: float) -> int:
    """Return the number of the bin of a time."""
    return round(math.log(min(max(ms, _SHORTEST_MS), _LONGEST_MS)) / _STEP) - _FIRST


def sum_up(minutes: Iterable[Minute]) -> Minute:
    """Return all of these minutes as one."""
    whole = Minute()
    for minute in minutes:
        whole.add(minute)
    return whole


def quantile(bins: Bins | None, share: float) -> float | None:
    """Return the time in milliseconds that ``share`` of all did not exceed, None where nothing was timed."""
    total = 0 if bins is None else int(bins.sum())
    if bins is None or not total:
        return None
    found = int(np.searchsorted(bins.cumsum(), share * total - 1e-9))
    return float(f"{math.exp((found + _FIRST) * _STEP):.3g}")
