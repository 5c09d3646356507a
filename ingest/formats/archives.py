"""ZIP and tar archives, member by member and in memory: nothing is ever unpacked to a disk."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from ingest.formats.limits import ReadLimits, check_expanded, check_size
from memory_graph.errors import UnreadableDocument

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
ARCHIVE_SETTING = "SHARPWAVE_MAX_ARCHIVE_MB"
MAX_NAME_CHARS = 500  # it becomes a part of the document's id
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, LookupError,
    AttributeError, TypeError, RuntimeError,
)  # fmt: skip
_GZIP, _BZIP2, _XZ = _COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")


class Meter(Protocol):
    """Counts what has been unpacked of a file; raises ``UnreadableDocument`` when it is enough."""

    def spend(self, name: str, size: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Member:
    """A file in an archive: its path in it, which is a label and never opened, and its content."""

    path: str
    data: bytes


def list_members(
    name: str, data: bytes, wanted: Callable[[str], bool], meter: Meter, limits: ReadLimits
) -> Iterator[Member | UnreadableDocument]:
    """Yield the members whose path is ``wanted``, in order; what is wrong with one does not stop the rest.

    Errors: ``UnreadableDocument`` for an archive that is broken, encrypted as a whole, or over a limit.
    """
    seen: set[str] = set()
    try:
        is_tar = data[257:262] == b"ustar" or data.startswith(_COMPRESSED)  # a ZIP may lie at its end
        members = _zip_members if not is_tar and zipfile.is_zipfile(io.BytesIO(data)) else _tar_members
        for path, read in members(name, data, meter, limits):
            if not wanted(path):
                continue
            label = f"{name}!/{path}"
            try:
                _check_path(label, path, seen)
                content = read()
            except UnreadableDocument as error:
                if error.name == name:
                    raise
                yield error
                continue
            yield Member(path=path, data=content)
    except _BROKEN:
        raise UnreadableDocument(name, "damaged", "is not an archive, or a damaged one. Pack it again.") from None


Found = tuple[str, Callable[[], bytes]]


def _zip_members(name: str, data: bytes, meter: Meter, limits: ReadLimits) -> Iterator[Found]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield show_name(info.filename), lambda info=info: _read_zip(name, archive, info, meter, limits)  # type: ignore[misc]


def _read_zip(name: str, archive: zipfile.ZipFile, info: zipfile.ZipInfo, meter: Meter, limits: ReadLimits) -> bytes:
    label = f"{name}!/{show_name(info.filename)}"
    if info.flag_bits & 1:
        raise UnreadableDocument(label, "encrypted", "is protected by a password. Pack it without one.")
    if (info.external_attr >> 28) == 0xA:  # a link, as packed on Unix
        raise UnreadableDocument(label, "unsupported", "is a link, not a file.")
    check_size(label, info.file_size, limits)
    check_expanded(label, info.file_size, info.compress_size, limits.max_file_bytes, limits, "SHARPWAVE_MAX_FILE_MB")
    meter.spend(name, info.file_size)
    try:
        with archive.open(info) as file:
            return file.read(info.file_size + 1)
    except NotImplementedError:
        raise UnreadableDocument(label, "unsupported", "is packed by a method that is not read.") from None
    except _BROKEN:
        raise UnreadableDocument(label, "damaged", "is damaged in the archive. Pack it again.") from None


def _tar_members(name: str, data: bytes, meter: Meter, limits: ReadLimits) -> Iterator[Found]:
    with tarfile.open(fileobj=_Metered(_decompress(data), name, meter), mode="r|", errorlevel=0) as archive:
        for info in archive:
            if not info.isdir():
                yield show_name(info.name), lambda info=info: _read_tar(name, archive, info, limits)  # type: ignore[misc]


def _decompress(data: bytes) -> BinaryIO:
    """Return the stream of an archive; by its first bytes, as suffixes are often wrong here."""
    packed = io.BytesIO(data)
    if data.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=packed))
    if data.startswith(_BZIP2):
        return cast(BinaryIO, bz2.BZ2File(packed))
    if data.startswith(_XZ):
        return cast(BinaryIO, lzma.LZMAFile(packed))
    return packed


def _read_tar(name: str, archive: tarfile.TarFile, info: tarfile.TarInfo, limits: ReadLimits) -> bytes:
    label = f"{name}!/{show_name(info.name)}"
    if info.issym() or info.islnk():
        raise UnreadableDocument(label, "unsupported", "is a link, not a file.")
    if not info.isfile() or info.issparse():
        raise UnreadableDocument(label, "unsupported", "is not an ordinary file but a device, pipe or sparse file.")
    check_size(label, info.size, limits)
    file = archive.extractfile(info)
    content = b"" if file is None else file.read(info.size)
    if len(content) < info.size:
        raise UnreadableDocument(label, "damaged", "is cut off in the archive. Pack it again.")
    return content


class _Metered(io.RawIOBase):
    """A stream that counts what is read from it, before more of it is unpacked."""

    def __init__(self, file: BinaryIO, name: str, meter: Meter) -> None:
        self._file, self._name, self._meter = file, name, meter

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._meter.spend(self._name, len(data))
        return data


def show_name(path: str) -> str:
    """Return a member's path as text that can be stored: where its bytes are no UTF-8 they are shown."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _check_path(label: str, path: str, seen: set[str]) -> None:
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or ".." in parts or path[1:2] == ":":
        raise UnreadableDocument(label, "invalid", "its path leads out of the archive. Pack it with relative paths.")
    if not path.isprintable() or len(path) > MAX_NAME_CHARS:
        message = f"its path holds control characters or is over {MAX_NAME_CHARS} characters long. Rename it."
        raise UnreadableDocument(label[: MAX_NAME_CHARS * 2], "invalid", message)
    if path in seen:
        raise UnreadableDocument(label, "invalid", "occurs in the archive more than once; the first was read.")
    seen.add(path)
