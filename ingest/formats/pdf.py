"""PDF: the text layer page by page, read by PDFium."""

from __future__ import annotations

import threading
from typing import Any

from ingest.formats.converted import Converted
from ingest.formats.encodings import clean_text
from ingest.formats.limits import ReadLimits, check_length, check_pages
from ingest.formats.titles import UNSTORABLE, check_title
from memory_graph.errors import UnreadableDocument

_PDFIUM = threading.Lock()  # PDFium keeps global state and must not be called from two threads at once
PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD


def convert_pdf(name: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return the text of a PDF page by page, pages parted by a blank line."""
    import pypdfium2  # type: ignore[import-untyped]

    pages: list[str] = []
    offsets: list[int] = []
    length = 0
    try:
        with _PDFIUM:
            document = pypdfium2.PdfDocument(data)
            try:
                title = _read_title(document)
                check_pages(name, len(document), limits)
                for number in range(len(document)):
                    text = _read_page(document, number)
                    offsets.append(length)
                    pages.append(text)
                    length += len(text) + 2
                    check_length(name, length, limits)
            finally:
                document.close()
    except pypdfium2.PdfiumError as error:
        if error.err_code == PASSWORD_ERROR:
            message = "is protected by a password. Save a copy without one."
            raise UnreadableDocument(name, "encrypted", message) from None
        raise UnreadableDocument(name, "damaged", "is not a PDF, or a damaged one. Save it again.") from None
    whole = "\n\n".join(pages)
    if not whole.strip():
        message = "has no text layer: it holds only pictures of pages. Run text recognition (OCR) on it first."
        raise UnreadableDocument(name, "empty", message)
    if whole.count("\ufffd") * 2 > len(whole) - sum(map(str.isspace, whole)):
        raise UnreadableDocument(name, "damaged", "its fonts do not say which letters they show. Run OCR on it.")
    return Converted(text=whole, title=title, pages=tuple(offsets))


def _read_title(document: Any) -> str:
    try:
        return check_title(document.get_metadata_value("Title"))
    except UnicodeDecodeError:
        return ""


def _read_page(document: Any, number: int) -> str:
    page = document[number]
    try:
        textpage = page.get_textpage()
        try:
            text: str = textpage.get_text_bounded()
        finally:
            textpage.close()
    finally:
        page.close()
    # PDFium marks a hyphen that parts a word at the end of a line by U+0002 and joins the lines itself.
    return UNSTORABLE.sub("\ufffd", clean_text(text).replace("\x02", "")).strip()
