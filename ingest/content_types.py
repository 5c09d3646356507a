"""Which format a fetched document has: by its Content-Type, and where that says nothing, by its name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from ingest.files import SUFFIXES
from memory_graph.errors import UnreadableDocument

# A type whose suffix this version does not read is unsupported, as the suffix is.
SUFFIX_OF_TYPE = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "application/x-pdf": ".pdf",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "application/jsonl": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/x-ndjson": ".jsonl",
    "text/csv": ".csv",
    "application/epub+zip": ".epub",
    "application/rtf": ".rtf",
    "application/vnd.oasis.opendocument.text": ".odt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}
# What servers say of files that they know nothing about.
GENERIC_TYPES = ("", "application/octet-stream", "binary/octet-stream", "application/x-download")
TEXT_SUFFIXES = (".md", ".markdown", ".jsonl", ".csv")
UTF8 = ("", "utf-8", "utf8", "us-ascii", "ascii")
# Legacy encodings that a server may name; what pages call Latin-1 is, by the standard of the web, windows-1252.
LATIN = ("iso-8859-1", "iso8859-1", "latin1", "latin-1", "windows-1252", "cp1252")
LEGACY = re.compile(
    r"iso-8859-(?:[2-9]|1[0-6])|windows-125[0-8]|windows-874|koi8-[ru]|shift_jis|euc-(?:jp|kr)|iso-2022-jp|big5|gb18030"
    r"|gbk|gb2312|utf-(?:16|32)(?:le|be)?"
)
_TEXTS = (".txt", ".md", ".markdown", ".html", ".htm", ".jsonl", ".csv")


def choose_suffix(name: str, content_type: str, file_name: str) -> str:
    """Return the suffix that stands for a document's format. Errors: ``UnreadableDocument`` (``unsupported``)."""
    kind = content_type.partition(";")[0].strip()
    own = PurePosixPath(file_name).suffix.lower()
    if kind in GENERIC_TYPES:
        suffix = own
    elif kind == "text/plain":
        suffix = own if own in TEXT_SUFFIXES else ".txt"
    else:
        suffix = SUFFIX_OF_TYPE.get(kind, "")
    if suffix in SUFFIXES:
        return suffix
    said = f"is of the type {kind[:80]!r}, which is" if kind not in GENERIC_TYPES else f"{file_name[:80]!r} is"
    raise UnreadableDocument(name, "unsupported", f"{said} not read. Known formats: {' '.join(SUFFIXES)}.")


def to_utf8(name: str, data: bytes, content_type: str, suffix: str) -> bytes:
    """Return a text in UTF-8, from the encoding that its server names. Errors: ``UnreadableDocument``."""
    if suffix not in _TEXTS:
        return data
    found = re.search(r";\s*charset\s*=\s*\"?([^\s\";]*)", content_type)
    charset = found[1].lower() if found else ""
    if charset in UTF8:
        return data
    encoding = "windows-1252" if charset in LATIN else charset if LEGACY.fullmatch(charset) else None
    if encoding is None:
        raise UnreadableDocument(name, "encoding", f"its server calls it {charset[:40]!r}, which is no known encoding.")
    try:
        return data.decode(encoding).encode()
    except UnicodeError:  # half of a surrogate pair decodes in some encodings, and has no UTF-8
        raise UnreadableDocument(name, "encoding", f"its server calls it {charset[:40]!r}, and it is not.") from None
