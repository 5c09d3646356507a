"""How often a key may ask: a token bucket a key, and the headers that tell a client where it stands.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

from service.access import Caller
from service.buckets import MINUTE_S, Buckets

DAY_S = 86_400


class Rates:
    """The buckets of the keys that have a limit; used from the event loop alone.

    With a ``file`` they are those of all processes of this host that have it open.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._buckets = Buckets(file, clock)

    def take(self, caller: Caller) -> float:
        """Count a request; return 0, or the seconds that its key has to wait."""
        limit = caller.requests_per_minute
        return self._buckets.take(caller.id, limit) if limit is not None else 0.0

    def headers(self, caller: Caller, moment: datetime) -> dict[str, str]:
        """Return the headers of a response to this key; none where it has no limit."""
        policies, states = [], []
        if (limit := caller.requests_per_minute) is not None:
            level = self._buckets.level(caller.id, limit)
            policies.append(f'"requests";q={limit};w={MINUTE_S}')
            states.append(f'"requests";r={int(level)};t={math.ceil((limit - level) * MINUTE_S / limit)}')
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
