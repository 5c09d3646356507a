"""Which passages belong to documents that are titled by a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from memory_graph.edges import spread
from memory_graph.growing import Growing
from memory_graph.hashing import Hashes, Ints


@dataclass(frozen=True, eq=False)
class Titles:
    """The hash of each passage's title as a name (n,), 0 for none; those of settled passages in order besides.

    ``ordered`` (m,) are the settled ones that have a name, ascending, ``rows`` (m,) the passages they belong to.
    """

    names: Growing
    ordered: Hashes
    rows: NDArray[np.int32]
    n_settled: int

    @staticmethod
    def of(names: Hashes) -> Titles:
        """Return the titles of passages (n,), settled."""
        rows = np.flatnonzero(names).astype(np.int32)
        rows = rows[np.argsort(names[rows], kind="stable")]
        return Titles(Growing.of(names), names[rows], rows, len(names))

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.names.rows.nbytes + self.ordered.nbytes + self.rows.nbytes

    def extended(self, names: Hashes) -> Titles:
        """Return the titles with those of more passages (k,) behind the present ones."""
        return Titles(self.names.extended(names), self.ordered, self.rows, self.n_settled)

    def find(self, names: Hashes) -> tuple[Ints, Ints]:
        """Return pairs: the place in ``names`` (k,), distinct and not 0, and the row of a passage so titled.

        Passages that are dead are among them.
        """
        begins = np.searchsorted(self.ordered, names, side="left")
        ends = np.searchsorted(self.ordered, names, side="right")
        later = self.names.rows[self.n_settled :]
        order = np.argsort(names)
        at = np.minimum(np.searchsorted(names, later, sorter=order), max(len(names) - 1, 0))
        same = np.flatnonzero(names[order[at]] == later) if len(names) else np.zeros(0, dtype=np.int64)
        return (
            np.concatenate([np.repeat(np.arange(len(names)), ends - begins), order[at[same]]]),
            np.concatenate([self.rows[spread(begins, ends)], same + self.n_settled]).astype(np.int64),
        )

    def compacted(self, alive: NDArray[np.bool_]) -> Titles:
        """Return the titles of the rows that are ``alive`` (n,), settled, in their order."""
        return Titles.of(self.names.rows[alive])

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return settled titles as named arrays, to be saved."""
        if len(self.names) != self.n_settled:
            raise ValueError("only compacted titles can be saved")
        return {"names": self.names.rows, "ordered": self.ordered, "rows": self.rows}

    @staticmethod
    def from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Titles:
        """Return the titles that ``to_arrays`` took apart; the arrays may be memory maps."""
        names = Growing.of(arrays["names"])
        return Titles(names, arrays["ordered"], arrays["rows"], len(names))
