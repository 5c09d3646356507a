"""DOCX as Markdown, through markitdown's converter, which is given the text parts alone."""

from __future__ import annotations

import io
import re
import zipfile

from ingest.formats.converted import PARSER_ERRORS, Converted
from ingest.formats.html import PLAIN, finish_markdown
from ingest.formats.limits import ReadLimits
from ingest.formats.packages import find_core_title, read_parts, refuse_old_office
from memory_graph.errors import UnreadableDocument

_PARTS = re.compile(r"(?:word|docProps|_rels)/.*|\[Content_Types\]\.xml")


def convert_docx(name: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a DOCX as Markdown."""
    from markitdown import StreamInfo
    from markitdown.converters import DocxConverter

    refuse_old_office(name, data, ".doc", ".docx")
    try:
        parts = read_parts(name, data, _PARTS, (".xml", ".rels"), "a DOCX", limits)
        if not any(part.startswith("word/") for part in parts):
            raise UnreadableDocument(name, "damaged", "is a ZIP archive, but not a DOCX.")
        slim = io.BytesIO()
        with zipfile.ZipFile(slim, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        slim.seek(0)
        result = DocxConverter().convert(  # type: ignore[no-untyped-call]
            slim, StreamInfo(extension=".docx"), strict=True, **PLAIN
        )
        return finish_markdown(result.markdown, find_core_title(parts.get("docProps/core.xml", b"")))
    except PARSER_ERRORS:
        raise UnreadableDocument(name, "damaged", "is not a DOCX, or a damaged one. Save it again.") from None
