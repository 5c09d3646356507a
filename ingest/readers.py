"""From bytes to Documents: one a file, one a line for ``.jsonl``, many for an archive.

Nothing here opens a URL, writes anything or raises on bad input: what cannot be read is yielded as an
``UnreadableDocument`` value with a stable reason, and the rest goes on. How each format becomes text is in
``ingest/formats``. All happens in this process; ``ingest/file_reader.py`` has it done by a child that may be ended.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator, Set
from pathlib import Path

from ingest.expanding import Begun, Expander
from ingest.files import NOT_UTF8, SUFFIXES, explain_os_error, find_files, show_path, suffix_of
from ingest.formats.encodings import clean_text
from ingest.formats.limits import DEFAULT_LIMITS, ReadLimits
from ingest.lines import content_id, read_lines
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

__all__ = [
    "DEFAULT_LIMITS",
    "SUFFIXES",
    "ReadLimits",
    "clean_text",
    "content_id",
    "find_files",
    "read_bytes",
    "read_file",
]


def read_file(
    path: Path, *, limits: ReadLimits = DEFAULT_LIMITS, begun: Begun | None = None, skip: Set[str] = frozenset()
) -> Iterator[Document | UnreadableDocument]:
    """Yield the documents of one file; their id is its resolved path, or each line's own for ``.jsonl``.

    ``begun`` is told the name of each file in an archive before it is read; those in ``skip`` are left out.
    """
    name = show_path(path)
    try:
        resolved = path.resolve()
        refusal = _refuse_path(resolved, name)
        if refusal:
            yield refusal
            return
        with resolved.open("rb") as file:
            if suffix_of(name) == ".jsonl":
                yield from read_lines(name, file, str(resolved), limits)
                return
            size = resolved.stat().st_size
            # One byte more than allowed, for a file that grows meanwhile.
            data = b"" if size > limits.max_file_bytes else file.read(limits.max_file_bytes + 1)
        expander = Expander(limits, max(size, len(data)), begun=begun, skip=skip)
        yield from expander.read(name, data, str(resolved), str(resolved))
    except OSError as error:
        yield explain_os_error(path, error)
    except RuntimeError:  # what resolve() raises for a loop of links before Python 3.13
        yield UnreadableDocument(name, "missing", "it is a link that leads back to itself.")


def read_bytes(
    name: str,
    data: bytes,
    *,
    limits: ReadLimits = DEFAULT_LIMITS,
    id: str | None = None,
    begun: Begun | None = None,
    skip: Set[str] = frozenset(),
) -> Iterator[Document | UnreadableDocument]:
    """Yield the documents of an uploaded file; ``id`` defaults to its name and means nothing for ``.jsonl``."""
    if suffix_of(name) == ".jsonl":
        yield from read_lines(name, io.BytesIO(data), name, limits)
    else:
        yield from Expander(limits, len(data), begun=begun, skip=skip).read(name, data, id or name, name)


def _refuse_path(path: Path, name: str) -> UnreadableDocument | None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return UnreadableDocument(name, "unsupported", "is a folder, not a file.")
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        return UnreadableDocument(name, "unsupported", "is not an ordinary file but a device, pipe or socket.")
    if show_path(path) != str(path):
        return UnreadableDocument(name, "invalid", NOT_UTF8)
    return None
