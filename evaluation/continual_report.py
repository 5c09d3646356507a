"""What a continual evaluation found, as values and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evaluation.continual import ContinualScores, Scores
from evaluation.metrics import Estimate
from evaluation.reads import Availability


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one commit taught; ``versions`` are the transactions that it took."""

    documents: int
    passages: int
    questions: int
    versions: int
    failed: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class WayReport:
    """One way of searching: recall by k, as a matrix and pooled; metrics after each commit, and the reads beside it."""

    way: str
    scores: Mapping[int, Scores]
    pooled: Mapping[int, Sequence[Estimate | None]]
    metrics: Mapping[int, Sequence[ContinualScores]]
    reads: Sequence[Availability]
    at_once: Mapping[int, Estimate | None]
    ranked_differently: int

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes, null for what is not defined."""
        return {
            "way": self.way,
            "recall": {
                str(k): {
                    "matrix": [[None if np.isnan(x) else x for x in row] for row in self.scores[k].tolist()],
                    "pooled": [estimate and asdict(estimate) for estimate in self.pooled[k]],
                    "metrics": [one.to_json() for one in self.metrics[k]],
                    "at_once": (estimate := self.at_once[k]) and asdict(estimate),
                }
                for k in self.scores
            },
            "reads": [one.to_json() for one in self.reads],
            "ranked_differently": self.ranked_differently,
        }


@dataclass(frozen=True, kw_only=True)
class ContinualReport:
    """What was learned, how each way fared, and in what the memory differs from one that learned all at once."""

    dataset: str
    order: str
    seed: int
    windows: Sequence[int]
    parts: Sequence[Part]
    ways: Sequence[WayReport]
    differences: Sequence[str]

    @property
    def equal(self) -> bool:
        """Whether both memories hold the same."""
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """Return the report as what ``json.dumps`` takes."""
        return {
            "dataset": self.dataset,
            "order": self.order,
            "commits": len(self.parts),
            "seed": self.seed,
            "parts": [asdict(part) for part in self.parts],
            "ways": [way.to_json() for way in self.ways],
            "state": {"equal": self.equal, "differences": list(self.differences), "vectors": "reused by text"},
        }
