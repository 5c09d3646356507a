"""The overview: what the memories hold, how they grew, and how the service does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from memory_graph.store.collections import Collection, list_collections
from memory_graph.store.gauges import Doing, read_doing
from memory_graph.store.growth import join_growth
from memory_graph.store.jobs import UNFINISHED, list_workers
from memory_graph.store.rows import now
from memory_graph.store.traced import read_spending
from service.access import ADMINS, Asking
from service.observed_generator import ObservedGenerator
from service.overview_schemas import (
    DiskOut,
    DiskPartOut,
    FallbackOut,
    GeneratorOut,
    GrowthOut,
    HeldOut,
    HourOut,
    InstallationOut,
    MinuteOut,
    OverviewOut,
    ProcessOut,
    SpendingOut,
    StatusCountOut,
    TimeOut,
)
from service.recent import MINUTE_S, MINUTES, Minute, quantile, sum_up
from service.services import Parts, Services, choose_collection
from service.tally import Counted
from service.usage import read_processes

router = APIRouter(prefix="/v1/overview", tags=["installation"])

MAX_COLLECTIONS = 500
MAX_HOURS = 24 * 366


@router.get("", dependencies=[ADMINS])
def overview(
    parts: Parts,
    caller: Asking,
    growth_of: Annotated[str | None, Query(description="Show the growth of this collection alone")] = None,
) -> OverviewOut:
    """Return what each collection holds, its growth, and how the service does; meant to be asked every few seconds.

    A key that is bound to collections is told of these alone.
    """
    with parts.database.read() as connection:
        chosen = choose_collection(connection, caller, growth_of)
        found = list_collections(connection, among=caller.collections)
        doing = read_doing(connection)
        workers = [(str(one["host"]), int(one["pid"])) for one in list_workers(connection)]
    shown = found[:MAX_COLLECTIONS]
    grown = [one for one in found if chosen in (None, one.id)]
    counted = parts.figures.tally.read([*shown, *(one for one in grown if one not in shown)])
    growth = None
    if all(one.id in counted for one in grown):
        growth = GrowthOut.of(join_growth(counted[one.id].growth for one in grown))
    versions = parts.views.versions()
    return OverviewOut(
        collections=[_held(one, counted.get(one.id), versions.get(one.name), doing) for one in shown],
        left_out=len(found) - len(shown),
        growth=growth,
        installation=_installation(parts, doing, workers) if caller.collections is None else None,
    )


@router.get("/tokens", dependencies=[ADMINS])
def tokens(
    parts: Parts,
    caller: Asking,
    collection: Annotated[str | None, Query(description="Only what this collection's questions and jobs cost")] = None,
    hours: Annotated[int, Query(ge=1, le=MAX_HOURS, description="How far back")] = 24,
) -> SpendingOut:
    """Return the tokens of a language model by kind of call: of the newest 1,000 answers, and of jobs."""
    parts.query_log.flush()
    with parts.database.read() as connection:
        chosen = choose_collection(connection, caller, collection)
        found = read_spending(
            connection, since=now() - timedelta(hours=hours), collection_id=chosen, among=caller.collections
        )
    return SpendingOut.of(hours, found)


def _held(one: Collection, counted: Counted | None, view_version: int | None, doing: Doing) -> HeldOut:
    counts = counted.counts if counted is not None else None
    return HeldOut(
        name=one.name,
        version=one.version,
        created_at=one.created_at,
        documents=counts.documents if counts else None,
        passages=counts.passages if counts else None,
        phrases=counts.phrases if counts else None,
        facts=counts.facts if counts else None,
        counted_version=counted.version if counted else None,
        view_version=view_version,
        view_lag=None if view_version is None else max(0, one.version - view_version),
        unfinished_jobs=sum(doing.jobs.get((one.name, state), 0) for state in UNFINISHED),
        passages_per_s=round(doing.passages_per_s.get(one.name, 0.0), 1),
    )


def _installation(parts: Services, doing: Doing, workers: Sequence[tuple[str, int]]) -> InstallationOut:
    disk = parts.figures.disk.read()
    states = {wanted: sum(n for (_, state), n in doing.jobs.items() if state == wanted) for wanted in UNFINISHED}
    processes = read_processes(parts.figures.hour.living(), workers)
    return InstallationOut(
        hour=_hour(parts),
        disk=DiskOut(
            folder=str(parts.settings.data_dir.expanduser().absolute()),
            parts=[DiskPartOut(name=name, bytes=size) for name, size in disk.parts.items()],
            free=disk.free,
            total=disk.total,
        ),
        processes=[ProcessOut.model_validate(one) for one in processes],
        queued_jobs=states["queued"],
        running_jobs=states["running"],
        purges=doing.purges,
    )


def _hour(parts: Services) -> HourOut:
    minutes = parts.figures.hour.read()
    whole = sum_up(minutes.values())
    last = parts.metrics.recent.minute
    of_stages = [(name.removeprefix("stage "), name) for name in whole.times if name.startswith("stage ")]
    return HourOut(
        minutes=[_minute(at, minutes.get(at, Minute())) for at in range(last - MINUTES + 1, last + 1)],
        search=_time("search", whole, "search"),
        question=_time("question", whole, "question"),
        stages=[time for label, name in of_stages if (time := _time(label, whole, name)) is not None],
        fallbacks=_fallbacks(whole.counts),
        refusals=sorted(
            (
                StatusCountOut(status=int(name.removeprefix("status ")), count=count)
                for name, count in whole.counts.items()
                if name.startswith("status ")
            ),
            key=lambda one: one.status,
        ),
        generator=_generator(parts, whole.counts),
    )


def _minute(at: int, minute: Minute) -> MinuteOut:
    bins = minute.times.get("search")
    statuses = [(name, n) for name, n in minute.counts.items() if name.startswith("status ")]
    return MinuteOut(
        at=datetime.fromtimestamp(at * MINUTE_S, UTC),
        requests=minute.counts["requests"],
        searches=minute.counts["searches"],
        answers=minute.counts["answers"],
        refused=minute.counts["status 429"],
        failed=sum(n for name, n in statuses if name >= "status 500"),
        search_p50_ms=quantile(bins, 0.5),
        search_p95_ms=quantile(bins, 0.95),
    )


def _time(label: str, whole: Minute, name: str) -> TimeOut | None:
    bins = whole.times.get(name)
    median, slow = quantile(bins, 0.5), quantile(bins, 0.95)
    if bins is None or median is None or slow is None:
        return None
    return TimeOut(name=label, count=int(bins.sum()), p50_ms=median, p95_ms=slow)


def _fallbacks(counts: Counter[str]) -> list[FallbackOut]:
    found = []
    for name, count in counts.items():
        if name.startswith("fallback "):
            _, part, reason = name.split(" ", 2)
            found.append(FallbackOut(part=part, reason=reason, count=count))
    return sorted(found, key=lambda one: (-one.count, one.part, one.reason))


def _generator(parts: Services, counts: Counter[str]) -> GeneratorOut:
    generator = parts.generator
    return GeneratorOut(
        name=generator.name,
        reachable=generator.reachable if isinstance(generator, ObservedGenerator) else None,
        calls=counts["calls"],
        failed=counts["failed calls"],
        prompt_tokens=counts["tokens prompt"],
        cached_tokens=counts["tokens cached"],
        completion_tokens=counts["tokens completion"],
    )
