"""Readers: every format, every reason, and nothing but values for broken input."""

from __future__ import annotations

import base64
import io
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import zipfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.files import find_files
from ingest.readers import DEFAULT_LIMITS, ReadLimits, content_id, read_bytes, read_file
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

REPOSITORY = Path(__file__).resolve().parents[3]

# Made with pypdf: a one-page PDF under RC4-128, once with the user password "secret", once with an owner password only.
USER_PASSWORD_PDF = (
    "c-oCpyKWOf6m6*H3n)h*Bf=v)@7<9s7j|L+A#&s-G!ez@&K<|d?3&$il(<4j)O-O*AkpLlC=maUf{qdz`bd-!vzrGNreJrAnRCxQ=j!ZjZLRh1"
    "(^ZaI-+!EZMHCZUq|Z>hjiQ~SDd4DQyqOdu6m6LiRG0<A5Oq2Ta$6JGQbWT-(Z<+Tcn|ZMkDsEbSIlyc=|U_2XKQU#LZF^IMVny9rdu2aEfQWu"
    "8ICop6^Bq2voZ@q)e8M0^fU*G#pRIU3&yz*dKH#`jV_k_YYh}_&r;u9YmlO-Ybt2eqX#fK06)&mf{I*Fc?|i;?_<U5dgV(n&(YoecL^MPp09l>"
    "rrnLR_qUId>t7!2{(N)rYvts{p6q2GH(%WwywocnZoKyM<2$Escdi`|JF7Qa-_CBG);1SP7lvxV@Cjxi2h6XmDN90tSTHTLikS}O{&?b{#L>1l"
    "xizIl(EzuJO=Tjb%Oqz?Dh;ucnyAb;B|wCBBQi#;0<D#^;I!hPQ%MryG?0XcTz7HXx=;vzgb9|#0I6k4C}}OEGTbC%N$Lbh5D?462&x1j;jWx>"
    "hES4p7IHi+!6AZUM6MpJq~sDie1*}Fc2mj!U`i}ul<_5uNxFn_wu}kBpyx|7o<P}Ty*-{o7%v(YMcCu><$Smn*0RmhSi3AUAw;L7NHT4Rh$#c6"
    "lqEdw{0}88^m?9^M^lg0<)T*Jl)ec@35{B<^+6x~2B$;--~"
)
OWNER_PASSWORD_PDF = (
    "c-oCpJ!=&~6fJCY6hRORu^5YoqQsr=*@4FcUy`T6gv7*%C>D2jW|F7R-LN~6#KunWM_5=W*!V+&l0qBXSSt7nL}xc2K71C=PO)?Dx#wICx3e@e"
    "n4;G>>g;{p{e&ncxXd1*ZWkqYwl^G3rXj$nTtmqcthpMqNLWU_9&&|kh-{*v<)P%((AM|?<_#Y|M9FlySp-bSTKPX)8>7la>b_I5;Or3k<yO=p"
    "@l%vxZCInY?CNr}%HvRt!k~;j?GMG`aL9P0aS@_kjpbjXiwXZm10^e)S!kaPNKw*<+O_J*O*eY#!Z3$16*;Cd?~1jsjumg}b*LOXLDzSG$e%YZ"
    "-M*6d=kN93&Q6_te&)o^uh;J$e?0$Y_5Q`<_{H~A^{dn8_U12`%O7^m!ncJlb1%jFWBt#atBZ}zfzpAY8Z*3$S<C_RBWudi7$6qR2%|JJu{;=#"
    "f~#<{5}>e9S(Gf|u2jlHs=0HV=i2Dp^2`w7Em)sY0Uo%p-T+U%a#qmHq{6XWSzrLl%b4pb?xx&v%_SEklQ{?wB6UJpX$VP04xXi%7fw3iv`j%z"
    "B?yUc<-G?&N!lCBajSA35v&n8I#@}`CHD9TqcQEaQvAV`n7}CG6Bv_p0^@8F6MRfBR4^R5s?B<3_{_!elI60Dd%VA#b2D)*yI{0uxwJ|vO_|p="
    "^)Xt;EGHz_nd$uxB`)-AkyqOr0jtABtpik{4MqurI-S|Y0s0Mht^Tz"
)


def build_pdf(pages: list[str], title: str = "") -> bytes:
    """Return a PDF with one line of text a page; an empty string makes a page without text."""
    kids = " ".join(f"{5 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>",
    ]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {6 + 2 * i} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{len(out)}\n%%EOF"
    return out + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + table + trailer.encode()


def build_docx(
    paragraphs: list[str], *, title: str = "", heading: str = "", extra: dict[str, bytes] | None = None
) -> bytes:
    """Return a DOCX with an optional heading, paragraphs, a core title, and further parts."""
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    body = f'<w:p><w:pPr><w:pStyle w:val="H1"/></w:pPr><w:r><w:t>{heading}</w:t></w:r></w:p>' if heading else ""
    body += "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    style = '<w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/></w:style>'
    dc = "http://purl.org/dc/elements/1.1/"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types"><Default Extension="rels"'
        f' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="r1" Type="{office}" Target="word/document.xml"/></Relationships>',
        "word/styles.xml": f"<w:styles {w}>{style}</w:styles>",
        "word/document.xml": f"<w:document {w}><w:body>{body}</w:body></w:document>",
        "docProps/core.xml": f'<core xmlns:dc="{dc}"><dc:title>{title}</dc:title></core>',
    }
    return build_zip({name: text.encode() for name, text in parts.items()} | (extra or {}))


def build_zip(parts: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def read_one(name: str, data: bytes, limits: ReadLimits = DEFAULT_LIMITS) -> Document | UnreadableDocument:
    (only,) = read_bytes(name, data, limits=limits)
    return only


def read_document(name: str, data: bytes) -> Document:
    document = read_one(name, data)
    assert isinstance(document, Document), document
    return document


def read_refusal(name: str, data: bytes, limits: ReadLimits = DEFAULT_LIMITS) -> UnreadableDocument:
    error = read_one(name, data, limits)
    assert isinstance(error, UnreadableDocument), error
    assert error.name == name
    return error


def test_a_file_becomes_one_document_with_its_path_as_id(tmp_path: Path) -> None:
    path = tmp_path / "harbour_log-1900.txt"
    path.write_text("The ship came in. It left again.\n")
    (document,) = read_file(path)
    assert document == Document(
        id=str(path.resolve()),
        text="The ship came in. It left again.\n",
        title="harbour log 1900",
        source=str(path.resolve()),
    )


def test_an_upload_has_its_name_or_the_given_id() -> None:
    assert read_document("a.md", b"text").id == "a.md"
    (document,) = read_bytes("a.md", b"text", id="mine")
    assert isinstance(document, Document)
    assert (document.id, document.source) == ("mine", "a.md")


@pytest.mark.parametrize(
    ("name", "data", "title"),
    [
        ("a.md", b"```\n# not me\n```\n\n# **The** Title #\n\ntext", "The Title"),
        ("my_notes-2.md", b"## Only second level\n\ntext", "my notes 2"),
        ("a.txt", b"The Old Mill\n\nIt stood by the river.", "The Old Mill"),
        ("a.txt", b"It stood by the river.\n\nIt was old.", "a"),
        ("a.txt", b"The Old Mill\nstood by the river", "a"),
        ("a.html", b"<html><head><title>\n Head  line</title></head><body><h1>Other</h1></body>", "Head line"),
        ("a.html", b"<h1>Other</h1><p>text", "Other"),
        ("a.pdf", build_pdf(["text"], "Annual Report"), "Annual Report"),
        ("a.pdf", build_pdf(["text"], "Microsoft Word - draft.doc"), "a"),
        ("a.docx", build_docx(["text"], title="Core Title", heading="Head"), "Core Title"),
        ("a.docx", build_docx(["text"], heading="Head"), "Head"),
    ],
)
def test_titles(name: str, data: bytes, title: str) -> None:
    assert read_document(name, data).title == title


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_with_and_without_mark(encoding: str) -> None:
    assert read_document("a.txt", "Größe 漢字 🎈".encode(encoding)).text == "Größe 漢字 🎈"
    assert read_document("a.txt", b"\xfe\xff" + "Größe".encode("utf-16-be")).text == "Größe"


def test_newlines_are_normalised() -> None:
    assert read_document("a.md", b"# T\r\n\r\none\rtwo\n").text == "# T\n\none\ntwo\n"


@pytest.mark.parametrize(
    ("name", "data", "reason", "words"),
    [
        ("a.txt", b"", "empty", "empty"),
        ("a.txt", b"\xef\xbb\xbf \n\t", "empty", "no text"),
        ("a.html", b"<script>var a = 1</script><!-- x -->", "empty", "no text"),
        ("a.txt", b"na\xefve", "encoding", "0xEF at offset 2"),
        ("a.txt", b"\xef\xbb\xbfna\xefve", "encoding", "offset 5"),
        ("a.txt", b"\xff\xfea\x00\x00", "encoding", "UTF-16"),
        ("a.txt", b"ab\0cd", "binary", "offset 2"),
        ("a.txt", b"\xff\xfea\0\0\0", "binary", "NUL"),
        ("a.txt", b"\x89PNG\r\n\x1a\n123", "binary", "PNG image"),
        ("a.md", b"%PDF-1.4 etc", "binary", "a PDF"),
        ("a.html", b"PK\x03\x04abc", "binary", "ZIP"),
        ("a.txt", b"\x01\x02\x03\x04 text", "binary", "control characters"),
        ("a.jsonl", b"\x1f\x8b\x08etc", "binary", "gzip"),
        ("a.jsonl", '{"text": "x"}'.encode("utf-16"), "encoding", "UTF-16"),
        ("a.jsonl", b"\n \n", "empty", "no documents"),
        ("a.log", b"a,b", "unsupported", ".markdown"),
        ("README", b"text", "unsupported", "without a suffix"),
        ("a.pdf", build_pdf(["", ""]), "empty", "text layer"),
        ("a.pdf", build_pdf(["text"])[:200], "damaged", "PDF"),
        ("a.pdf", b"just text", "damaged", "PDF"),
        ("a.docx", build_docx(["text"])[:-40], "damaged", "DOCX"),
        ("a.docx", build_docx([]), "empty", "no text"),
        ("a.docx", build_zip({"a.txt": b"x"}), "damaged", "ZIP"),
        ("a.docx", b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"), "encrypted", "password"),
        ("a.docx", b"\xd0\xcf\x11\xe0 old", "unsupported", ".docx"),
        ("a.html", b"<div>" * 5000 + b"deep", "damaged", "nested"),
    ],
)
def test_reasons(name: str, data: bytes, reason: str, words: str) -> None:
    error = read_refusal(name, data)
    assert error.reason == reason
    assert words in error.detail


def test_too_large_names_both_figures_and_the_setting() -> None:
    error = read_refusal("a.txt", b"x" * (3 * 2**20), ReadLimits(max_file_bytes=2 * 2**20))
    assert error.reason == "too_large"
    assert "3.0 MB" in error.detail
    assert "2.0 MB" in error.detail
    assert "SHARPWAVE_MAX_FILE_MB" in error.detail


@pytest.mark.parametrize("name", ["a.txt", "a.html", "a.pdf", "a.jsonl"])
def test_too_many_characters(name: str) -> None:
    data = {"a.pdf": build_pdf(["word " * 9] * 3), "a.jsonl": b'{"text": "%s"}' % (b"word " * 30)}
    error = read_one(name, data.get(name, b"word " * 30), ReadLimits(max_document_chars=100))
    assert isinstance(error, UnreadableDocument)
    assert error.reason == "too_large"


def test_pdf_pages() -> None:
    document = read_document("a.pdf", build_pdf(["First page.", "", "Third page."]))
    assert document.text == "First page.\n\n\n\nThird page."
    assert document.pages == (0, 13, 15)
    assert document.text[document.pages[2] :].startswith("Third")


def test_encrypted_pdf() -> None:
    assert read_refusal("a.pdf", unpack(USER_PASSWORD_PDF)).reason == "encrypted"
    # An owner's password only restricts printing and copying: the file opens without one.
    assert "Kept behind a password." in read_document("a.pdf", unpack(OWNER_PASSWORD_PDF)).text


def unpack(packed: str) -> bytes:
    return zlib.decompress(base64.b85decode(packed))


def test_html_loses_scripts_and_keeps_words_as_they_are() -> None:
    page = b"""<html><head><style>p {color: red}</style><script>evil()</script></head><body><!-- hidden -->
    <h2>Part</h2><p>snake_case * <a href="http://h.example/x">link</a><script>evil()</script></p>
    <img src="data:image/png;base64,AAAA" alt="A mill"><img src="http://h.example/i.png" alt="far"></body></html>"""
    text = read_document("a.html", page).text
    assert "## Part" in text
    assert "snake_case * [link](http://h.example/x)" in text
    assert "A mill" in text
    for lost in ("evil", "color", "hidden", "base64"):
        assert lost not in text


def test_broken_html_costs_no_square() -> None:
    assert read_refusal("a.html", b"<!--" * 200_000).reason == "empty"
    assert read_document("a.html", b"<" * 100_000).text


def test_docx_and_html_never_reach_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a reader opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert read_document("a.html", b'<base href="http://h.example/"><img src="i.png"><link href="x.css">text').text
    document = read_document("a.docx", build_docx(["Plain snake_case."], heading="Head"))
    assert document.text == "# Head\n\nPlain snake_case."


def test_docx_pictures_stay_packed() -> None:
    data = build_docx(["text"], extra={"word/media/a.png": bytes(200 * 2**20)})
    assert read_document("a.docx", data).text == "text"


def test_docx_bombs_are_refused_before_unpacking() -> None:
    bomb = build_docx(["text"], extra={"word/footnotes.xml": b" " * (80 * 2**20)})
    assert len(bomb) < 2**20
    error = read_refusal("a.docx", bomb)
    assert error.reason == "too_large"
    assert "80 MB" in error.detail
    entities = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]><x>&a;</x>'
    assert read_refusal("a.docx", build_docx(["text"], extra={"word/footnotes.xml": entities})).reason == "damaged"


def test_jsonl_bad_lines_do_not_stop_the_others() -> None:
    lines: list[bytes] = [
        b'\xef\xbb\xbf{"id": "a", "title": "A", "text": "one\\r\\ntwo", "metadata": {"n": 1}, "source": "s"}\r',
        b"",
        b"{broken",
        b'["text"]',
        b'{"text": "x", "colour": "red"}',
        b'{"title": "x"}',
        b'{"text": 3}',
        b'{"text": " "}',
        b'{"id": "", "text": "x"}',
        b'{"text": "x", "metadata": []}',
        b'{"text": "x", "occurred_at": "yesterday"}',
        b'{"text": "x\\u0000"}',
        b'{"text": "x", "metadata": {"a": ["\\ud800"]}}',
        b'{"id": "a", "text": "again"}',
        b'{"text": "na\xefve"}',
        b'{"text": "x", "metadata": {"n": NaN}}',
        b"[" * 100_000,
        b'{"text": "last", "title": null, "occurred_at": "2024-05-01T14:00:00+02:00"}',
        b'{"text": "x", "occurred_at": "2024-05-01T12:00:00"}',
        b'{"text": "x", "occurred_at": "2024-05-01"}',
    ]
    results = list(read_bytes("d.jsonl", b"\n".join(lines)))
    refusals = {r.name: (r.reason, r.detail) for r in results if isinstance(r, UnreadableDocument)}
    documents = [r for r in results if isinstance(r, Document)]
    assert [(name, reason) for name, (reason, _) in refusals.items()] == [
        ("d.jsonl:3", "not_json"),
        ("d.jsonl:4", "not_json"),
        ("d.jsonl:5", "invalid"),
        ("d.jsonl:6", "invalid"),
        ("d.jsonl:7", "invalid"),
        ("d.jsonl:8", "empty"),
        ("d.jsonl:9", "invalid"),
        ("d.jsonl:10", "invalid"),
        ("d.jsonl:11", "invalid"),
        ("d.jsonl:12", "invalid"),
        ("d.jsonl:13", "invalid"),
        ("d.jsonl:14", "invalid"),
        ("d.jsonl:15", "encoding"),
        ("d.jsonl:16", "not_json"),
        ("d.jsonl:17", "not_json"),
        ("d.jsonl:19", "invalid"),
        ("d.jsonl:20", "invalid"),
    ]
    assert "time zone" in refusals["d.jsonl:19"][1]
    assert "time zone" in refusals["d.jsonl:20"][1]
    assert "colour" in refusals["d.jsonl:5"][1]
    assert "line 1 " in refusals["d.jsonl:14"][1]
    assert documents[0] == Document(id="a", title="A", text="one\ntwo", metadata={"n": 1}, source="s")
    assert documents[1].id == content_id("", "last")
    assert documents[1].source == "d.jsonl"
    assert documents[1].occurred_at == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert len(documents) == 2


def test_content_ids() -> None:
    assert content_id("a", "b") == content_id("a", "b")
    assert len({content_id("a", "b"), content_id("ab", ""), content_id("", "ab")}) == 3
    assert content_id("a", "b").startswith("sha256:")
    assert len(content_id("", "")) == len("sha256:") + 32


def test_lines_longer_than_one_look_are_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    text = "word " * 700_000
    path.write_text(json.dumps({"text": text}) + "\n" + json.dumps({"id": "b", "text": "x"}))
    first, second = read_file(path)
    assert isinstance(first, Document)
    assert isinstance(second, Document)
    assert first.text == text
    assert second.id == "b"


def test_lines_of_200_mb_need_no_memory(tmp_path: Path) -> None:
    text, lines = tmp_path / "long.txt", tmp_path / "long.jsonl"
    text.touch()
    os.truncate(text, 200 * 2**20)
    with lines.open("wb") as file:
        file.write(b'{"text": "first"}\n{"text": "')
        for _ in range(200):
            file.write(b"x" * 2**20)
        file.write(b'"}\n{"text": "last"}\n')
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (refused,) = read_file(text)
    first, long, last = read_file(lines)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert isinstance(refused, UnreadableDocument)
    assert isinstance(long, UnreadableDocument)
    assert (refused.reason, long.reason) == ("too_large", "too_large")
    assert long.name.endswith("long.jsonl:2")
    assert [d.text for d in (first, last) if isinstance(d, Document)] == ["first", "last"]
    assert grown * 1024 < 50 * 2**20
    lines.unlink()


def test_folders_are_walked_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/b.PDF", "a/x.log", ".hidden.txt", ".git/c.txt", "c/d.html"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nowhere.txt")
    os.mkfifo(tmp_path / "pipe.txt")
    results = list(find_files([tmp_path, tmp_path / "b.txt", tmp_path / "a" / "x.log", tmp_path / "no"]))
    paths = [str(item.relative_to(tmp_path)) for item in results if isinstance(item, Path)]
    errors = [(Path(item.name).name, item.reason) for item in results if isinstance(item, UnreadableDocument)]
    assert paths == ["a/b.PDF", "a/z.md", "b.txt", "c/d.html", "a/x.log"]
    assert errors == [("gone.txt", "missing"), ("no", "missing")]


@pytest.mark.parametrize("name", ["none.txt", "folder.txt", "pipe.txt", "loop.txt"])
def test_what_is_no_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.txt").mkdir()
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "loop.txt").symlink_to(tmp_path / "loop.txt")
    (error,) = read_file(tmp_path / name)
    assert isinstance(error, UnreadableDocument)
    assert error.reason == ("unsupported" if name[:2] in ("fo", "pi") else "missing")


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"na\xefve.txt")
    path.write_text("x")
    (error,) = read_file(path)
    assert isinstance(error, UnreadableDocument)
    assert error.reason == "invalid"
    assert error.name.encode().endswith(b"na\\xefve.txt")


def test_locked_files_and_folders_do_not_stop_the_rest() -> None:
    # Not in tmp_path: pytest keeps its folders to their owner.
    with tempfile.TemporaryDirectory() as base:
        check_locked(Path(base))


def check_locked(base: Path) -> None:
    base.chmod(0o755)
    folder = base / "docs"
    (folder / "locked").mkdir(parents=True)
    (folder / "locked" / "x.txt").write_text("x")
    (folder / "locked.txt").write_text("x")
    (folder / "open.txt").write_text("x")
    (folder / "locked").chmod(0)
    (folder / "locked.txt").chmod(0)
    # In a process of its own that stops being root, whom permissions do not bind.
    script = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from ingest.readers import find_files, read_file
os.chdir(sys.argv[2])
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for item in find_files([Path("docs")]):
    for result in read_file(item) if isinstance(item, Path) else [item]:
        sys.stdout.write(f"{getattr(result, 'reason', 'read')} {Path(item.name).name}\\n")
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(REPOSITORY), str(base)], capture_output=True, text=True, check=False
    )
    (folder / "locked").chmod(0o700)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["permission locked", "permission locked.txt", "read open.txt"]


def break_bytes(rng: random.Random, data: bytes) -> bytes:
    """Return a damaged copy: cut off, bits flipped, a stretch lost, noise or zeros put in."""
    broken = bytearray(data)
    at = rng.randrange(len(broken))
    match rng.randrange(5):
        case 0:
            del broken[at:]
        case 1:
            for _ in range(rng.randrange(1, 20)):
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        case 2:
            del broken[at : at + rng.randrange(1, 200)]
        case 3:
            broken[at:at] = rng.randbytes(rng.randrange(1, 100))
        case _:
            broken[at : at + 40] = bytes(40)
    return bytes(broken)


def break_part(rng: random.Random, data: bytes) -> bytes:
    """Return a sound ZIP archive of which one part is damaged."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(sorted(parts))
    return build_zip(parts | {name: break_bytes(rng, parts[name])})


@pytest.mark.parametrize("suffix", [".pdf", ".docx", ".docx part", ".html", ".jsonl", ".md"])
def test_broken_files_end_as_values(suffix: str) -> None:
    whole = {
        ".pdf": build_pdf(["First page of text.", "Second page."], "Title"),
        ".docx": build_docx(["One.", "Two."], title="Title", heading="Head"),
        ".docx part": build_docx(["One.", "Two."], title="Title", heading="Head"),
        ".html": b"<html><head><title>T</title></head><body><h1>Head</h1><p>a <b>b</b></p><ul><li>x</ul></body></html>",
        ".jsonl": b'{"id": "a", "text": "one"}\n{"title": "t", "text": "\\u00e9", "metadata": {"x": [1, 2]}}\n',
        ".md": "# Größe\n\nText.\n".encode(),
    }[suffix]
    rng = random.Random(f"broken {suffix}")
    cuts = [whole[: len(whole) * tenth // 10] for tenth in range(1, 10)]
    broken = [break_part(rng, whole) if "part" in suffix else break_bytes(rng, whole) for _ in range(40)]
    for data in cuts + broken:
        results = list(read_bytes(f"a{suffix.split()[0]}", data))
        assert results
        for result in results:
            assert isinstance(result, Document | UnreadableDocument)
            if isinstance(result, Document):
                assert result.text.strip()
                result.text.encode()


def test_importing_the_readers_is_quick() -> None:
    script = f"import sys; sys.path.insert(0, {str(REPOSITORY)!r}); import ingest.readers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pypdfium2", "markitdown", "bs4", "lxml", "requests"} & set(loaded)
