"""How the bytes of each format become text and a title, one file a format.

Everything here works on bytes in memory: nothing is written, and no address is opened.
"""

from __future__ import annotations

from ingest.formats.converted import Converted
from ingest.formats.delimited import convert_csv
from ingest.formats.docx import convert_docx
from ingest.formats.encodings import GUESSED, clean_text, decode_text
from ingest.formats.epub import convert_epub
from ingest.formats.html import convert_html, find_declared_encoding
from ingest.formats.limits import DEFAULT_LIMITS, ReadLimits
from ingest.formats.pdf import convert_pdf
from ingest.formats.pptx import convert_pptx
from ingest.formats.titles import find_first_line_title, find_heading
from ingest.formats.xlsx import convert_xlsx
from memory_graph.errors import UnreadableDocument

__all__ = ["DEFAULT_LIMITS", "Converted", "ReadLimits", "clean_text", "convert"]

_BINARY = {
    ".pdf": convert_pdf, ".docx": convert_docx, ".pptx": convert_pptx, ".xlsx": convert_xlsx, ".epub": convert_epub,
}  # fmt: skip
_HTML = (".html", ".htm", ".xhtml")
_CSV = (".csv", ".tsv")


def convert(name: str, suffix: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a file's text, in the format its suffix says; raise ``UnreadableDocument``."""
    if not data:
        raise UnreadableDocument(name, "empty", "the file is empty.")
    binary = _BINARY.get(suffix)
    converted = binary(name, data, limits) if binary else _convert_text(name, suffix, data, limits)
    if not converted.text.strip():
        raise UnreadableDocument(name, "empty", "holds no text.")
    return converted


def _convert_text(name: str, suffix: str, data: bytes, limits: ReadLimits) -> Converted:
    declared = find_declared_encoding(data) if suffix in _HTML else ""
    text, guessed = decode_text(name, data, limits, declared)
    if suffix in _HTML:
        converted = convert_html(name, text)
    elif suffix in _CSV:
        converted = convert_csv(name, text, limits)
    else:
        title = find_first_line_title(text) if suffix == ".txt" else find_heading(text)
        converted = Converted(text=text, title=title)
    if not guessed:
        return converted
    return Converted(text=converted.text, title=converted.title, metadata={GUESSED: guessed})
