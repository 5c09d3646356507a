"""How often a key may ask: a token bucket a key, in this process; and the headers that tell a client where it stands.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic

from service.access import Caller

MINUTE_S = 60
DAY_S = 86_400


@dataclass(kw_only=True)
class Bucket:
    """Fills evenly with ``capacity`` a minute, and holds no more than that."""

    capacity: int
    level: float
    at: float  # seconds of the clock

    def take(self, now: float) -> float:
        """Take one; return 0, or the seconds to wait where there is none."""
        rate = self.capacity / MINUTE_S
        self.level = min(float(self.capacity), self.level + (now - self.at) * rate)
        self.at = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / rate


class Rates:
    """The buckets of the keys that have a limit; used from the event loop alone."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    def take(self, caller: Caller) -> float:
        """Count a request; return 0, or the seconds that its key has to wait."""
        limit = caller.requests_per_minute
        if limit is None:
            return 0.0
        bucket = self._buckets.get(caller.id)
        if bucket is None or bucket.capacity != limit:
            bucket = self._buckets[caller.id] = Bucket(capacity=limit, level=limit, at=self._clock())
        return bucket.take(self._clock())

    def headers(self, caller: Caller, moment: datetime) -> dict[str, str]:
        """Return the headers of a response to this key; none where it has no limit."""
        policies, states = [], []
        if (limit := caller.requests_per_minute) is not None and (bucket := self._buckets.get(caller.id)):
            full_in = math.ceil((limit - bucket.level) * MINUTE_S / limit)
            policies.append(f'"requests";q={limit};w={MINUTE_S}')
            states.append(f'"requests";r={int(bucket.level)};t={full_in}')
        days = (
            ("tokens", caller.tokens_per_day, caller.tokens_left),
            ("bytes", caller.bytes_per_day, caller.bytes_left),
        )
        for what, limit, left in days:
            if limit is not None and left is not None:
                policies.append(f'"{what}";q={limit};w={DAY_S}')
                states.append(f'"{what}";r={max(0, left)};t={seconds_to_midnight(moment)}')
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)} if policies else {}


def seconds_to_midnight(moment: datetime) -> int:
    """Return the seconds until the next day begins (UTC), at least 1."""
    tomorrow = moment.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return max(1, math.ceil((tomorrow - moment).total_seconds()))
