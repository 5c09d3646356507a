"""Two hundred and more broken or hostile files, each the same on every run; those that need care have their reason."""

from __future__ import annotations

import codecs
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Iterator

from tests.unit.ingest.files import (
    build_epub,
    build_pptx,
    build_tar,
    build_xlsx,
    build_zip,
    content_types,
    relations,
    sheet_xml,
    tar_info,
)
from tests.unit.ingest.test_formats import MAIL
from tests.unit.ingest.test_readers import USER_PASSWORD_PDF, break_bytes, break_part, build_docx, build_pdf, unpack

MB = 2**20
LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 10) for c in range(ord("b"), ord("l")))
    + b"]><l>&k;</l>"
)
EXTERNAL = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
PARAMETER = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x.dtd">%a;]><x/>'


def soundest() -> dict[str, bytes]:
    """Return one small sound file of every format that is more than plain text."""
    return {
        "pdf": build_pdf(["First page of text.", "Second page."], "Title"),
        "docx": build_docx(["One.", "Two."], title="Title", heading="Head"),
        "pptx": build_pptx([("Head", ["One."]), ("Next", ["Two."])], table=[["a", "b"], ["1", "2"]], notes="note"),
        "xlsx": build_xlsx({"Sheet": [["a", "b"], [1, "two"]], "Other": [["x"], ["=A1|3"]]}, title="Title"),
        "epub": build_epub(["<h1>One</h1><p>text</p>", "<p>more</p>"], title="Title"),
        "zip": build_zip({"a.txt": b"one", "b.csv": b"a,b\n1,2", "c.json": b'{"a": 1}'}),
        "tar": build_tar({"a.txt": b"one", "b.csv": b"a,b\n1,2"}),
        "tar.gz": build_tar({"a.txt": b"one", "b.md": b"# b"}, packed="gz"),
        "tar.xz": build_tar({"a.txt": b"one", "b.md": b"# b"}, packed="xz"),
        "eml": MAIL,
    }


def hostile_files() -> Iterator[tuple[str, bytes, str]]:
    """Yield (name, content, reason): the reason is that of the file or of one in it, ``read``, or empty for either."""
    yield from _broken()
    yield from _wrong_suffixes()
    yield from _texts()
    yield from _tables()
    yield from _json()
    yield from _pages()
    yield from _office()
    yield from _archives()
    yield from _mails()


def _broken() -> Iterator[tuple[str, bytes, str]]:
    for suffix, whole in soundest().items():
        rng = random.Random(f"hostile {suffix}")
        for n in range(3):
            yield f"cut-{n}.{suffix}", whole[: len(whole) * (3 * n + 2) // 10], ""
        for n in range(3):
            yield f"broken-{n}.{suffix}", break_bytes(rng, whole), ""
        yield f"noise.{suffix}", rng.randbytes(3000), "damaged"
        yield f"begins.{suffix}", whole[:60] + rng.randbytes(2000), ""
        yield f"empty.{suffix}", b"", "empty"
        yield f"zeros.{suffix}", bytes(5000), "empty" if suffix == "zip" or "tar" in suffix else "damaged"
        if suffix in ("docx", "pptx", "xlsx", "epub"):
            yield from ((f"part-{n}.{suffix}", break_part(rng, whole), "") for n in range(4))
            yield f"locked.{suffix}", _lock(whole), "encrypted"
            yield f"nothing in it.{suffix}", build_zip({}), "damaged"


def _wrong_suffixes() -> Iterator[tuple[str, bytes, str]]:
    sound = soundest()
    for have, say, reason in (
        ("pdf", "docx", "damaged"), ("docx", "pdf", "damaged"), ("xlsx", "docx", "damaged"),
        ("docx", "xlsx", "damaged"),
        ("pptx", "xlsx", "damaged"), ("xlsx", "pptx", "damaged"), ("zip", "epub", "damaged"), ("epub", "zip", "read"),
        ("tar.gz", "zip", "read"), ("zip", "tar.gz", "read"), ("pdf", "txt", "binary"), ("zip", "csv", "binary"),
        ("xlsx", "csv", "binary"), ("docx", "json", "binary"), ("pdf", "eml", "damaged"), ("zip", "html", "binary"),
        ("pdf", "zip", "damaged"), ("eml", "tar", "damaged"),
    ):  # fmt: skip
        yield f"a {have} called.{say}", sound[have], reason
    yield "program.txt", b"\x7fELF" + bytes(100), "binary"
    yield "picture.md", b"\x89PNG\r\n\x1a\n" + bytes(50), "binary"
    for suffix in ("docx", "pptx", "xlsx"):
        yield f"old.{suffix}", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "unsupported"
        locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le") + bytes(600)
        yield f"encrypted.{suffix}", locked, "encrypted"


def _texts() -> Iterator[tuple[str, bytes, str]]:
    for n, mark in enumerate((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_LE)):
        yield f"only a mark {n}.txt", mark, "empty"
        yield f"mark and half a letter {n}.txt", mark + b"a\xe4\x00", ""
    yield "two marks.txt", codecs.BOM_UTF8 * 2 + b"text", "read"
    yield "mark in the middle.txt", b"one\n" + codecs.BOM_UTF8 + b"two", "read"
    yield "utf-7.txt", "Größe".encode("utf-7"), "read"
    yield "spaces.txt", b" \n\t\r\n\x0b\x0c" * 1000, "empty"
    yield "zero-width.md", "\u200b\u200c\ufeff".encode(), ""
    yield "nul bytes.txt", b"text\0more", "binary"
    yield "controls.txt", bytes(range(1, 9)) * 50, "binary"
    yield "surrogates.txt", "a\ud800b\udfff".encode("utf-8", "surrogatepass"), "encoding"
    yield "overlong.txt", b"\xc0\xaf\xe0\x80\xaf", "encoding"
    yield "mixed.txt", "Größe ".encode() * 30 + "Größe ".encode("cp1252") * 30 + "大きさ".encode("cp932"), ""
    yield "all bytes.txt", bytes(range(1, 256)) * 20, ""
    yield "one line.txt", b"x" * (2 * MB), "read"
    yield "one foreign line.txt", b"x" * MB + b"\xfc" * 40_000, ""
    yield "a million lines.md", b"\n" * MB + b"a", "read"
    yield "hashes.md", b"#" * MB, "read"
    yield "fences.md", b"```\n~~~\n" * 20_000, "read"
    yield "brackets.md", b"[" * 300_000 + b"](" * 1000, "read"
    yield "right to left.txt", "\u202etxt.exe\u202c".encode(), "read"
    yield "accents.txt", ("e" + "\u0301" * 100_000).encode(), "read"


def _tables() -> Iterator[tuple[str, bytes, str]]:
    yield "columns.csv", b",".join(b"c%d" % n for n in range(100_000)) + b"\n" + b"1," * 100_000, "read"
    yield "commas.csv", b"," * 500_000, "empty"
    yield "open quote.csv", b'a,b\n"' + b"x,y\n" * 300_000, "damaged"
    yield "quotes.csv", b'"' * 300_001, ""
    yield "ragged.csv", b"\n".join(b"x," * (n % 50) for n in range(2000)), "read"
    yield "nul.csv", b"a,b\0\n1,2", "binary"
    yield "carriage returns.csv", b"a,b\r1,2\r3,4", "read"
    yield "long head.csv", b"h" * 900_000 + b",b\n" + b"1,2\n" * 1000, "too_large"
    yield "formula.csv", b"a,b\n=cmd|' /C calc'!A0,2", "read"
    yield "latin.csv", "Straße,Größe\nMüllerstraße,über\n".encode("cp1252"), ""


def _json() -> Iterator[tuple[str, bytes, str]]:
    yield "deep.json", b"[" * 100_000, "not_json"
    yield "deep and closed.json", b"[" * 500 + b"1" + b"]" * 500, "invalid"
    yield "deep objects.json", b'{"a":' * 100_000, "not_json"
    yield "nan.json", b'{"a": NaN}', "not_json"
    yield "digits.json", b'{"a": ' + b"9" * 5000 + b"}", "not_json"
    yield "surrogate.json", b'{"a": "\\ud800 and \\u0000"}', "read"
    yield "surrogate text.json", b'[{"text": "\\ud800"}]', "invalid"
    yield "twice.json", b'{"a": 1, "a": 2}', "read"
    yield "two values.json", b"{} {}", "not_json"
    yield "nothing.json", b"null", ""
    yield "nothing in it.json", b"[[], {}, [[]]]", "empty"
    yield "keys.json", json.dumps([{str(n): n} for n in range(20_000)]).encode(), "read"
    yield "utf-16.json", '{"a": "ä"}'.encode("utf-16"), "read"
    yield "latin.json", '{"a": "ä"}'.encode("latin-1"), "encoding"
    yield "deep.jsonl", b'{"text": ' + b"[" * 100_000, "not_json"
    yield "lines.jsonl", b'{"text": "a"}\n' * 5000, "invalid"


def _pages() -> Iterator[tuple[str, bytes, str]]:
    yield "deep.html", b"<div>" * 100_000 + b"x", "damaged"
    yield "deep spans.html", b"<b><i>" * 900 + b"x", ""
    yield "comments.html", b"<!--" * 100_000, "empty"
    yield "attributes.html", b"<p " + b"a=1 " * 100_000 + b">x", ""
    yield "one tag.html", b"<" + b"a" * MB, ""
    yield "entities.html", b"<!DOCTYPE html [" + LAUGHS[60:] + b"<p>x", ""
    yield "cdata.html", b"<![CDATA[" * 10_000 + b"x", ""
    yield "table.html", b"<table>" + b"<tr><td>1<td>2" * 1000 + b"</table>", "read"
    yield "tables in tables.html", b"<table><tr><td>" * 100 + b"x", ""
    yield "says another.html", b'<meta charset="base64"><p>\xff\xfe', "encoding"
    yield "nul.html", b"<p>a\0b", "binary"
    pdf = soundest()["pdf"]
    yield "loop.pdf", pdf.replace(b"/Kids [5 0 R 7 0 R]", b"/Kids [2 0 R 2 0 R]"), ""
    yield "loop of parents.pdf", pdf.replace(b"/Kids [5 0 R 7 0 R]", b"/Kids [1 0 R 2 0 R]"), ""
    yield "a million pages.pdf", pdf.replace(b"/Count 2", b"/Count 999999"), ""
    yield "negative pages.pdf", pdf.replace(b"/Count 2", b"/Count -2"), ""
    yield "no catalog.pdf", pdf.replace(b"/Root 1 0 R", b"/Root 9 0 R"), ""
    yield "itself.pdf", pdf.replace(b"/Contents 6 0 R", b"/Contents 5 0 R"), ""
    yield "length.pdf", pdf.replace(b"/Length", b"/Length 99999999 %"), ""
    yield "locked.pdf", unpack(USER_PASSWORD_PDF), "encrypted"
    yield "twice.pdf", pdf + pdf, ""
    yield "late.pdf", bytes(2000) + pdf, ""
    yield "reference loop.pdf", pdf.replace(b"/Title (Title)", b"/Title 4 0 R"), ""


def _office() -> Iterator[tuple[str, bytes, str]]:
    for attack, xml in (("laughs", LAUGHS), ("external", EXTERNAL), ("parameter", PARAMETER)):
        yield f"{attack}.docx", build_docx(["x"], extra={"word/document.xml": xml}), "damaged"
        yield f"{attack} in properties.docx", build_docx(["x"], extra={"docProps/core.xml": xml}), "damaged"
        yield f"{attack}.pptx", build_pptx([("a", ["b"])], extra={"ppt/slides/slide1.xml": xml}), "damaged"
        yield f"{attack}.xlsx", build_xlsx({"a": [[1]]}, extra={"xl/worksheets/sheet1.xml": xml}), "damaged"
        yield f"{attack}.epub", build_epub(["<p>x"], extra={"OEBPS/book.opf": xml}), "damaged"
        yield f"{attack} in a chapter.epub", build_epub([""], extra={"OEBPS/text/c 0.xhtml": xml}), "damaged"
    utf16 = LAUGHS.decode().replace('"1.0"', '"1.0" encoding="UTF-16"').encode("utf-16")
    yield "laughs in utf-16.docx", build_docx(["x"], extra={"word/document.xml": utf16}), "damaged"
    deep = (
        b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>' + b"<w:p>" * 5000
    )
    yield "deep.docx", build_docx(["x"], extra={"word/document.xml": deep}), "damaged"
    yield "bomb.docx", build_docx(["x"], extra={"word/comments.xml": b" " * (70 * MB)}), "too_large"
    yield (
        "itself.docx",
        build_docx(["x"], extra={"word/_rels/document.xml.rels": relations({"a": ("image", "document.xml")}).encode()}),
        "",
    )
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"

    def sheet(body: str) -> bytes:
        return build_xlsx({"a": [["x"]]}, extra={"xl/worksheets/sheet1.xml": sheet_xml(body).encode()})

    far = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    yield "far apart.xlsx", sheet(f"<sheetData>{far}</sheetData>"), "too_large"
    rows = '<dimension ref="A1:XFD1048576"/><sheetData><row r="1"><c r="A1"><v>1</v></c></row></sheetData>'
    yield "claims a million rows.xlsx", sheet(rows), "read"
    merged = '<sheetData><row r="1"><c r="A1"><v>1</v></c></row></sheetData>'
    merged += '<mergeCells><mergeCell ref="A1:XFD1048576"/></mergeCells>'
    yield "merged.xlsx", sheet(merged), "read"
    yield "no such string.xlsx", sheet('<sheetData><row r="1"><c r="A1" t="s"><v>99</v></c></row></sheetData>'), ""
    yield "cell without a place.xlsx", sheet("<sheetData><row><c><v>1</v></c></row></sheetData>"), ""
    yield "place of letters.xlsx", sheet('<sheetData><row r="x"><c r="1A"><v>1</v></c></row></sheetData>'), ""
    yield (
        "infinite.xlsx",
        sheet('<sheetData><row r="1"><c r="A1"><v>1e999</v></c><c r="B1"><v>nan</v></c></row></sheetData>'),
        "",
    )
    shared = '<row r="1"><c r="A1"><f t="shared" ref="A1:A1048576" si="0">A1</f><v>1</v></c></row>'
    yield "formula of itself.xlsx", sheet(f"<sheetData>{shared}</sheetData>"), "read"
    yield (
        "date of the year 9999999.xlsx",
        sheet('<sheetData><row r="1"><c r="A1" t="d"><v>9999999-99-99</v></c></row></sheetData>'),
        "",
    )
    book = f'<workbook xmlns="{main}" xmlns:r="x"><sheets>' + '<sheet name="a" sheetId="1" r:id="r1"/>' * 9000
    yield "sheets.xlsx", build_xlsx({"a": [[1]]}, extra={"xl/workbook.xml": f"{book}</sheets></workbook>".encode()}), ""
    slides = "".join(f'<p:sldId r:id="r1" id="{n}"/>' for n in range(20_000))
    presentation = (
        '<p:presentation xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" xmlns:r="http://schemas.'
        f'openxmlformats.org/officeDocument/2006/relationships"><p:sldIdLst>{slides}</p:sldIdLst></p:presentation>'
    )
    yield (
        "one slide for ever.pptx",
        build_pptx([("a", ["b"])], extra={"ppt/presentation.xml": presentation.encode()}),
        "read",
    )
    outside = relations({"r1": ("slide", "../../../../etc/passwd")}).encode()
    yield "outside.pptx", build_pptx([("a", ["b"])], extra={"ppt/_rels/presentation.xml.rels": outside}), "empty"
    yield "no parts.pptx", build_zip({"[Content_Types].xml": content_types({}).encode()}), "damaged"
    opf = '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="%s"/></manifest>'
    opf += "<spine>%s</spine></package>"
    yield (
        "outside.epub",
        build_epub(["x"], extra={"OEBPS/book.opf": (opf % ("../../../etc/passwd", '<itemref idref="a"/>')).encode()}),
        "empty",
    )
    yield (
        "itself.epub",
        build_epub(["x"], extra={"OEBPS/book.opf": (opf % ("book.opf", '<itemref idref="a"/>')).encode()}),
        "",
    )
    yield (
        "one chapter for ever.epub",
        build_epub(
            ["x"], extra={"OEBPS/book.opf": (opf % ("text/c%200.xhtml", '<itemref idref="a"/>' * 9000)).encode()}
        ),
        "read",
    )
    copied = b'<encryption><CipherReference URI="OEBPS/text/c%200.xhtml"/></encryption>'
    yield "protected.epub", build_epub(["x"], extra={"META-INF/encryption.xml": copied}), "encrypted"


def _archives() -> Iterator[tuple[str, bytes, str]]:
    out = ("../../etc/passwd.txt", "/etc/passwd.txt", "a/../../b.txt", "..\\..\\b.txt", "C:\\b.txt")
    for n, path in enumerate((*out, "a\nb.txt", "x" * 600 + ".txt")):
        yield f"path {n}.zip", build_zip({path: b"x", "good.txt": b"good"}), "invalid"
        yield f"path {n}.tar", build_tar({path: b"x", "good.txt": b"good"}), "invalid"
    links = {"link": tarfile.SYMTYPE, "hard link": tarfile.LNKTYPE}
    devices = {"device": tarfile.CHRTYPE, "block": tarfile.BLKTYPE, "pipe": tarfile.FIFOTYPE}
    for kind, code in (links | devices).items():
        yield f"{kind}.tar", build_tar({"a.txt": b"x"}, more=[tar_info("b.txt", code, "/etc/passwd")]), "unsupported"
    yield (
        "link to itself.tar.gz",
        build_tar({}, packed="gz", more=[tar_info("a.txt", tarfile.SYMTYPE, "a.txt")]),
        "unsupported",
    )
    link = zipfile.ZipInfo("a.txt")
    link.external_attr = 0o120777 << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    yield "link.zip", buffer.getvalue(), "unsupported"
    nested = build_zip({"a.txt": b"deep"})
    for _ in range(30):
        nested = build_zip({"b.zip": nested})
    yield "zip in zip.zip", nested, "too_large"
    bomb = build_zip({f"{n}.txt": bytes(MB) for n in range(20)})
    yield "bomb.zip", build_zip({"a.txt": bytes(17 * MB)}), "too_large"
    yield "bomb in a zip.zip", build_zip({f"{n}.zip": bomb for n in range(10)}), "too_large"
    for packed in ("gz", "bz2", "xz"):
        yield f"bomb.tar.{packed}", build_tar({"a.txt": bytes(17 * MB)}, packed=packed), "too_large"  # type: ignore[arg-type]
    yield "many.zip", build_zip({f"{n}.txt": b"x" for n in range(1200)}), "too_large"
    yield "same names.zip", build_zip({"a.txt": b"one", "b.txt": b"two"}).replace(b"b.txt", b"a.txt"), "invalid"
    yield "names by case.zip", build_zip({"a.txt": b"one", "A.TXT": b"two"}), "read"
    yield "pictures.zip", build_zip({"a.png": b"x", "b": b"x"}), "empty"
    yield "nothing.zip", build_zip({}), "empty"
    yield "nothing.tar", build_tar({}), "empty"
    yield "locked.zip", _lock(build_zip({"a.txt": b"text"})), "encrypted"
    yield "overlap.zip", _overlap(), ""
    yield "size that is not so.zip", _lie(build_zip({"a.txt": b"text" * 1000})), ""
    yield (
        "method 99.zip",
        build_zip({"a.txt": b"text"}).replace(
            b"PK\x01\x02\x14\x00\x14\x00\x00\x00\x08", b"PK\x01\x02\x14\x00\x14\x00\x00\x00\x63"
        ),
        "",
    )
    yield "comment.zip", build_zip({"a.txt": b"text"})[:-2] + b"\xff\xff", ""
    yield "in front.zip", b"#!/bin/sh\n" * 30 + build_zip({"a.txt": b"text"}), "read"
    yield "itself.tar.gz", build_tar({"a.tar.gz": build_tar({"b.txt": b"x"}, packed="gz")}, packed="gz"), "read"
    yield "not utf-8.tar", build_tar({"na\udcefve.txt": b"x"}), "read"
    header = bytearray(build_tar({"a.txt": b"x"}))
    header[124:136] = b"77777777777\0"
    yield "size of 8 GB.tar", bytes(header), "damaged"
    yield (
        "broken members.zip",
        build_zip({"a.docx": b"PK\x03\x04", "b.pdf": b"%PDF-", "c.xlsx": b"x", "d.txt": b"good"}),
        "damaged",
    )


def _mails() -> Iterator[tuple[str, bytes, str]]:
    head = b"From: a@b.example\nSubject: s\nMIME-Version: 1.0\n"
    yield "no headers.eml", b"just text", "damaged"
    yield "only headers.eml", head, "read"
    parts = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(1000))
    yield "deep.eml", head + parts, ""
    mail = head + b"\ntext"
    for _ in range(20):
        mail = head + b'Content-Type: multipart/mixed; boundary="q"\n\n--q\nContent-Type: message/rfc822\n\n' + mail
    yield "mail in mail.eml", mail, ""
    many = b"".join(b"--q\nContent-Disposition: attachment; filename=a.txt\n\nx\n" for _ in range(1500))
    yield "parts.eml", head + b'Content-Type: multipart/mixed; boundary="q"\n\n' + many + b"--q--", "too_large"
    yield "no end.eml", head + b'Content-Type: multipart/mixed; boundary="q"\n\n--q\n\ntext', "read"
    yield "no boundary.eml", head + b"Content-Type: multipart/mixed\n\ntext", ""
    yield "encoding.eml", head + b"Content-Type: text/plain; charset=klingon\n\nGr\xfc\xdfe an alle", "encoding"
    yield "base64.eml", head + b"Content-Transfer-Encoding: base64\n\n!!!not base64===", ""
    yield "quoted.eml", head + b"Content-Transfer-Encoding: quoted-printable\n\n=ZZ=\n=E4", ""
    yield "subject.eml", b"Subject: =?utf-8?b?/////w==?= =?klingon?q?x?=\n\ntext", "read"
    yield "long header.eml", b"Subject: " + b"x" * MB + b"\n\ntext", "read"
    yield "words.eml", b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\n\ntext", "read"
    yield "date.eml", b"Subject: s\nDate: Fri, 99 Foo 99999 99:99:99 +9999\n\ntext", "read"
    path = b"--q\nContent-Disposition: attachment; filename=../../etc/passwd.txt\n\nx\n--q--"
    yield "path.eml", head + b'Content-Type: multipart/mixed; boundary="q"\n\n' + path, "read"
    yield "header of nul.eml", b"Subject: a\0b\nFrom: \xff\xfe\n\ntext", ""


def _lock(archive: bytes) -> bytes:
    """Return a ZIP archive whose members say that they are encrypted."""
    data = bytearray(archive)
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(mark)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(mark, at + 4)
    return bytes(data)


def _lie(archive: bytes) -> bytes:
    """Return a ZIP archive whose first member says that it unpacks to ten bytes."""
    data = bytearray(archive)
    at = data.find(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    return bytes(data)


def _overlap() -> bytes:
    """Return a ZIP archive whose 26 entries all lead to the same bytes."""
    one = build_zip({"a.txt": b"text" * 10_000})
    directory, end = one.find(b"PK\x01\x02"), one.find(b"PK\x05\x06")
    entry = one[directory:end]
    entries = b"".join(entry.replace(b"a.txt", b"%c.txt" % (97 + n)) for n in range(26))
    tail = bytearray(one[end:])
    tail[8:12] = struct.pack("<HH", 26, 26)
    tail[12:16] = struct.pack("<I", len(entries))
    return one[:directory] + entries + bytes(tail)
