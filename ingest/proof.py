"""Proof that what was forgotten is gone: byte strings that only it had, looked for wherever something is written.

The strings are taken before the forgetting and are kept in memory alone. Those that a living document holds too are
left out, since they stay by right.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir

from ingest.scanning import BLOCK, LEAST_BYTES, Scanner, scan_files
from memory_graph.database import Database
from memory_graph.store.probing import Contents, every_value, living_values
from memory_graph.text import normalize
from retrieval.renewing import processes_mapping_removed

MAX_PROBES = 200_000
_PIECE_CHARS, _STEP_CHARS = 32, 96
_VECTOR_BYTES, _VECTOR_STEP = 16, 128


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at: how much of it, and how many of the strings were found there."""

    name: str
    looked_at: int
    found: int
    detail: str

    @property
    def ok(self) -> bool:
        return not self.found


def make_probes(contents: Contents) -> list[bytes]:
    """Return byte strings that tell of these contents: pieces of texts, names and vectors, as they may be written."""
    probes: dict[bytes, None] = {}
    for text in contents.texts:
        for piece in _pieces(text):
            probes.update(dict.fromkeys(_encodings(piece)))
    for name in sorted(contents.names):
        for piece in _pieces(name):
            probes.update(dict.fromkeys(_encodings(piece)))
        probes.update(dict.fromkeys(_encodings(normalize(name))))
    for vector in contents.vectors:
        for start in range(0, len(vector) - _VECTOR_BYTES + 1, _VECTOR_STEP):
            piece_of_it = vector[start : start + _VECTOR_BYTES]
            if len(set(piece_of_it)) >= _VECTOR_BYTES // 2:  # rows of zeros tell of nothing
                probes[piece_of_it] = None
    long_enough = [probe for probe in probes if len(probe) >= LEAST_BYTES]
    if len(long_enough) > MAX_PROBES:  # evenly over all of it
        long_enough = [long_enough[at * len(long_enough) // MAX_PROBES] for at in range(MAX_PROBES)]
    return long_enough


def without_living(database: Database, probes: Sequence[bytes]) -> list[bytes]:
    """Return those strings that no living document of any collection holds."""
    scanner, living = Scanner(probes), set[int]()
    with database.read() as connection:
        for data in _joined(living_values(connection)):
            living |= scanner.find(data)
    return [probe for number, probe in enumerate(probes) if number not in living]


def check_rows(database: Database, scanner: Scanner) -> Check:
    """Look into every row of every table."""
    found: dict[str, set[int]] = {}
    count = 0
    with database.read() as connection:
        for table, data in every_value(connection):
            count += 1
            if hits := scanner.find(data):
                found.setdefault(table, set()).update(hits)
    where = ", ".join(f"{table} ({len(hits)})" for table, hits in found.items())
    total = len(set().union(*found.values()))
    return Check(name="rows", looked_at=count, found=total, detail=f"found in {where}" if where else "values of rows")


def check_files(database: Database, folders: Sequence[Path], scanner: Scanner) -> Check:
    """Look into the bytes of the database's files, of everything in these folders, and of reports of faults."""
    scanned = scan_files(_files(database, folders), scanner)
    places = [f"{path} ({len(one.found)})" for path, one in scanned.items() if one.found]
    detail = f"found in {', '.join(places)}" if places else f"bytes of {len(scanned)} files"
    found = set().union(*(one.found for one in scanned.values()))
    return Check(name="files", looked_at=sum(one.size for one in scanned.values()), found=len(found), detail=detail)


def check_readers(views_dir: Path) -> Check:
    """Look for processes that still map views which are removed."""
    processes = processes_mapping_removed(views_dir)
    if processes is None:
        return Check(name="readers", looked_at=0, found=0, detail="this system does not tell who maps removed files")
    who = f"mapped by process {', '.join(map(str, processes))}" if processes else "no process maps a removed view"
    return Check(name="readers", looked_at=len(processes), found=len(processes), detail=who)


def out_of_reach(database: Database) -> list[str]:
    """Return what this program writes nothing to and cannot look into, though copies may be there."""
    server = [] if database.is_sqlite else ["the server's files, its log (WAL), archives of it and its replicas"]
    return [
        *server,
        "backups, exports and copies of the data folder",
        "the files that were ingested",
        "free blocks and snapshots of the file system, and swap",
        "logs and caches of model servers, proxies and applications that asked",
    ]


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= _PIECE_CHARS + _PIECE_CHARS // 2:
        yield text
        return
    yield from (text[at : at + _PIECE_CHARS] for at in range(0, len(text) - _PIECE_CHARS, _STEP_CHARS))
    yield text[-_PIECE_CHARS:]


def _encodings(text: str) -> Iterator[bytes]:
    yield text.encode("utf-8", "surrogatepass")
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")


def _joined(values: Iterable[bytes]) -> Iterator[bytes]:
    """Join small values into blocks: a scan of each alone would cost more than the bytes in it."""
    block: list[bytes] = []
    size = 0
    for value in values:
        block.append(value)
        size += len(value) + 1
        if size >= BLOCK:
            yield b"\n".join(block)
            block, size = [], 0
    yield b"\n".join(block)


def _files(database: Database, folders: Sequence[Path]) -> list[Path]:
    found = {path for folder in folders if folder.is_dir() for path in folder.rglob("*") if path.is_file()}
    if database.path is not None:
        found |= set(database.path.parent.glob(f"{database.path.name}*"))
    found |= set(Path(gettempdir()).glob("sharpwave-fault-*"))
    return sorted(found)
