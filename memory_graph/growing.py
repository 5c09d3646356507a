"""Arrays that grow at their end while readers keep what they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass
class _Buffer:
    """Rows with room behind them; those before ``used`` never change again."""

    array: NDArray[Any]
    used: int


@dataclass(frozen=True)
class Growing:
    """The first ``length`` rows of a buffer that later versions share.

    A new version writes behind the last row of the newest one, so growing by k rows costs k, not the length, and an
    older version never sees it. Growing an older version copies its rows first. One thread may grow at a time; any
    number may read.
    """

    length: int
    _buffer: _Buffer = field(repr=False)

    @staticmethod
    def of(rows: NDArray[Any]) -> Growing:
        """Return a version that holds ``rows``, which must not change afterwards; they are not copied."""
        return Growing(len(rows), _Buffer(rows, len(rows)))

    @staticmethod
    def empty(dtype: DTypeLike, *shape: int) -> Growing:
        """Return a version without rows; ``shape`` is that of one row."""
        return Growing.of(np.zeros((0, *shape), dtype=dtype))

    def __len__(self) -> int:
        return self.length

    @property
    def rows(self) -> NDArray[Any]:
        """The rows (length, …), not to be written to."""
        return self._buffer.array[: self.length]

    def extended(self, rows: NDArray[Any]) -> Growing:
        """Return a version with ``rows`` (k, …) behind the present ones."""
        if not len(rows):
            return self
        total = self.length + len(rows)
        buffer = self._buffer
        if buffer.used != self.length or total > len(buffer.array):
            room = max(total + total // 4, 1024)
            array = np.empty((room, *buffer.array.shape[1:]), dtype=buffer.array.dtype)
            array[: self.length] = self.rows
            buffer = _Buffer(array, self.length)
        buffer.array[self.length : total] = rows
        buffer.used = total
        return Growing(total, buffer)
