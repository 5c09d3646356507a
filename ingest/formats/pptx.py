"""PPTX: each slide a heading with its number and title, then its texts, tables and notes.

Read from the XML itself (ECMA-376, PresentationML): what is wanted is the order of the slides and the text in them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from ingest.formats.converted import PARSER_ERRORS, Converted
from ingest.formats.limits import ReadLimits, check_pages, join_blocks
from ingest.formats.packages import find_core_title, parse_xml, read_parts, refuse_old_office
from ingest.formats.tables import render_table
from ingest.formats.titles import UNSTORABLE, clean_heading
from memory_graph.errors import UnreadableDocument

_PARTS = re.compile(
    r"ppt/(?:presentation\.xml|slides/.*|notesSlides/.*|_rels/presentation\.xml\.rels)|docProps/core\.xml"
)
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_TITLES = ("title", "ctrTitle")
_LEFT_OUT = ("sldNum", "dt", "ftr", "sldImg", "hdr")  # numbers, dates and footers, the same on every slide


def convert_pptx(name: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a presentation as Markdown, one second-level heading a slide."""
    refuse_old_office(name, data, ".ppt", ".pptx")
    try:
        parts = read_parts(name, data, _PARTS, (".xml", ".rels"), "a PPTX", limits)
        if "ppt/presentation.xml" not in parts:
            raise UnreadableDocument(name, "damaged", "is a ZIP archive, but not a PPTX.")
        slides = _list_slides(parts)
        check_pages(name, len(slides), limits, "slides")
        blocks = [block for n, slide in enumerate(slides, start=1) for block in _read_slide(parts, slide, n)]
        has_text = any(not block.startswith("## Slide ") or ":" in block for block in blocks)
        text = join_blocks(name, blocks, limits) if has_text else ""
        return Converted(text=text, title=find_core_title(parts.get("docProps/core.xml", b"")))
    except PARSER_ERRORS:
        raise UnreadableDocument(name, "damaged", "is not a PPTX, or a damaged one. Save it again.") from None


def _list_slides(parts: dict[str, bytes]) -> list[str]:
    """Return the slides' parts in the order of the show."""
    targets = _targets(parts, "ppt/presentation.xml")
    ids = [one.get(f"{_R}id") for one in parse_xml(parts["ppt/presentation.xml"]).iter(f"{_P}sldId")]
    # A part that is named twice is read once: a few bytes must not show one slide a million times.
    return list(dict.fromkeys(targets[one] for one in ids if one in targets and targets[one] in parts))


def _targets(parts: dict[str, bytes], part: str) -> dict[str, str]:
    """Return what a part's relationships lead to, by their ids."""
    folder, file = posixpath.split(part)
    relations = parts.get(f"{folder}/_rels/{file}.rels", b"")
    if not relations:
        return {}
    return {
        one.get("Id", ""): posixpath.normpath(posixpath.join(folder, one.get("Target", ""))).lstrip("/")
        for one in parse_xml(relations)
        if isinstance(one.tag, str) and one.get("TargetMode") != "External"
    }


def _read_slide(parts: dict[str, bytes], part: str, number: int) -> Iterator[str]:
    root = parse_xml(parts[part])
    title = ""
    blocks: list[str] = []
    for shape in root.iter(f"{_P}sp", f"{_A}tbl"):
        if shape.tag == f"{_A}tbl":
            blocks += render_table(_read_rows(shape))
            continue
        kind = _placeholder(shape)
        text = _read_text(shape)
        if kind in _TITLES and text and not title:
            title = clean_heading(" ".join(text.split()))
        elif kind not in _LEFT_OUT and text:
            blocks.append(text)
    yield f"## Slide {number}: {title}" if title else f"## Slide {number}"
    yield from blocks
    for target in _targets(parts, part).values():
        if target.startswith("ppt/notesSlides/") and target in parts:
            notes = [
                text
                for shape in parse_xml(parts[target]).iter(f"{_P}sp")
                if _placeholder(shape) not in _LEFT_OUT and (text := _read_text(shape))
            ]
            if notes:
                yield "Notes: " + "\n".join(notes)


def _placeholder(shape: Any) -> str:
    found = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return "" if found is None else found.get("type", "body")


def _read_text(shape: Any) -> str:
    """Return the paragraphs of a shape, one a line."""
    lines = (
        "".join("\n" if run.tag == f"{_A}br" else run.text or "" for run in paragraph.iter(f"{_A}t", f"{_A}br"))
        for paragraph in shape.iter(f"{_A}p")
    )
    return UNSTORABLE.sub("\ufffd", "\n".join(line.strip() for line in lines if line.strip()))


def _read_rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter(f"{_A}tr"):
        yield [" ".join(_read_text(cell).split()) for cell in row.iter(f"{_A}tc")]
