"""How much of a file is read, and the errors that say that there was more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memory_graph.errors import UnreadableDocument

MB = 2**20
# Small files may repeat themselves as they like: what they unpack to is small as well.
RATIO_COUNTS_FROM = 16 * MB


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """How much of a file is read.

    ``max_file_bytes``: of a file, of one in an archive, or of one line of a ``.jsonl`` file, which may itself have any
    size. ``max_document_chars``: of a document's text. ``max_pages``: of a PDF, slides of a presentation, sheets of a
    workbook, chapters of a book. ``max_expanded_bytes``: what the text parts of an office file or book unpack to; their
    pictures stay packed. ``max_archive_bytes``: what an archive unpacks to with all archives in it. ``max_ratio``: how
    many times its own size a file may unpack to, from 16 MB on. ``max_members``: files in an archive with all archives
    in it. ``max_nesting``: archives and messages in each other. ``max_cells``: of the rectangle that a sheet's cells
    span. ``max_seconds``: wall-clock time of one file, or one in an archive. ``max_memory_bytes``: what the child that
    reads may take beyond its own size.
    """

    max_file_bytes: int = 100 * MB
    max_document_chars: int = 20_000_000
    max_pages: int = 5_000
    max_expanded_bytes: int = 64 * MB
    max_archive_bytes: int = 1024 * MB
    max_ratio: int = 200
    max_members: int = 10_000
    max_nesting: int = 3
    max_cells: int = 5_000_000
    max_seconds: float = 120.0
    max_memory_bytes: int = 2048 * MB


DEFAULT_LIMITS = ReadLimits()


def check_size(name: str, size: int, limits: ReadLimits) -> None:
    """Raise ``UnreadableDocument`` where a file or line has too many bytes."""
    if size > limits.max_file_bytes:
        figures = f"has {size / MB:.1f} MB; at most {limits.max_file_bytes / MB:.1f} MB are read"
        raise UnreadableDocument(name, "too_large", f"{figures}. Split it, or raise SHARPWAVE_MAX_FILE_MB.")


def check_length(name: str, length: int, limits: ReadLimits) -> None:
    """Raise ``UnreadableDocument`` where a text has too many characters."""
    if length > limits.max_document_chars:
        figures = (
            f"has {length / 1e6:.1f} million characters; a document may have {limits.max_document_chars / 1e6:.1f}"
        )
        raise UnreadableDocument(name, "too_large", f"{figures} million. Split it into several.")


def check_pages(name: str, pages: int, limits: ReadLimits, kind: str = "pages") -> None:
    """Raise ``UnreadableDocument`` where a document has too many pages, slides, sheets or chapters."""
    if pages > limits.max_pages:
        figures = f"has {pages:,} {kind}; at most {limits.max_pages:,} are read"
        raise UnreadableDocument(name, "too_large", f"{figures}. Split it, or raise SHARPWAVE_MAX_FILE_PAGES.")


def check_expanded(name: str, expanded: int, packed: int, limit: int, limits: ReadLimits, setting: str) -> None:
    """Raise ``UnreadableDocument`` where a file unpacks to too many bytes, or to too many times its own size."""
    if expanded > limit:
        figures = f"unpacks to {expanded / MB:.0f} MB or more; at most {limit / MB:.0f} MB are read"
        raise UnreadableDocument(name, "too_large", f"{figures}. Split it into several, or raise {setting}.")
    if expanded > RATIO_COUNTS_FROM and expanded > limits.max_ratio * packed:
        figures = f"unpacks to over {limits.max_ratio} times its own size ({expanded / MB:.0f} MB)"
        message = (
            f"{figures}, as archives made to fill memories do. If it is sound, raise SHARPWAVE_MAX_UNPACKED_RATIO."
        )
        raise UnreadableDocument(name, "too_large", message)


def join_blocks(name: str, blocks: Iterable[str], limits: ReadLimits) -> str:
    """Return blocks parted by blank lines; raise ``UnreadableDocument`` as soon as they are too long together."""
    found: list[str] = []
    length = 0
    for block in blocks:
        if block:
            found.append(block)
            length += len(block) + 2
            check_length(name, length, limits)
    return "\n\n".join(found)
