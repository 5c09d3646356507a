"""What the pipeline asks of whatever finds names and facts: passages in, one finding for each."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from memory_graph.types import Extraction


@dataclass(frozen=True, kw_only=True)
class PassageText:
    """What may be read of a passage; ``document`` is the id of the one that it is of."""

    document: str
    title: str
    heading: str
    text: str


@dataclass(frozen=True, kw_only=True)
class NotExtracted:
    """Nothing could be found out about a passage: its document is not learned, and fails with this reason."""

    reason: str
    error: str


Finding: TypeAlias = Extraction | NotExtracted
Wanted: TypeAlias = Mapping[str, PassageText]
"""Passages by the hash of what they embed, each once."""


class ExtractionRun(Protocol):
    """The extraction of one run of a job."""

    @property
    def made_by(self) -> str:
        """What decides what is found in a text: equal for two runs that find the same; empty where not known yet."""
        ...

    def submit(self, wanted: Wanted) -> Future[Any]:
        """Begin with passages and return at once."""
        ...

    def collect(self, wanted: Wanted, future: Future[Any]) -> tuple[dict[str, Finding], float]:
        """Wait for what ``submit`` began: one finding a passage, and the seconds that it took.

        Errors: ``BudgetSpent``, ``GeneratorError`` where the job has to stop.
        """
        ...

    def end(self) -> None:
        """Begin nothing more: what was submitted is not wanted any longer."""
        ...


class JobExtractor(Protocol):
    """Opens the extraction of a job."""

    def begin(self, job_id: str, collection_id: int) -> ExtractionRun:
        """Begin a run of a job, or go on with it after it broke off."""
        ...

    def close(self) -> None:
        """End what it keeps between jobs; what runs is waited for."""
        ...
