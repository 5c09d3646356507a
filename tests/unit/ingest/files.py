"""Files of every format as bytes, built from nothing, for the tests of readers."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from typing import Literal

MAIN = "http://schemas.openxmlformats.org"
PACKAGE = f"{MAIN}/package/2006"
OFFICE = f"{MAIN}/officeDocument/2006/relationships"


def build_zip(parts: Mapping[str, bytes]) -> bytes:
    """Return a ZIP archive, the same at any time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def build_tar(
    parts: Mapping[str, bytes], *, packed: Literal["", "gz", "bz2", "xz"] = "", more: Sequence[tarfile.TarInfo] = ()
) -> bytes:
    """Return a tar archive; ``more`` are members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{packed}") as archive:
        for name, data in parts.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in more:
            archive.addfile(info)
    return buffer.getvalue()


def tar_info(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a member that is no file: a link, a device, a pipe."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def build_xlsx(
    sheets: Mapping[str, Sequence[Sequence[object]]], *, title: str = "", extra: Mapping[str, bytes] | None = None
) -> bytes:
    """Return a workbook; a value is a number, a text, or a formula in ``=A1|what it came to``."""

    def cell(column: int, row: int, value: object) -> str:
        at = f"{chr(65 + column)}{row}" if column < 26 else f"{chr(64 + column // 26)}{chr(65 + column % 26)}{row}"
        if isinstance(value, int | float):
            return f'<c r="{at}"><v>{value}</v></c>'
        text = str(value)
        if text.startswith("="):
            formula, _, result = text[1:].partition("|")
            return f'<c r="{at}"><f>{formula}</f><v>{result}</v></c>'
        return f'<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>'

    parts = {
        "[Content_Types].xml": content_types(
            {"/xl/workbook.xml": "spreadsheetml.sheet.main"}
            | {f"/xl/worksheets/sheet{n}.xml": "spreadsheetml.worksheet" for n in range(1, len(sheets) + 1)}
        ),
        "_rels/.rels": relations({"r1": ("officeDocument", "xl/workbook.xml")}),
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}/spreadsheetml/2006/main" xmlns:r="{OFFICE}"><sheets>'
        + "".join(f'<sheet name="{name}" sheetId="{n}" r:id="r{n}"/>' for n, name in enumerate(sheets, 1))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(
            {f"r{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)}
        ),
        "docProps/core.xml": core(title),
    }
    for n, rows in enumerate(sheets.values(), 1):
        body = "".join(
            f'<row r="{r}">{"".join(cell(c, r, value) for c, value in enumerate(row))}</row>'
            for r, row in enumerate(rows, 1)
        )
        parts[f"xl/worksheets/sheet{n}.xml"] = sheet_xml(f"<sheetData>{body}</sheetData>")
    return build_zip({name: text.encode() for name, text in parts.items()} | dict(extra or {}))


def sheet_xml(body: str) -> str:
    return f'<worksheet xmlns="{MAIN}/spreadsheetml/2006/main">{body}</worksheet>'


def build_pptx(
    slides: Sequence[tuple[str, Sequence[str]]],
    *,
    title: str = "",
    table: Sequence[Sequence[str]] = (),
    notes: str = "",
    extra: Mapping[str, bytes] | None = None,
) -> bytes:
    """Return a presentation of (title, paragraphs); the table and the notes go onto the first slide."""
    a, p = f'xmlns:a="{MAIN}/drawingml/2006/main"', f'xmlns:p="{MAIN}/presentationml/2006/main"'
    numbers = range(1, len(slides) + 1)

    def shape(kind: str, paragraphs: Sequence[str]) -> str:
        body = "".join(f"<a:p><a:r><a:t>{text}</a:t></a:r></a:p>" for text in paragraphs)
        place = f'<p:nvSpPr><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        return f"<p:sp>{place}<p:txBody>{body}</p:txBody></p:sp>"

    parts = {
        "[Content_Types].xml": content_types({"/ppt/presentation.xml": "presentationml.presentation.main"}),
        "_rels/.rels": relations({"r1": ("officeDocument", "ppt/presentation.xml")}),
        "ppt/presentation.xml": f'<p:presentation {p} xmlns:r="{OFFICE}"><p:sldIdLst>'
        + "".join(f'<p:sldId id="{255 + n}" r:id="r{n}"/>' for n in numbers)
        + "</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations({f"r{n}": ("slide", f"slides/slide{n}.xml") for n in numbers}),
        "docProps/core.xml": core(title),
    }
    for n, (heading, paragraphs) in enumerate(slides, 1):
        cells = "".join(
            "<a:tr>" + "".join(f"<a:tc><a:p><a:r><a:t>{one}</a:t></a:r></a:p></a:tc>" for one in row) + "</a:tr>"
            for row in (table if n == 1 else ())
        )
        frame = f"<p:graphicFrame><a:graphic><a:tbl>{cells}</a:tbl></a:graphic></p:graphicFrame>" if cells else ""
        shapes = shape("title", [heading] if heading else []) + shape("body", paragraphs) + shape("sldNum", [str(n)])
        parts[f"ppt/slides/slide{n}.xml"] = (
            f"<p:sld {a} {p}><p:cSld><p:spTree>{shapes}{frame}</p:spTree></p:cSld></p:sld>"
        )
    if notes:
        parts["ppt/slides/_rels/slide1.xml.rels"] = relations({"n1": ("notesSlide", "../notesSlides/notesSlide1.xml")})
        parts["ppt/notesSlides/notesSlide1.xml"] = (
            f"<p:notes {a} {p}><p:cSld><p:spTree>{shape('body', [notes])}</p:spTree></p:cSld></p:notes>"
        )
    return build_zip({name: text.encode() for name, text in parts.items()} | dict(extra or {}))


def build_epub(chapters: Sequence[str], *, title: str = "", extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return a book whose chapters have these bodies."""
    items = "".join(f'<item id="c{n}" href="text/c%20{n}.xhtml"/>' for n in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    dc = "http://purl.org/dc/elements/1.1/"
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>',
        "OEBPS/book.opf": f'<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="{dc}">'
        f"<dc:title>{title}</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for n, body in enumerate(chapters):
        page = (
            f'<?xml version="1.0"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
        )
        parts[f"OEBPS/text/c {n}.xhtml"] = page
    return build_zip({name: text.encode() for name, text in parts.items()} | dict(extra or {}))


def content_types(overrides: Mapping[str, str]) -> str:
    rels = "application/vnd.openxmlformats-package.relationships+xml"
    found = "".join(
        f'<Override PartName="{part}" ContentType="application/vnd.openxmlformats-officedocument.{kind}+xml"/>'
        for part, kind in overrides.items()
    )
    return f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="{rels}"/>{found}</Types>'


def relations(targets: Mapping[str, tuple[str, str]]) -> str:
    found = "".join(
        f'<Relationship Id="{id}" Type="{OFFICE}/{kind}" Target="{at}"/>' for id, (kind, at) in targets.items()
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{found}</Relationships>'


def core(title: str) -> str:
    return f'<core xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{title}</dc:title></core>'
