"""What the stages of one request saw and did, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from retrieval import tracing


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one stage saw and did."""

    name: str
    ms: float
    detail: Mapping[str, Any] = field(default_factory=dict)


class Stages:
    """Collects the stages of one request."""

    def __init__(self) -> None:
        self.done: list[Stage] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[dict[str, Any]]:
        """Time a block; what it puts into the dict becomes the stage's detail."""
        detail: dict[str, Any] = {}
        start = time.perf_counter()
        with tracing.span(f"stage {name}"):
            yield detail
        self.done.append(Stage(name=name, ms=(time.perf_counter() - start) * 1000, detail=detail))
