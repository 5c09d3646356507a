"""How the bytes of each format become text and a title.

Text must be UTF-8, or UTF-16 or UTF-32 with its byte order mark: legacy encodings are refused, not guessed. PDF text
comes from PDFium; HTML and DOCX become Markdown through markitdown's converters, called directly, so that neither its
plugins nor its downloading of URLs are ever reached.
"""

from __future__ import annotations

import codecs
import io
import re
import threading
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any
from xml.parsers.expat import ExpatError

from memory_graph.errors import UnreadableDocument

MB = 2**20
LOOK_CHARS = 100_000  # where a Markdown title is looked for
HEADING_CHARS = 120  # a longer heading is shortened in titles and heading paths


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """How much of a file is read.

    ``max_file_bytes``: of a file, or of one line of a ``.jsonl`` file, which may itself have any size.
    ``max_document_chars``: of a document's text. ``max_expanded_bytes``: of the unpacked text parts of a DOCX; its
    pictures are never unpacked.
    """

    max_file_bytes: int = 100 * MB
    max_document_chars: int = 20_000_000
    max_expanded_bytes: int = 64 * MB


DEFAULT_LIMITS = ReadLimits()


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A file's text; ``title`` is empty where the file names none, ``pages`` as in ``Document``."""

    text: str
    title: str = ""
    pages: tuple[int, ...] = ()


MAGIC = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"\x7fELF", "a program"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
)
BOMS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
CONTROLS = "".join(map(chr, (*range(1, 9), *range(14, 27), *range(28, 32), 127)))
MAX_CONTROL_SHARE = 0.05
_CONTROL = re.compile(f"[{re.escape(CONTROLS)}]")
_PDF_UNSTORABLE = re.compile(f"[\0\ud800-\udfff\ufffe\uffff{re.escape(CONTROLS)}]")

_PDFIUM = threading.Lock()  # PDFium keeps global state and must not be called from two threads at once
PASSWORD_ERROR = 4  # FPDF_ERR_PASSWORD

# mammoth, lxml, minidom and BeautifulSoup have no common error: on broken files they raise what their own code trips
# over. These were seen on truncated and bit-flipped files, or are named in their sources.
DOCX_ERRORS = (
    zipfile.BadZipFile, zlib.error, EOFError, OSError, ExpatError, SyntaxError, RecursionError, NotImplementedError,
    LookupError, ValueError, TypeError, AttributeError, AssertionError, RuntimeError,
)  # fmt: skip
DOCX_PARTS = re.compile(r"(?:word|docProps|_rels)/.*|\[Content_Types\]\.xml")
_ENCRYPTED_OFFICE = "EncryptedPackage".encode("utf-16-le")
_DOCTYPES = tuple("<!DOCTYPE".encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be"))
_PLAIN = {"escape_asterisks": False, "escape_underscores": False}  # the text is searched and quoted, not rendered
_DATA_IMAGE = re.compile(r"!\[([^\[\]]*)\]\(data:[^()\s]*\)")
ATX_HEADING = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
_EMPHASIS = re.compile(r"`|(?<!\w)[*_]{1,3}(?=\S)|(?<=\S)[*_]{1,3}(?!\w)")
_FIRST_LEVEL = re.compile(r"^ {0,3}#[ \t][^\n]*+$", re.MULTILINE)
_FENCED = re.compile(r"^ {0,3}(```|~~~).*?^ {0,3}\1", re.MULTILINE | re.DOTALL)
_STOPGAP_TITLE = re.compile(  # what programs leave: "Untitled-1", "Microsoft Word - a.doc", "thesis.dvi", "12_3"
    r"(?i)untitled.*|(?:document|dokument|presentation|slide)\s*\d*|microsoft (?:word|powerpoint|excel)\b.*|[\W\d_]*"
    r"|.*\.(?:docx?|pdf|tex|dvi|indd|qxd|pptx?|xlsx?|odt|rtf|txt|html?|e?ps|p65)"
)


def convert(name: str, suffix: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a file's text, in the format its suffix says; raise ``UnreadableDocument``."""
    if not data:
        raise UnreadableDocument(name, "empty", "the file is empty.")
    if suffix == ".pdf":
        return convert_pdf(name, data, limits)
    if suffix == ".docx":
        converted = convert_docx(name, data, limits)
    else:
        text = decode_text(name, data, limits)
        if suffix in (".html", ".htm"):
            converted = convert_html(name, text)
        elif suffix == ".txt":
            converted = Converted(text=text, title=find_first_line_title(text))
        else:
            converted = Converted(text=text, title=find_heading(text))
    if not converted.text.strip():
        raise UnreadableDocument(name, "empty", "holds no text.")
    return converted


def clean_text(text: str) -> str:
    r"""Return a text with every line ended by ``\n``."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def decode_text(name: str, data: bytes, limits: ReadLimits) -> str:
    """Decode a text file by its byte order mark, else as UTF-8; refuse what is not text."""
    magic = find_magic(data)
    if magic:
        raise UnreadableDocument(name, "binary", f"looks like {magic}, not text. Give it the suffix of its format.")
    mark, encoding = next(((mark, e) for mark, e in BOMS if data.startswith(mark)), (b"", "utf-8"))
    if encoding == "utf-8" and b"\0" in data:
        message = f"holds a NUL byte at offset {data.index(0):,}, so it is not text (or UTF-16 without a mark)."
        raise UnreadableDocument(name, "binary", message)
    try:
        text = clean_text(data[len(mark) :].decode(encoding))
    except UnicodeDecodeError as error:
        at = error.start + len(mark)
        label = encoding.upper().removesuffix("-LE").removesuffix("-BE")
        message = f"is not valid {label}: byte 0x{data[at]:02X} at offset {at:,}."
        raise UnreadableDocument(name, "encoding", f"{message} Convert it to UTF-8.") from None
    check_length(name, text, limits)  # of HTML too, before it is parsed at many times its size
    if "\0" in text:
        raise UnreadableDocument(name, "binary", "holds NUL characters, so it is not text.")
    if len(_CONTROL.findall(text, 0, MB)) > MAX_CONTROL_SHARE * min(len(text), MB):
        raise UnreadableDocument(name, "binary", "is full of control characters, so it is not text.")
    return text


def find_magic(data: bytes) -> str:
    """Return what a file's first bytes say it is, in words, or nothing where they could be text."""
    return next((kind for magic, kind in MAGIC if data.startswith(magic)), "")


def check_size(name: str, size: int, limits: ReadLimits) -> None:
    """Raise ``UnreadableDocument`` where a file or line has too many bytes."""
    if size > limits.max_file_bytes:
        figures = f"has {size / MB:.1f} MB; at most {limits.max_file_bytes / MB:.1f} MB are read"
        raise UnreadableDocument(name, "too_large", f"{figures}. Split it, or raise SHARPWAVE_MAX_FILE_MB.")


def check_length(name: str, text: str, limits: ReadLimits) -> None:
    """Raise ``UnreadableDocument`` where a text has too many characters."""
    if len(text) > limits.max_document_chars:
        raise _too_long(name, len(text), limits)


def _too_long(name: str, length: int, limits: ReadLimits) -> UnreadableDocument:
    figures = f"has {length / 1e6:.1f} million characters; a document may have {limits.max_document_chars / 1e6:.1f}"
    return UnreadableDocument(name, "too_large", f"{figures} million. Split it into several.")


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
                title = _read_pdf_title(document)
                for number in range(len(document)):
                    text = _read_pdf_page(document, number)
                    offsets.append(length)
                    pages.append(text)
                    length += len(text) + 2
                    if length > limits.max_document_chars:
                        raise _too_long(name, length, limits)
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


def _read_pdf_title(document: Any) -> str:
    try:
        return check_title(document.get_metadata_value("Title"))
    except UnicodeDecodeError:
        return ""


def _read_pdf_page(document: Any, number: int) -> str:
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
    return _PDF_UNSTORABLE.sub("\ufffd", clean_text(text).replace("\x02", "")).strip()


def convert_html(name: str, text: str) -> Converted:
    """Return an HTML page as Markdown, without scripts, styles and pictures that are part of the page."""
    from bs4 import BeautifulSoup
    from markitdown import StreamInfo
    from markitdown.converters import HtmlConverter

    data = _tidy_html(name, text)
    try:
        result = HtmlConverter().convert(io.BytesIO(data), StreamInfo(charset="utf-8"), strict=True, **_PLAIN)
        return _finish_markdown(result.markdown, result.title or "")
    except RecursionError:  # nested too deep for Markdown: keep the words
        soup = BeautifulSoup(data, "html.parser", from_encoding="utf-8")
        return Converted(text=soup.get_text("\n", strip=True))
    except (AssertionError, ValueError):
        raise UnreadableDocument(name, "damaged", "is not HTML that can be read.") from None


def _tidy_html(name: str, text: str) -> bytes:
    """Return a page as well-formed UTF-8 HTML without comments, scripts and styles.

    markitdown parses by Python's html.parser, which takes the square of the length on broken pages (half a minute for
    200 kB of unclosed comments); libxml2 takes milliseconds and leaves nothing broken.
    """
    from lxml import etree  # type: ignore[import-untyped]

    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True, no_network=True, huge_tree=True)
    root = etree.HTML(text.encode(), parser)
    if any(entry.level_name == "FATAL" for entry in parser.error_log):  # what lies deeper would be lost unsaid
        raise UnreadableDocument(name, "damaged", "its elements are nested too deep (over 2,000 levels).")
    if root is None:
        return b""
    etree.strip_elements(root, "script", "style", with_tail=False)
    tidy: bytes = etree.tostring(root, encoding="utf-8", method="html")
    return tidy


def convert_docx(name: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a DOCX as Markdown."""
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    if data.startswith(b"\xd0\xcf\x11\xe0"):
        if _ENCRYPTED_OFFICE in data:
            raise UnreadableDocument(name, "encrypted", "is protected by a password. Save a copy without one.")
        raise UnreadableDocument(name, "unsupported", "is an old .doc in spite of its name. Save it as .docx.")
    try:
        parts = _read_parts(name, data, limits)
        slim = io.BytesIO()
        with zipfile.ZipFile(slim, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        slim.seek(0)
        result = DocxConverter().convert(  # type: ignore[no-untyped-call]
            slim, StreamInfo(extension=".docx"), strict=True, **_PLAIN
        )
        return _finish_markdown(result.markdown, _find_core_title(parts.get("docProps/core.xml", b"")))
    except UnreadableDocument:
        raise
    except DOCX_ERRORS:
        raise UnreadableDocument(name, "damaged", "is not a DOCX, or a damaged one. Save it again.") from None


def _read_parts(name: str, data: bytes, limits: ReadLimits) -> dict[str, bytes]:
    """Unpack the text parts of a DOCX; everything else (pictures, fonts) stays packed and is left empty."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = {info.filename: info for info in archive.infolist() if DOCX_PARTS.fullmatch(info.filename)}
        texts = {part: info for part, info in infos.items() if part.endswith((".xml", ".rels"))}
        if "word/document.xml" not in texts and not any(part.startswith("word/") for part in texts):
            raise UnreadableDocument(name, "damaged", "is a ZIP archive, but not a DOCX.")
        if any(info.flag_bits & 1 for info in texts.values()):
            raise UnreadableDocument(name, "encrypted", "is protected by a password. Save a copy without one.")
        expanded = sum(info.file_size for info in texts.values())
        if expanded > limits.max_expanded_bytes:
            figures = f"unpacks to {expanded / MB:.0f} MB; at most {limits.max_expanded_bytes / MB:.0f} MB are read"
            raise UnreadableDocument(name, "too_large", f"{figures}. Split it into several.")
        parts = dict.fromkeys(infos, b"")
        for part, info in texts.items():
            with archive.open(info) as file:
                # By its declared size: read() without one would inflate whatever is there.
                parts[part] = file.read(info.file_size + 1)
            if any(
                mark in parts[part] for mark in _DOCTYPES
            ):  # no office program writes one; entities could expand without end
                raise UnreadableDocument(name, "damaged", "holds XML declarations that a DOCX must not have.")
    return parts


def _find_core_title(core: bytes) -> str:
    from xml.etree.ElementTree import ParseError, fromstring

    try:  # entities cannot occur: parts with a DOCTYPE were refused
        found = fromstring(core).findtext("{http://purl.org/dc/elements/1.1/}title")
    except (ParseError, ValueError, LookupError):
        return ""
    return check_title(found or "")


def _finish_markdown(markdown: str, title: str) -> Converted:
    text = _DATA_IMAGE.sub(r"\1", markdown)
    return Converted(text=text, title=" ".join(title.split())[:300] or find_heading(text))


def find_heading(text: str) -> str:
    """Return the first first-level Markdown heading that is not in a code block."""
    found = _FIRST_LEVEL.search(_FENCED.sub("", text[:LOOK_CHARS]))
    return clean_heading(found[0]) if found else ""


def clean_heading(block: str) -> str:
    """Return a heading's words: marks, links and emphasis removed, at most ``HEADING_CHARS`` characters."""
    words = block.strip()[:1000].split("\n")[0]
    if ATX_HEADING.match(words):
        words = words.lstrip("#").strip()
        opened = words.rstrip("#")
        words = opened if opened[-1:].isspace() or not opened else words  # "# C#" has no closing marks, "# C #" has
    words = " ".join(_EMPHASIS.sub("", _LINK.sub(r"\1", words)).split())
    return words if len(words) <= HEADING_CHARS else words[: HEADING_CHARS - 1] + "…"


def find_first_line_title(text: str) -> str:
    """Return a plain text's first line where it looks like a title: short, alone, and not a sentence."""
    lines = text[:2000].strip().split("\n")
    first = lines[0].strip()
    alone = len(lines) > 2 and not lines[1].strip()
    looks = len(first) <= 80 and first[:1].isalnum() and not first[:1].islower() and first[-1:] not in ".,;:"
    return " ".join(first.split()) if alone and looks else ""


def check_title(title: str) -> str:
    """Return a title from a file's properties, or nothing where a program left a file name or a stopgap."""
    title = " ".join(_PDF_UNSTORABLE.sub(" ", title).split())
    return "" if len(title) > 300 or _STOPGAP_TITLE.fullmatch(title) else title
