"""Nearest passages by inner product, over FAISS."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


class PassageIndex:
    """An immutable exact index over unit vectors of shape (n, dim) float32."""

    def __init__(self, vectors: Floats) -> None:
        self.vectors = vectors
        self._flat = faiss.IndexFlatIP(vectors.shape[1]) if len(vectors) else None
        if self._flat is not None:
            self._flat.add(np.ascontiguousarray(vectors))

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, query: Floats, k: int, allowed: NDArray[np.bool_] | None = None) -> tuple[Rows, Floats]:
        """Return the rows and similarities of the ``k`` nearest vectors, best first; ties go to the lower row.

        ``query`` has shape (dim,). ``allowed`` (n,) masks out rows that must not be returned.
        """
        if self._flat is None or k <= 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        if allowed is not None:
            rows = np.flatnonzero(allowed)
            similarities = self.vectors[rows] @ query
        else:
            found, indexes = self._flat.search(query[None, :].astype(np.float32), min(k, len(self)))
            rows, similarities = indexes[0], found[0]
        best = np.lexsort((rows, -similarities))[:k]
        return rows[best], similarities[best]
