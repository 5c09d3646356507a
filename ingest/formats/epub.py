"""EPUB: the chapters in the order of the spine, each read as the HTML it is (EPUB 3.3, package document)."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

from ingest.formats.converted import PARSER_ERRORS, Converted
from ingest.formats.encodings import decode_text
from ingest.formats.html import convert_html, find_declared_encoding
from ingest.formats.limits import ReadLimits, check_pages, join_blocks
from ingest.formats.packages import parse_xml, read_parts
from ingest.formats.titles import check_title
from memory_graph.errors import UnreadableDocument

_PARTS = re.compile(r".*", re.DOTALL)
_TEXTS = (".xml", ".opf", ".xhtml", ".html", ".htm")
_ENCRYPTION = "META-INF/encryption.xml"
_PACKAGE = "{http://www.idpf.org/2007/opf}"


def convert_epub(name: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a book as Markdown."""
    try:
        parts = read_parts(name, data, _PARTS, _TEXTS, "an EPUB", limits)
        if "META-INF/container.xml" not in parts:
            raise UnreadableDocument(name, "damaged", "is a ZIP archive, but not an EPUB.")
        roots = [one.get("full-path", "") for one in parse_xml(parts["META-INF/container.xml"]).iter("{*}rootfile")]
        opf = next(path for path in roots if path in parts)
        package = parse_xml(parts[opf])
        chapters = _list_chapters(parts, opf, package)
        check_pages(name, len(chapters), limits, "chapters")
        if _encrypted(parts).intersection(chapters):
            raise UnreadableDocument(name, "encrypted", "is protected against copying. Save a copy without that.")
        text = join_blocks(name, (_read_chapter(name, parts[one], limits) for one in chapters), limits)
        title = next((one.text for one in package.iter("{http://purl.org/dc/elements/1.1/}title") if one.text), "")
    except (StopIteration, *PARSER_ERRORS):
        raise UnreadableDocument(name, "damaged", "is not an EPUB, or a damaged one. Save it again.") from None
    return Converted(text=text, title=check_title(title))


def _read_chapter(name: str, data: bytes, limits: ReadLimits) -> str:
    text, _ = decode_text(name, data, limits, find_declared_encoding(data), guess=False)
    return convert_html(name, text).text.strip()


def _list_chapters(parts: dict[str, bytes], opf: str, package: object) -> list[str]:
    """Return the parts of the chapters that the spine names, each once."""
    folder = posixpath.dirname(opf)
    items = {one.get("id"): one.get("href", "") for one in package.iter(f"{_PACKAGE}item")}  # type: ignore[attr-defined]
    found: dict[str, None] = {}
    for reference in package.iter(f"{_PACKAGE}itemref"):  # type: ignore[attr-defined]
        href = items.get(reference.get("idref"), "").partition("#")[0]
        for path in (unquote(href), href):  # references are encoded, the archive's names are not; some books differ
            part = posixpath.normpath(posixpath.join(folder, path))
            if part in parts and part.lower().endswith(_TEXTS):
                found[part] = None
                break
    return list(found)


def _encrypted(parts: dict[str, bytes]) -> set[str]:
    """Return the parts that are encrypted; fonts that are only scrambled are among them and are no chapters."""
    if not parts.get(_ENCRYPTION):
        return set()
    return {unquote(one.get("URI", "")) for one in parse_xml(parts[_ENCRYPTION]).iter("{*}CipherReference")}
