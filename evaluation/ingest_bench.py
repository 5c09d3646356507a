"""How fast ingestion is, beside its stages alone in the same run on the same texts."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from evaluation.memory import learn_items
from evaluation.resident import resident_mb
from ingest.batch import phrase_keys
from ingest.extraction import Extractor
from ingest.jobs import file_items
from ingest.pipeline import Learner
from ingest.readers import read_file
from ingest.splitter import Splitter
from memory_graph.database import Database
from memory_graph.errors import UnreadableDocument
from memory_graph.store.collections import get_collection
from memory_graph.store.jobs import Job
from memory_graph.store.phrase_vectors import count_phrase_vectors
from retrieval.embedder import Embedder, passage_input


@dataclass(frozen=True, kw_only=True)
class IngestReport:
    """Passages a second: of each stage alone over a sample, and of the whole pipeline over everything.

    ``embed_alone_per_s`` counts the vectors of as many names as the pipeline made for a passage. ``overhead`` is how
    much longer the pipeline took than its slowest stage alone would have, as a share of that. ``memory_mb`` is what
    this process held after each tenth of the passages, where the system says so. ``seconds`` are those that the
    pipeline's stages took; extraction runs beside the others, in its own process.
    """

    files: int
    passages: int
    sample: int
    pipeline_per_s: float
    embed_alone_per_s: float
    extract_alone_per_s: float
    split_alone_per_s: float
    total_s: float
    overhead: float
    memory_mb: list[float | None]
    seconds: dict[str, float]
    deciles_per_s: list[float]

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes."""
        return asdict(self)


def bench_ingest(
    database: Database,
    learner: Learner,
    embedder: Embedder,
    extractor: Extractor,
    splitter: Splitter,
    files: Sequence[Path],
    *,
    sample: int = 512,
    progress: Callable[[Job], None] | None = None,
) -> IngestReport:
    """Measure the stages one after the other on ``sample`` passages spread over ``files``, then the whole pipeline."""
    documents = []
    for path in files:
        documents += [document for document in read_file(path) if not isinstance(document, UnreadableDocument)]
    start = time.perf_counter()
    split = [(document, passage) for document in documents for passage in splitter.split(document)]
    split_s = time.perf_counter() - start
    step = max(1, len(split) // sample)
    chosen = split[::step][:sample]
    embedder.encode(["warm up"])
    embed_s = _time(lambda: embedder.encode([passage_input(d.title, p.heading, p.text) for d, p in chosen]))
    extractor.extract(["Warm up."])
    start = time.perf_counter()
    found = extractor.extract([passage.text for _, passage in chosen])
    extract_s = time.perf_counter() - start
    names = phrase_keys([], found)
    name_s = _time(lambda: embedder.encode(names)) / max(1, len(names))
    seen: list[tuple[float, int]] = []
    memory: list[float | None] = []

    def watch(job: Job) -> None:
        seen.append((time.perf_counter(), job.passages))
        memory.append(resident_mb())
        if progress is not None:
            progress(job)

    start = time.perf_counter()
    seen.append((start, 0))
    job = learn_items(database, learner, "bench", file_items(files), split="recursive", progress=watch)
    total_s = time.perf_counter() - start
    with database.read() as connection:
        n_names = count_phrase_vectors(connection, get_collection(connection, "bench").id)
    passages = max(1, job.passages)
    embed_per_s = 1 / (embed_s / len(chosen) + name_s * n_names / passages)
    extract_per_s = len(chosen) / extract_s
    tenths = [bisect_left([done for _, done in seen[1:]], passages * tenth / 10) for tenth in range(1, 11)]
    return IngestReport(
        files=len(files),
        passages=job.passages,
        sample=len(chosen),
        pipeline_per_s=job.passages / total_s,
        embed_alone_per_s=embed_per_s,
        extract_alone_per_s=extract_per_s,
        split_alone_per_s=len(split) / split_s,
        total_s=total_s,
        overhead=total_s * min(embed_per_s, extract_per_s) / passages - 1,
        memory_mb=[memory[min(place, len(memory) - 1)] for place in tenths],
        seconds=dict(job.seconds),
        deciles_per_s=_deciles(seen, job.passages),
    )


def _time(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _deciles(seen: Sequence[tuple[float, int]], total: int) -> list[float]:
    """Return the rate over each tenth of the passages, at the commits that are nearest to its borders."""
    borders = [min(seen, key=lambda one: abs(one[1] - total * tenth / 10)) for tenth in range(11)]
    return [
        (after[1] - before[1]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
        for before, after in pairwise(borders)
    ]
