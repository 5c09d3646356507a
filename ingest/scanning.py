"""Many byte strings looked for at once, in memory and in files.

Files are read by a process of its own: a process that opens and closes a file of SQLite's loses the locks that its
connections hold on it, and others may then cut the file off under it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memory_graph.errors import SharpwaveError

# Shorter strings would stand in foreign bytes by chance.
LEAST_BYTES = 6
BLOCK = 4 * 2**20
_TABLE_BITS = 24
_MIX = np.uint32(2_654_435_761)


@dataclass(frozen=True, kw_only=True)
class Scanned:
    """A file that was read: which strings stand in it, by number, and its bytes."""

    found: set[int]
    size: int


class Scanner:
    """Finds which of many byte strings, of six bytes at least, stand in some data."""

    def __init__(self, probes: Sequence[bytes]) -> None:
        self.probes = probes
        self._by_start: dict[bytes, list[int]] = {}
        for number, probe in enumerate(probes):
            self._by_start.setdefault(probe[:LEAST_BYTES], []).append(number)
        self._table = np.zeros(2**_TABLE_BITS, dtype=bool)
        starts = np.frombuffer(b"".join(start[:4] for start in self._by_start), dtype="<u4")
        self._table[_place(starts)] = True

    @property
    def longest(self) -> int:
        """Bytes of the longest string."""
        return max((len(probe) for probe in self.probes), default=0)

    def find(self, data: bytes) -> set[int]:
        """Return the numbers of the strings that stand in ``data``."""
        found: set[int] = set()
        for shift in range(min(4, max(len(data) - 3, 0))):
            count = (len(data) - shift) // 4
            heads = np.frombuffer(data, dtype="<u4", count=count, offset=shift)
            for at in (np.flatnonzero(self._table[_place(heads)]) * 4 + shift).tolist():
                for number in self._by_start.get(data[at : at + LEAST_BYTES], ()):
                    if data.startswith(self.probes[number], at):
                        found.add(number)
        return found

    def find_in_file(self, path: Path) -> Scanned:
        """Return what stands in a file, which must not be one that this process has open as a database."""
        found: set[int] = set()
        size, kept = 0, b""
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                size += len(block)
                data = kept + block
                found |= self.find(data)
                kept = data[-self.longest :]
        return Scanned(found=found, size=size)


def scan_files(paths: Sequence[Path], scanner: Scanner) -> dict[Path, Scanned]:
    """Look into files, in a process of its own; those that are gone are left out.

    Errors: ``SharpwaveError`` where one cannot be read.
    """
    # Through a pipe, never a file: the strings are what is to be forgotten.
    order = {"probes": [probe.hex() for probe in scanner.probes], "paths": [str(path) for path in paths]}
    done = subprocess.run(
        [sys.executable, "-m", __name__], input=json.dumps(order), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SharpwaveError(f"files cannot be looked into: {done.stderr.strip().splitlines()[-1:]}")
    return {Path(path): Scanned(found=set(found), size=size) for path, (found, size) in json.loads(done.stdout).items()}


def _place(heads: NDArray[np.uint32]) -> NDArray[np.uint32]:
    placed: NDArray[np.uint32] = (heads * _MIX) >> np.uint32(32 - _TABLE_BITS)
    return placed


def _main() -> None:
    order = json.load(sys.stdin)
    scanner = Scanner([bytes.fromhex(probe) for probe in order["probes"]])
    scanned = {}
    for path in order["paths"]:
        try:
            one = scanner.find_in_file(Path(path))
        except FileNotFoundError:  # replaced meanwhile
            continue
        scanned[path] = sorted(one.found), one.size
    json.dump(scanned, sys.stdout)


if __name__ == "__main__":
    _main()
