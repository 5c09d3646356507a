"""What this process counts and times, for Prometheus; docs/observability.md tells what each metric means.

Several server processes on one host share their numbers through files in a folder (prometheus_client's multiprocess
mode), so that whichever of them is asked answers for all. What ingestion workers do comes from the database, which
knows it for all hosts: see service/metrics_store.py.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from retrieval.ask import Asked
from retrieval.search import SearchRequest, SearchResult
from service import __version__
from service.metrics_folder import FOLDER_VARIABLE
from service.recent import Recent

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds: from a search of a small memory to an answer of a model on a CPU.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
# A label takes so many values, further ones are "other": no caller can make a metric grow without end.
MAX_VALUES = 64
# Asked every few seconds by machines.
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LIVE_FILE = re.compile(r"gauge_live\w+_(\d+)\.db")


class Metrics:
    """The instruments of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.recent = Recent()
        self._words: dict[str, set[str]] = {}
        count, time = self._counter, self._histogram
        self.requests = count("http_requests", "Requests by route", "method", "route", "status")
        self.request_seconds = time("http_request_seconds", "Time to the end of a response", "method", "route")
        self.in_flight = self._gauge("http_requests_in_flight", "Requests under way", "livesum")
        self.searches = count("searches", "Searches, those for questions included", "mode", "rerank")
        self.search_seconds = time("search_seconds", "Time of a search", "mode")
        self.stage_seconds = time("stage_seconds", "Time of a stage of searching or answering", "stage")
        self.answers = count("answers", "Answered questions", "strategy", "found")
        self.answer_seconds = time("answer_seconds", "Time of an answer, its search included", "strategy")
        self.fallbacks = count("fallbacks", "What happened otherwise than asked for", "part", "reason")
        self.calls = count("generator_calls", "Calls of the generator by this API", "kind", "outcome")
        self.call_seconds = time("generator_call_seconds", "Time of a call of the generator", "kind")
        self.tokens = count("generator_tokens", "Tokens read, read from a cache, and written", "kind")
        self.retries = count("generator_retries", "Calls that were tried again")
        self.generator_up = self._gauge("generator_up", "Whether the generator last answered", "livemin")
        self.breaker_open = self._gauge("generator_breaker_open", "Whether a server is left alone", "livemax", "server")
        self.view_version = self._gauge("view_version", "Version of the oldest view", "livemin", "collection")
        self.view_lag = self._gauge("view_lag_versions", "Commits that a view lacks", "livemax", "collection")
        self.view_lag_seconds = self._gauge(
            "view_lag_seconds", "Age of the first commit that a view lacks", "livemax", "collection"
        )
        self.view_bytes = self._gauge("view_bytes", "Size of views, memory maps included", "livesum", "collection")
        self.dropped = count("query_log_dropped", "Questions that were not logged")
        self.cpu_seconds = Counter("process_cpu_seconds", "Processor time of the API", registry=self.registry)
        process = {
            "process_resident_memory_bytes": "Memory of the API",
            "process_virtual_memory_bytes": "Address space of the API",
            "process_open_fds": "Open files of the API",
            "process_max_fds": "Most open files that one process may have",
        }
        self._process = {
            name: Gauge(name, said, registry=self.registry, multiprocess_mode="livemax" if "max" in name else "livesum")
            for name, said in process.items()
        }
        self.build = self._gauge("build_info", "The version that runs", "livemax", "version", "python")
        self.build.labels(__version__, platform.python_version()).set(1)
        self._tallies: dict[int, float] = {}

    def note_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        route = self._bounded("route", route, any_text=True)
        self.requests.labels(method, route, str(status)).inc()
        self.request_seconds.labels(method, route).observe(seconds)
        if route not in QUIET and not route.startswith("/admin"):
            self.recent.count("requests")
            if status >= 400:
                self.recent.count(f"status {status}")

    def note_search(self, request: SearchRequest, found: SearchResult) -> None:
        """Count a search with its stages."""
        self.searches.labels(request.mode, request.rerank or "default").inc()
        self.search_seconds.labels(request.mode).observe(found.timings_ms["total"] / 1000)
        self.recent.count("searches")
        self.recent.time("search", found.timings_ms["total"])
        for stage in found.stages:
            self._time_stage(stage.name, stage.ms)
        if found.fallback_reason:
            self._fall_back("search", found.fallback_reason)

    def note_answer(self, asked: Asked) -> None:
        """Count an answer with the stages after its search, which was counted by itself."""
        self.answers.labels(asked.strategy, str(asked.answer.found).lower()).inc()
        self.answer_seconds.labels(asked.strategy).observe(asked.timings_ms["total"] / 1000)
        self.recent.count("answers")
        self.recent.time("question", asked.timings_ms["total"])
        for stage in asked.reading:
            self._time_stage(stage.name, stage.ms)
        self._time_stage("answer", asked.answer_ms)
        if reason := asked.answer.fallback_reason or asked.reason:
            self._fall_back("answer", reason)

    def note_call(self, kind: str, outcome: str, seconds: float) -> None:
        """Count a call of the generator."""
        self.calls.labels(kind, outcome).inc()
        self.call_seconds.labels(kind).observe(seconds)
        self.recent.count("calls")
        if outcome not in ("ok", "left"):
            self.recent.count("failed calls")
        self.recent.time("generator call", seconds * 1000)

    def note_tokens(self, kind: str, count: int) -> None:
        """Count tokens that a call of the generator cost."""
        self.tokens.labels(kind).inc(count)
        self.recent.count(f"tokens {kind}", count)

    def raise_to(self, counter: Counter, total: float) -> None:
        """Raise a counter to a total that is kept elsewhere in this process."""
        before = self._tallies.get(id(counter), 0.0)
        if total > before:
            self._tallies[id(counter)] = total
            counter.inc(total - before)

    def note_process(self) -> None:
        """Read memory, processor time and open files of this process."""
        for family in ProcessCollector(registry=None).collect():
            for sample in family.samples:
                if sample.name == "process_cpu_seconds_total":
                    self.raise_to(self.cpu_seconds, sample.value)
                elif sample.name in self._process:
                    self._process[sample.name].set(sample.value)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of all server processes of this host that share a folder, or of this one alone."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is None:
            yield from self.registry.collect()
            return
        _bury(Path(folder))
        yield from MultiProcessCollector(CollectorRegistry(), path=folder).collect()  # type: ignore[no-untyped-call]

    def _time_stage(self, name: str, ms: float) -> None:
        stage = self._bounded("stage", name)
        self.stage_seconds.labels(stage).observe(ms / 1000)
        self.recent.time(f"stage {stage}", ms)

    def _fall_back(self, part: str, reason: str) -> None:
        word = self._bounded("reason", reason.partition(":")[0])
        self.fallbacks.labels(part, word).inc()
        self.recent.count(f"fallback {part} {word}")

    def _bounded(self, label: str, value: str, *, any_text: bool = False) -> str:
        known = self._words.setdefault(label, set())
        if value not in known:
            # Routes are templates, of which a program has a fixed number, more than other labels have values.
            most = 4 * MAX_VALUES if any_text else MAX_VALUES
            if len(known) >= most or not (any_text or _WORD.fullmatch(value)):
                return "other"
            known.add(value)
        return value

    def _counter(self, name: str, said: str, *labels: str) -> Counter:
        return Counter(f"sharpwave_{name}", said, labels, registry=self.registry)

    def _histogram(self, name: str, said: str, *labels: str) -> Histogram:
        return Histogram(f"sharpwave_{name}", said, labels, registry=self.registry, buckets=BUCKETS)

    def _gauge(self, name: str, said: str, mode: str, *labels: str) -> Gauge:
        # Of several processes the sum, the worst or the lowest; those that ended count no more.
        return Gauge(f"sharpwave_{name}", said, labels, registry=self.registry, multiprocess_mode=mode)  # type: ignore[arg-type]


def write_text(families: Iterator[Metric], keep: Callable[[str | None], bool]) -> bytes:
    """Return metrics as Prometheus reads them; ``keep`` says of which collections, None being what is of none."""
    return generate_latest(_Kept(families, keep))


class _Kept(Collector):
    def __init__(self, families: Iterator[Metric], keep: Callable[[str | None], bool]) -> None:
        self._families = families
        self._keep = keep

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            # When a counter began tells nothing that the start of the process does not, and doubles the series.
            family.samples = [one for one in family.samples if not one.name.endswith("_created")]
            kept = [one for one in family.samples if self._keep(one.labels.get("collection"))]
            if kept or not family.samples:
                family.samples = kept
                yield family


def _bury(folder: Path) -> None:
    """Leave out the gauges of server processes that ended without saying so."""
    for file in folder.glob("gauge_live*.db"):
        found = _LIVE_FILE.fullmatch(file.name)
        if found is not None and not Path(f"/proc/{found[1]}").exists():
            mark_process_dead(int(found[1]), path=str(folder))  # type: ignore[no-untyped-call]
