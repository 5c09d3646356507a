"""The formats: what of a file's structure is kept, and what its passages say alone."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ingest.files import SUFFIXES
from ingest.formats.limits import ReadLimits
from ingest.formats.tables import PIECE_CHARS, render_table, repeat_heads
from ingest.readers import DEFAULT_LIMITS, read_bytes
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document
from tests.unit.ingest.files import build_epub, build_pptx, build_tar, build_xlsx, build_zip

MAIL = b"""From: Ada Quill <ada@example.org>
To: Ivo <ivo@example.org>
Subject: =?utf-8?q?The_mill_at_Gr=C3=B6den?=
Date: Wed, 1 May 2024 14:00:00 +0200
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="XX"

--XX
Content-Type: multipart/alternative; boundary="YY"

--YY
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

The mill was sold to M=FCller.
--YY
Content-Type: text/html

<p>The mill in HTML.</p>
--YY--
--XX
Content-Type: text/csv; name="../prices.csv"
Content-Disposition: attachment; filename="../prices.csv"

what,price
mill,300
--XX
Content-Type: image/png
Content-Disposition: attachment; filename="mill.png"

xx
--XX
Content-Type: message/rfc822

From: Ivo <ivo@example.org>
Subject: Before that

I shall sell.
--XX--
"""


def read_all(name: str, data: bytes, limits: ReadLimits = DEFAULT_LIMITS) -> dict[str, Document | UnreadableDocument]:
    results = list(read_bytes(name, data, limits=limits))
    found = {result.id if isinstance(result, Document) else result.name: result for result in results}
    assert len(found) == len(results)
    return found


def read_document(name: str, data: bytes) -> Document:
    (only,) = read_bytes(name, data)
    assert isinstance(only, Document), only
    return only


def reasons(found: dict[str, Document | UnreadableDocument]) -> dict[str, str]:
    return {name: one.reason if isinstance(one, UnreadableDocument) else "read" for name, one in found.items()}


def test_csv_rows_stand_under_their_head_in_every_piece() -> None:
    rows = "".join(f"{n};Town {n};{n * 100}\r\n" for n in range(60))
    text = read_document("towns.csv", f"\ufeffid;name;people\r\n{rows}".encode()).text
    pieces = text.split("\n\n")
    assert len(pieces) > 3
    for piece in pieces:
        assert piece.startswith("| id | name | people |\n| --- | --- | --- |\n| ")
        assert len(piece) <= PIECE_CHARS
    assert [line for piece in pieces for line in piece.split("\n")[2:]] == [
        f"| {n} | Town {n} | {n * 100} |" for n in range(60)
    ]


def test_csv_with_quotes_breaks_and_bars() -> None:
    text = read_document("a.csv", b'what,said\nmill,"one, two\nthree | four"\n').text
    assert text == "| what | said |\n| --- | --- |\n| mill | one, two three \\| four |"


def test_a_wide_table_names_the_column_at_each_cell() -> None:
    head = [f"a rather long name of column {n}" for n in range(30)]
    first, second = render_table([head, ["x"] * 30, ["", "y"]])
    assert first.startswith("- a rather long name of column 0: x\n- a rather")
    assert second == "- a rather long name of column 1: y"
    assert list(render_table([["a"], ["1", "2"]])) == ["- a: 1\n- column 2: 2"]
    assert list(render_table([[], ["only", "head"]])) == ["| only | head |\n| --- | --- |"]


def test_long_tables_of_markdown_repeat_their_head_outside_of_code() -> None:
    table = "| a | b |\n| --- | --- |\n" + "\n".join(f"| {n} | {'x' * 40} |" for n in range(20))
    assert repeat_heads(f"text\n\n{table}\n\nend").count("| a | b |\n| --- | --- |\n") == 3
    assert repeat_heads(f"```\n{table}\n```") == f"```\n{table}\n```"


def test_xlsx_sheets_numbers_dates_and_formulas() -> None:
    data = build_xlsx(
        {
            "Sales": [["Town", "Year", "Sum"], ["Ostrow", 1871.0, "=B2*2|3742"], ["Quell", 2.5, 7]],
            "Empty": [],
            "More": [["x"], ["y"]],
        },
        title="Mills",
    )
    document = read_document("a.xlsx", data)
    assert document.title == "Mills"
    assert document.text == (
        "## Sales\n\n| Town | Year | Sum |\n| --- | --- | --- |\n| Ostrow | 1871 | 3742 |\n| Quell | 2.5 | 7 |"
        "\n\n## More\n\n| x |\n| --- |\n| y |"
    )


def test_pptx_slides_tables_and_notes() -> None:
    data = build_pptx(
        [("The Mill", ["It stood.", "It fell."]), ("", ["No title here."])],
        table=[["who", "when"], ["Ada", "1871"]],
        notes="Speak slowly.",
        title="Deck",
    )
    document = read_document("a.pptx", data)
    assert document.title == "Deck"
    assert document.text == (
        "## Slide 1: The Mill\n\nIt stood.\nIt fell.\n\n| who | when |\n| --- | --- |\n| Ada | 1871 |"
        "\n\nNotes: Speak slowly.\n\n## Slide 2\n\nNo title here."
    )


def test_epub_chapters_in_the_order_of_the_spine() -> None:
    document = read_document(
        "a.epub", build_epub(["<h1>One</h1><p>First &amp; all.</p>", "<h1>Two</h1><p>x</p>"], title="Book of Mills")
    )
    assert document.title == "Book of Mills"
    assert document.text == "# One\n\nFirst & all.\n\n# Two\n\nx"


def test_json_documents_and_their_errors() -> None:
    items = [
        {"id": "a", "text": "one", "metadata": {"n": 1}},
        {"text": "two", "colour": "red"},
        {"id": "a", "text": "three"},
    ]
    found = list(read_bytes("d.json", json.dumps(items).encode()))
    assert isinstance(found[0], Document)
    assert (found[0].id, found[0].metadata) == ("a", {"n": 1})
    assert [(one.name, one.reason) for one in found[1:] if isinstance(one, UnreadableDocument)] == [
        ("d.json:2", "invalid"),
        ("d.json:3", "invalid"),
    ]
    assert "colour" in str(found[1])
    assert read_document("my_note.json", b'{"text": "x"}') == Document(
        id="my_note.json", text="x", title="my note", source="my_note.json"
    )


def test_other_json_becomes_readable_text() -> None:
    value = {
        "name": "Quell & Sons",
        "open": True,
        "people": [{"who": "Ada", "born": 1851}, {"who": "Ivo", "died": 1920}],
        "places": ["Ostrow", {"town": "Quell", "rivers": ["Elm"]}],
        "empty": {},
    }
    assert read_document("a.json", json.dumps(value).encode()).text == (
        "- name: Quell & Sons\n- open: true\n- empty: {}\n\n## people\n\n| who | born | died |\n| --- | --- | --- |\n"
        "| Ada | 1851 |  |\n| Ivo |  | 1920 |\n\n## places\n\n- Ostrow\n\n- town: Quell\n- rivers:\n  - Elm"
    )


def test_mail_text_attachments_and_mails_in_it() -> None:
    found = read_all("a.eml", MAIL)
    assert reasons(found) == {
        "a.eml": "read",
        "a.eml!/prices.csv": "read",
        "a.eml!/mill.png": "unsupported",
        "a.eml!/part-4.eml": "read",
    }
    mail = found["a.eml"]
    assert isinstance(mail, Document)
    assert mail.title == "The mill at Gröden"
    assert mail.occurred_at == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert mail.text.endswith("Subject: The mill at Gröden\n\nThe mill was sold to Müller.")
    assert "HTML" not in mail.text
    prices = found["a.eml!/prices.csv"]
    assert isinstance(prices, Document)
    assert "| mill | 300 |" in prices.text


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_archives_hold_documents_of_their_own(kind: str) -> None:
    inner = build_zip({"deep.txt": b"deep down"})
    parts = {
        "a/one.md": b"# One\n\ntext",
        "two.csv": b"a,b\n1,2",
        "inner.zip": inner,
        "picture.png": b"x",
        ".x.txt": b"x",
    }
    packed = kind.removeprefix("tar").removeprefix(".")
    data = build_zip(parts) if kind == "zip" else build_tar(parts, packed=packed)  # type: ignore[arg-type]
    found = read_all(f"all.{kind}", data)
    top = f"all.{kind}!/"
    assert reasons(found) == dict.fromkeys([f"{top}a/one.md", f"{top}two.csv", f"{top}inner.zip!/deep.txt"], "read")
    one = found[f"{top}a/one.md"]
    assert isinstance(one, Document)
    assert (one.title, one.source) == ("One", f"{top}a/one.md")


TEXTS = {
    "de": "Größe und Übermut führen zu nichts Gutem. Der Müller lebte in Köln, wo er süße Brötchen verkaufte. "
    "„Schön“, sagte er – und ging.",
    "fr": "L’été dernier, elle a mangé des crêpes à la crème près de l’hôtel où naquit François. Ça coûte cher, "
    "dit-il, mais c’était délicieux et très français.",
    "en": "The café wasn’t open — “closed for repairs,” the sign said. It’s been three weeks since the fire, and "
    "nobody knows when the naïve owner will return to work.",
    "pl": "Pewnego dnia żołnierz wrócił do domu i powiedział, że wojna się skończyła. Książka leżała na stole obok "
    "świecy, którą zapaliła jego córka.",
    "ru": "Однажды весною, в час небывало жаркого заката, в Москве, на Патриарших прудах, появились два гражданина.",
    "el": "Μια φορά κι έναν καιρό ζούσε ένας γέρος ψαράς με τη γυναίκα του κοντά στη θάλασσα. Κάθε μέρα πήγαινε.",
    "ja": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
    "何でも薄暗いじめじめした所で泣いていた事だけは記憶している。",
    "zh": "从前有一座山,山里有一座庙,庙里有一个老和尚在给小和尚讲故事。"
    "故事讲的是什么呢?从前有一座山,山里有一座庙,庙里有一个老和尚和一个小和尚。",
    "ko": "옛날 옛적에 한 마을에 착한 나무꾼이 살고 있었습니다. "
    "나무꾼은 매일 산에 올라가 나무를 했습니다. 어느 날 사슴이 나타났습니다.",
}


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("de", "cp1252"), ("fr", "cp1252"), ("en", "cp1252"), ("pl", "cp1250"), ("ru", "cp1251"), ("ru", "koi8-r"),
        ("ru", "cp866"), ("el", "cp1253"), ("ja", "cp932"), ("ja", "euc-jp"), ("zh", "gb18030"), ("zh", "big5"),
        ("ko", "cp949"), ("de", "utf-16-le"), ("en", "utf-16-be"),
    ],
)  # fmt: skip
def test_legacy_encodings_are_guessed_and_the_guess_is_recorded(language: str, encoding: str) -> None:
    data = TEXTS[language].encode(encoding, "ignore")
    document = read_document("a.txt", data)
    assert document.text == data.decode(encoding)
    guessed = document.metadata["guessed_encoding"]
    assert data.decode(guessed) == document.text


def test_what_an_encoding_is_cannot_be_told_of_a_few_letters_or_of_noise() -> None:
    for data in ("Müller lebt in Köln.".encode("cp1252"), bytes(range(128, 256)) * 20, b"caf\x8e " * 100):
        (error,) = read_bytes("a.txt", data)
        assert isinstance(error, UnreadableDocument)
        assert error.reason == "encoding"


def test_a_mark_and_utf8_win_and_nothing_is_recorded() -> None:
    for data in (TEXTS["de"].encode(), TEXTS["de"].encode("utf-8-sig"), TEXTS["ja"].encode("utf-16")):
        document = read_document("a.txt", data)
        assert document.text in TEXTS.values()
        assert document.metadata == {}


def test_what_a_page_says_of_its_encoding_is_no_guess() -> None:
    page = '<html><head><meta charset="iso-8859-2"></head><body>Łódź</body></html>'.encode("iso-8859-2")
    document = read_document("a.html", page)
    assert (document.text, document.metadata) == ("Łódź", {})


@pytest.mark.parametrize(
    ("name", "data", "limits", "setting"),
    [
        ("a.pptx", build_pptx([("a", ["b"])] * 3), {"max_pages": 2}, "SHARPWAVE_MAX_FILE_PAGES"),
        ("a.xlsx", build_xlsx({f"s{n}": [["x"]] for n in range(3)}), {"max_pages": 2}, "SHARPWAVE_MAX_FILE_PAGES"),
        ("a.epub", build_epub(["<p>x</p>"] * 3), {"max_pages": 2}, "SHARPWAVE_MAX_FILE_PAGES"),
        ("a.xlsx", build_xlsx({"s": [["x"] * 20] * 20}), {"max_cells": 399}, "20 rows"),
        ("a.xlsx", build_xlsx({"s": [["x"]]}), {"max_expanded_bytes": 100}, "SHARPWAVE_MAX_UNPACKED_MB"),
        ("a.zip", build_zip({"a.txt": bytes(17 * 2**20)}), {}, "SHARPWAVE_MAX_UNPACKED_RATIO"),
        ("a.tar.gz", build_tar({"a.txt": bytes(17 * 2**20)}, packed="gz"), {}, "SHARPWAVE_MAX_UNPACKED_RATIO"),
        ("a.zip", build_zip({"a.txt": b"x" * 200}), {"max_archive_bytes": 100}, "SHARPWAVE_MAX_ARCHIVE_MB"),
        ("a.zip", build_zip({"a.txt": b"x" * 200}), {"max_file_bytes": 190}, "SHARPWAVE_MAX_FILE_MB"),
        ("a.zip", build_zip({f"{n}.txt": b"x" for n in range(4)}), {"max_members": 3}, "SHARPWAVE_MAX_ARCHIVE_FILES"),
        ("a.zip", build_zip({"b.zip": build_zip({"c.txt": b"x"})}), {"max_nesting": 1}, "SHARPWAVE_MAX_ARCHIVE_DEPTH"),
    ],
)  # fmt: skip
def test_limits_name_what_raises_them(name: str, data: bytes, limits: dict[str, int], setting: str) -> None:
    *_, last = read_bytes(name, data, limits=ReadLimits(**limits))  # type: ignore[arg-type]
    assert isinstance(last, UnreadableDocument)
    assert last.reason == "too_large"
    assert setting in last.detail


def test_every_suffix_is_in_the_table_of_formats() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "ingestion.md").read_text("utf-8")
    table = page.partition("## Formats")[2].partition("\n\nWhere")[0]
    first_columns = "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("|"))
    assert set(re.findall(r"`(\.[a-z0-9.]+)`", first_columns)) == set(SUFFIXES)
