"""XLSX: each sheet a heading with its name, then its rows as a table; read by calamine."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from ingest.formats.converted import PARSER_ERRORS, Converted
from ingest.formats.limits import ReadLimits, check_pages, join_blocks
from ingest.formats.packages import find_core_title, read_parts, refuse_old_office
from ingest.formats.tables import render_table
from ingest.formats.titles import clean_heading
from memory_graph.errors import UnreadableDocument

_PARTS = re.compile(r"(?:xl|docProps|_rels)/.*|\[Content_Types\]\.xml")
_CELL = re.compile(rb"""<(?:\w+:)?c\b[^>]*?\br=["']([A-Z]{1,3})([0-9]{1,7})["']""")
_ROW = re.compile(rb"""<(?:\w+:)?row\b[^>]*?\br=["']([0-9]{1,7})["']""")


def convert_xlsx(name: str, data: bytes, limits: ReadLimits) -> Converted:
    """Return a workbook as Markdown: of formulas what they came to when the file was saved."""
    import python_calamine

    refuse_old_office(name, data, ".xls", ".xlsx")
    try:
        parts = read_parts(name, data, _PARTS, (".xml", ".rels"), "an XLSX", limits)
        if not any(part.startswith("xl/") for part in parts):
            raise UnreadableDocument(name, "damaged", "is a ZIP archive, but not an XLSX.")
        for part, content in parts.items():
            if part.startswith("xl/worksheets/"):
                _check_span(name, content, limits)
        with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as workbook:
            sheets = workbook.sheet_names
            check_pages(name, len(sheets), limits, "sheets")
            text = join_blocks(name, (block for sheet in sheets for block in _read_sheet(workbook, sheet)), limits)
    except python_calamine.PasswordError:
        raise UnreadableDocument(name, "encrypted", "is protected by a password. Save a copy without one.") from None
    except (python_calamine.CalamineError, *PARSER_ERRORS):
        raise UnreadableDocument(name, "damaged", "is not an XLSX, or a damaged one. Save it again.") from None
    return Converted(text=text, title=find_core_title(parts.get("docProps/core.xml", b"")))


def _read_sheet(workbook: object, sheet: str) -> Iterator[str]:
    rows = workbook.get_sheet_by_name(sheet).iter_rows()  # type: ignore[attr-defined]
    pieces = render_table(rows)
    first = next(pieces, None)
    if first is not None:
        yield f"## {clean_heading(sheet)}"
        yield first
        yield from pieces


def _check_span(name: str, sheet: bytes, limits: ReadLimits) -> None:
    """Refuse a sheet whose few cells stand far apart: calamine makes the whole rectangle between them."""
    columns = rows = 1
    for found in _CELL.finditer(sheet):
        column = 0
        for letter in found[1]:
            column = column * 26 + letter - 64
        columns, rows = max(columns, column), max(rows, int(found[2]))
    for found in _ROW.finditer(sheet):
        rows = max(rows, int(found[1]))
    if columns * rows > limits.max_cells:
        figures = f"a sheet spans {rows:,} rows and {columns:,} columns; at most {limits.max_cells:,} cells are read"
        raise UnreadableDocument(name, "too_large", f"{figures}. Delete what stands far away, or split it.")
