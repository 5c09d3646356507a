"""How a running service holds under concurrent searches: alone, crowded, overloaded, and while it learns."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from evaluation.load_generator import Load, Outcome, finish_load, start_load

_WARM_S = 5.0
_OVERLOAD = 10.0  # times what it can take


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One load and how it was borne; milliseconds are those of answers with status 200, none where there were none.

    ``resident_mb`` are those of the service at its end.
    """

    name: str
    clients: int
    offered_per_s: float
    seconds: float
    answered: int
    refused: int
    errors: int
    answered_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    refused_p99_ms: float | None
    over_work_ms: float | None
    """The median of what an answer took beyond the search itself: HTTP, JSON, and waiting."""
    resident_mb: float


@dataclass(frozen=True, kw_only=True)
class Target:
    """The service that is measured: where it is searched, its process, and how it is made to learn and to stop.

    ``learn`` begins to learn and returns what ends it.
    """

    url: str
    pid: int
    learn: Callable[[], Callable[[], None]] | None = None
    key: str = ""


def bench_serving(
    target: Target,
    questions: Sequence[str],
    *,
    clients: int,
    seconds: float,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Phase]:
    """Measure phase after phase; the first load warms up and is not told."""
    bodies = [json.dumps({"query": question}) for question in questions]
    asked = 0

    def measure(name: str, seconds: float, clients: int = 1, per_s: float = 0.0) -> Phase:
        nonlocal asked
        progress(f"{name}, {seconds:.0f} s")
        turned = bodies[asked:] + bodies[:asked]  # a question comes again only when all others have been asked
        load = Load(url=target.url, bodies=turned, seconds=seconds, clients=clients, per_s=per_s, key=target.key)
        outcome = finish_load(start_load(load))
        asked = (asked + sum(map(len, outcome.spent_ms.values()))) % len(bodies)
        return _tell(name, load, outcome, _resident_mb(target.pid))

    measure("warming up", min(_WARM_S, seconds), clients)
    part = max(seconds / 3, 1.0)
    phases = [measure("one client", part), measure("crowded", seconds, clients)]
    offered = max(_OVERLOAD * phases[1].answered_per_s, 1.0)
    phases.append(measure("overloaded", seconds / 2, clients, offered))
    phases.append(measure("crowded again", part, clients))
    phases.append(measure("one client again", part))
    if target.learn is not None:
        stop = target.learn()
        try:
            phases.append(measure("one client while learning", part))
        finally:
            stop()
    return phases


def ratios(phases: Sequence[Phase]) -> dict[str, float | None]:
    """Return what of these figures can be compared across machines, as far as it was measured."""
    by_name = {phase.name: phase for phase in phases}
    alone, crowded, over = (by_name[name] for name in ("one client", "crowded", "overloaded"))
    quiet, learning = by_name["one client again"], by_name.get("one client while learning")
    rate = alone.answered_per_s
    return {
        "crowded / one client, answers a second": crowded.answered_per_s / rate if rate else None,
        "overloaded / crowded, answers a second": _over(over.answered_per_s, crowded.answered_per_s),
        "overloaded / crowded, 99 of 100 below": _over(over.p99_ms, crowded.p99_ms),
        "overloaded / crowded, resident": _over(over.resident_mb, crowded.resident_mb),
        "learning / quiet, 95 of 100 below": _over(learning.p95_ms if learning else None, quiet.p95_ms),
    }


def to_json(phases: Sequence[Phase]) -> dict[str, Any]:
    """Return the figures as JSON."""
    return {"phases": [asdict(phase) for phase in phases], "ratios": ratios(phases)}


def _over(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _tell(name: str, load: Load, outcome: Outcome, resident_mb: float) -> Phase:
    good, refused = outcome.spent_ms.get("200", []), outcome.spent_ms.get("429", [])
    beyond = [spent - worked for spent, worked in zip(good, outcome.worked_ms, strict=True)]
    p50, p95, p99 = (float(np.percentile(good, share)) if good else None for share in (50, 95, 99))
    return Phase(
        name=name,
        clients=load.clients,
        offered_per_s=load.per_s,
        seconds=outcome.seconds,
        answered=len(good),
        refused=len(refused),
        errors=sum(len(some) for status, some in outcome.spent_ms.items() if status not in ("200", "429")),
        answered_per_s=len(good) / outcome.seconds,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        refused_p99_ms=float(np.percentile(refused, 99)) if refused else None,
        over_work_ms=median(beyond) if beyond else None,
        resident_mb=resident_mb,
    )


def _resident_mb(pid: int) -> float:
    """Return what a process and those that it started hold: a service is a process beside the one that watches it."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    own = int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) * 1024 / 1e6
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return own + sum(_resident_mb(int(one)) for one in started)
