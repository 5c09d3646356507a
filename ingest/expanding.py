"""One file into its documents, with the files in it: members of an archive, attachments of a message."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Set
from pathlib import PurePath
from typing import TypeAlias

from ingest.files import SUFFIXES, suffix_of
from ingest.formats import convert
from ingest.formats.archives import ARCHIVE_SETTING, list_members
from ingest.formats.archives import SUFFIXES as ARCHIVES
from ingest.formats.limits import ReadLimits, check_expanded, check_length, check_size
from ingest.formats.mail import read_mail
from ingest.lines import read_json, read_lines
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

Begun: TypeAlias = Callable[[str], None]
INNER = "!/"  # between an archive's name or id and a path in it
_HIDDEN = (".", "__MACOSX")


class Expander:
    """Reads one given file of ``size`` bytes, and counts what is unpacked of it."""

    def __init__(
        self, limits: ReadLimits, size: int, *, begun: Begun | None = None, skip: Set[str] = frozenset()
    ) -> None:
        self._limits = limits
        self._size = size
        self._begun = begun or _tell_nobody
        self._skip = skip
        self._unpacked = self._members = 0

    def read(
        self, name: str, data: bytes, id: str, source: str, depth: int = 0
    ) -> Iterator[Document | UnreadableDocument]:
        """Yield the documents of a file, or why it cannot be read."""
        suffix = suffix_of(name)
        try:
            if suffix not in SUFFIXES:
                kind = f"{suffix} files are" if suffix else "files without a suffix are"
                raise UnreadableDocument(name, "unsupported", f"{kind} not read. Known suffixes: {' '.join(SUFFIXES)}.")
            check_size(name, len(data) if depth else self._size, self._limits)
            if suffix == ".jsonl":
                yield from read_lines(name, io.BytesIO(data), source, self._limits)
            elif suffix == ".json" and data:
                yield from read_json(name, data, id, title_of(name), source, self._limits)
            elif suffix == ".eml" and data:
                yield from self._read_mail(name, data, id, source, depth)
            elif suffix in ARCHIVES and data:
                yield from self._read_archive(name, data, id, source, depth)
            else:
                converted = convert(name, suffix, data, self._limits)
                check_length(name, len(converted.text), self._limits)
                yield Document(
                    id=id,
                    text=converted.text,
                    title=converted.title or title_of(name),
                    source=source,
                    pages=converted.pages,
                    metadata=converted.metadata,
                )
        except UnreadableDocument as error:
            yield error

    def spend(self, name: str, size: int) -> None:
        """Count what was unpacked; errors: ``UnreadableDocument`` under ``name`` once it is too much."""
        self._unpacked += size
        limit = self._limits.max_archive_bytes
        check_expanded(name, self._unpacked, self._size, limit, self._limits, ARCHIVE_SETTING)

    def _read_archive(
        self, name: str, data: bytes, id: str, source: str, depth: int
    ) -> Iterator[Document | UnreadableDocument]:
        self._check_depth(name, depth)
        found = False
        for member in list_members(name, data, _is_wanted, self, self._limits):
            found = True
            if isinstance(member, UnreadableDocument):
                yield member
            else:
                yield from self._read_inner(name, member.path, member.data, id, source, depth)
        if not found:
            raise UnreadableDocument(name, "empty", f"holds no file of a known format ({' '.join(SUFFIXES)}).")

    def _read_mail(
        self, name: str, data: bytes, id: str, source: str, depth: int
    ) -> Iterator[Document | UnreadableDocument]:
        self._check_depth(name, depth)
        mail = read_mail(name, data, self._limits)
        if mail.text:
            yield Document(
                id=id, text=mail.text, title=mail.title or title_of(name), source=source, occurred_at=mail.sent_at
            )
        elif not mail.attachments:
            raise UnreadableDocument(name, "empty", "holds no text.")
        names: set[str] = set()
        for file_name, content in mail.attachments:
            path, number = file_name, 2
            while path in names:  # mails may well hold two of one name
                stem, dot, suffix = file_name.rpartition(".")
                path = f"{stem} ({number}).{suffix}" if dot else f"{file_name} ({number})"
                number += 1
            names.add(path)
            self.spend(name, len(content))
            yield from self._read_inner(name, path, content, id, source, depth)

    def _read_inner(
        self, name: str, path: str, data: bytes, id: str, source: str, depth: int
    ) -> Iterator[Document | UnreadableDocument]:
        inner = f"{name}{INNER}{path}"
        self._members += 1
        if self._members > self._limits.max_members:
            message = f"holds over {self._limits.max_members:,} files. Split it, or raise SHARPWAVE_MAX_ARCHIVE_FILES."
            raise UnreadableDocument(name, "too_large", message)
        if inner in self._skip:
            return
        self._begun(inner)
        yield from self.read(inner, data, f"{id}{INNER}{path}", f"{source}{INNER}{path}", depth + 1)
        self._begun(name)

    def _check_depth(self, name: str, depth: int) -> None:
        limit = self._limits.max_nesting
        if depth >= limit:
            message = (
                f"lies in {depth} archives or messages that lie in each other; more than {limit} levels are not read"
            )
            raise UnreadableDocument(name, "too_large", f"{message}. Unpack it, or raise SHARPWAVE_MAX_ARCHIVE_DEPTH.")


def title_of(name: str) -> str:
    """Return a title made of a file's name."""
    return " ".join(PurePath(name).stem.replace("_", " ").replace("-", " ").split())


def _is_wanted(path: str) -> bool:
    """Say whether a member is read: as in folders, hidden files and those of other formats are passed over."""
    hidden = any(
        part.startswith(_HIDDEN) and part != ".." for part in path.replace("\\", "/").split("/") if part != "."
    )
    return not hidden and suffix_of(path) in SUFFIXES


def _tell_nobody(_: str) -> None:
    pass
