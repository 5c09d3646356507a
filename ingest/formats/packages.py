"""Office files and books are ZIP archives of XML parts: which of them are unpacked, measured before they are."""

from __future__ import annotations

import io
import re
import zipfile
from typing import Any

from ingest.formats.limits import ReadLimits, check_expanded
from ingest.formats.titles import check_title
from memory_graph.errors import UnreadableDocument

EXPANDED_SETTING = "SHARPWAVE_MAX_UNPACKED_MB"
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")
_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_ENTITIES = tuple("<!ENTITY".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def refuse_old_office(name: str, data: bytes, old: str, new: str) -> None:
    """Raise ``UnreadableDocument`` for the container of old Office files, which also wraps encrypted new ones."""
    if data.startswith(_OLD_OFFICE):
        if _ENCRYPTED_OFFICE in data:
            raise UnreadableDocument(name, "encrypted", "is protected by a password. Save a copy without one.")
        raise UnreadableDocument(name, "unsupported", f"is an old {old} in spite of its name. Save it as {new}.")


def read_parts(
    name: str, data: bytes, wanted: re.Pattern[str], texts: tuple[str, ...], kind: str, limits: ReadLimits
) -> dict[str, bytes]:
    """Unpack the ``wanted`` parts whose names end with one of ``texts``; the others (pictures) are left empty.

    Errors: ``UnreadableDocument`` for parts that are encrypted, too large or declare entities; and zipfile's own.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = {info.filename: info for info in archive.infolist() if wanted.fullmatch(info.filename)}
        read = {part: info for part, info in infos.items() if part.lower().endswith(texts)}
        if any(info.flag_bits & 1 for info in read.values()):
            raise UnreadableDocument(name, "encrypted", "is protected by a password. Save a copy without one.")
        expanded = sum(info.file_size for info in read.values())
        check_expanded(name, expanded, len(data), limits.max_expanded_bytes, limits, EXPANDED_SETTING)
        parts = dict.fromkeys(infos, b"")
        for part, info in read.items():
            with archive.open(info) as file:
                # By its declared size: read() without one would inflate whatever is there.
                parts[part] = file.read(info.file_size + 1)
            # No office program declares entities, which could expand without end; books have a plain DOCTYPE.
            marks = _ENTITIES if kind == "an EPUB" else _DOCTYPES
            if any(mark in parts[part] for mark in marks):
                raise UnreadableDocument(name, "damaged", f"holds XML declarations that {kind} must not have.")
    return parts


def parse_xml(data: bytes) -> Any:
    """Return the root of an XML part, nothing resolved and nothing fetched; raises ``lxml.etree.XMLSyntaxError``."""
    from lxml import etree  # type: ignore[import-untyped]

    return etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))


def find_core_title(core: bytes) -> str:
    """Return the title among an office file's properties, or nothing."""
    if not core:
        return ""
    try:
        found = parse_xml(core).findtext("{http://purl.org/dc/elements/1.1/}title")
    except (SyntaxError, ValueError, LookupError):  # a broken property is no reason to refuse the text
        return ""
    return check_title(found or "")
