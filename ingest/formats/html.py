"""HTML as Markdown, through markitdown's converter.

It is called directly, so that neither markitdown's plugins nor its downloading are ever reached.
"""

from __future__ import annotations

import io
import re

from ingest.formats.converted import Converted
from ingest.formats.tables import repeat_heads
from ingest.formats.titles import find_heading
from memory_graph.errors import UnreadableDocument

PLAIN = {"escape_asterisks": False, "escape_underscores": False}  # the text is searched and quoted, not rendered
_DATA_IMAGE = re.compile(r"!\[([^\[\]]*)\]\(data:[^()\s]*\)")
_DECLARED = re.compile(
    rb"""(?i)<meta\b[^>]{0,200}?\bcharset\s*=\s*["']?([\w.:-]{1,40})"""
    rb"""|<\?xml[^>]{0,100}?encoding=["']([\w.:-]{1,40})"""
)


def convert_html(name: str, text: str) -> Converted:
    """Return an HTML page as Markdown, without scripts, styles and pictures that are part of the page."""
    from bs4 import BeautifulSoup
    from markitdown import StreamInfo
    from markitdown.converters import HtmlConverter

    data = _tidy_html(name, text)
    try:
        result = HtmlConverter().convert(io.BytesIO(data), StreamInfo(charset="utf-8"), strict=True, **PLAIN)
        return finish_markdown(result.markdown, result.title or "")
    except RecursionError:  # nested too deep for Markdown: keep the words
        soup = BeautifulSoup(data, "html.parser", from_encoding="utf-8")
        return Converted(text=soup.get_text("\n", strip=True))
    except (AssertionError, ValueError):
        raise UnreadableDocument(name, "damaged", "is not HTML that can be read.") from None


def find_declared_encoding(data: bytes) -> str:
    """Return the encoding that a page's ``<meta charset>`` or XML declaration names, or nothing."""
    found = _DECLARED.search(data, 0, 4096)
    return (found[1] or found[2]).decode("ascii", "replace").lower() if found else ""


def finish_markdown(markdown: str, title: str) -> Converted:
    """Return what a converter wrote, without pictures that are part of the text and with tables in pieces."""
    text = repeat_heads(_DATA_IMAGE.sub(r"\1", markdown))
    return Converted(text=text, title=" ".join(title.split())[:300] or find_heading(text))


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
