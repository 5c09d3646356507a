"""The child that reads files: what it costs a file that it is ended on, and that it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ingest.file_reader import MAX_ENDED, FileReader
from ingest.formats.limits import ReadLimits
from ingest.readers import read_bytes
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document
from tests.unit.ingest.files import build_zip
from tests.unit.ingest.test_formats import MAIL, reasons
from tests.unit.ingest.test_readers import build_docx, build_pdf

REPOSITORY = Path(__file__).resolve().parents[3]
PATIENCE_S = 60.0
# Parts in parts, and lines that may be the border of each: a minute and more of work for the parser, in little memory.
SLOW = b"Subject: slow\nMIME-Version: 1.0\n" + b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(500)
) + b"--\n" * 2_000_000  # fmt: skip
LARGE = b'{"a": [' + b"[0]," * 2_000_000 + b"0]}"  # 8 MB, of which Python makes some 200


def children() -> set[int]:
    """Return this process's children that are alive."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= set(map(int, (task / "children").read_text().split()))
    return found


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def read_all(reader: FileReader, name: str, data: bytes) -> dict[str, Document | UnreadableDocument]:
    results = list(reader.read_bytes(name, data))
    return {result.id if isinstance(result, Document) else result.name: result for result in results}


def test_the_child_says_what_this_process_would() -> None:
    reader = FileReader()
    files = {
        "a.pdf": build_pdf(["one", "two"], "Title"),
        "a.docx": build_docx(["text"], heading="Head"),
        "a.eml": MAIL,
        "a.csv": "Straße;Größe\nMüllerstraße;über\n".encode("cp1252") * 20,
        "a.json": b'[{"text": "x", "metadata": {"n": 1}, "occurred_at": "2024-05-01"}, {"text": ""}]',
        "broken.xlsx": b"x",
    }
    for name, data in files.items():
        here = [
            (one.name, one.reason) if isinstance(one, UnreadableDocument) else one for one in read_bytes(name, data)
        ]
        there = [
            (one.name, one.reason) if isinstance(one, UnreadableDocument) else one
            for one in reader.read_bytes(name, data)
        ]
        assert here == there
    reader.close()


def test_files_by_path_and_plain_text_without_a_child(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(build_pdf(["text"]))
    (tmp_path / "a.txt").write_text("text")
    before = children()
    reader = FileReader()
    (text,) = reader.read_file(tmp_path / "a.txt")
    assert children() == before
    (pdf,) = reader.read_file(tmp_path / "a.pdf")
    (missing,) = reader.read_file(tmp_path / "none.pdf")
    (child,) = children() - before
    assert isinstance(text, Document)
    assert isinstance(pdf, Document)
    assert (pdf.id, pdf.pages) == (str((tmp_path / "a.pdf").resolve()), (0,))
    assert isinstance(missing, UnreadableDocument)
    assert missing.reason == "missing"
    assert any(
        line.split()[:5] == ["Max", "file", "size", "0", "0"]
        for line in Path(f"/proc/{child}/limits").read_text().splitlines()
    )
    reader.close()
    assert children() == before


def test_what_takes_too_long_costs_its_file_and_no_other() -> None:
    reader = FileReader(ReadLimits(max_seconds=2.0))
    data = build_zip({"a.txt": b"one", "slow.eml": SLOW, "b.zip": build_zip({"c.txt": b"two"}), "d.txt": b"three"})
    assert reasons(read_all(reader, "a.zip", data)) == {
        "a.zip!/a.txt": "read",
        "a.zip!/slow.eml": "timeout",
        "a.zip!/b.zip!/c.txt": "read",
        "a.zip!/d.txt": "read",
    }
    alone = read_all(reader, "slow.eml", SLOW)
    assert reasons(alone) == {"slow.eml": "timeout"}
    assert "SHARPWAVE_MAX_FILE_SECONDS" in str(alone["slow.eml"])
    assert reasons(read_all(reader, "a.pdf", build_pdf(["text"]))) == {"a.pdf": "read"}
    reader.close()


def test_what_takes_too_much_memory_ends_by_name() -> None:
    reader = FileReader(ReadLimits(max_memory_bytes=60 * 2**20))
    found = read_all(reader, "large.json", LARGE)
    assert reasons(found) == {"large.json": "out_of_memory"}
    assert "SHARPWAVE_MAX_FILE_MEMORY_MB" in str(found["large.json"])
    assert reasons(read_all(reader, "a.pdf", build_pdf(["text"]))) == {"a.pdf": "read"}
    reader.close()


def test_a_file_on_which_the_child_dies_is_named() -> None:
    before = children()
    reader = FileReader()
    assert reasons(read_all(reader, "a.pdf", build_pdf(["text"]))) == {"a.pdf": "read"}
    (child,) = children() - before
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all, reader, "slow.eml", SLOW)
        os.kill(child, signal.SIGSEGV)
        found = reading.result(PATIENCE_S)
    assert reasons(found) == {"slow.eml": "crashed"}
    assert "signal 11" in str(found["slow.eml"])
    assert reasons(read_all(reader, "a.pdf", build_pdf(["text"]))) == {"a.pdf": "read"}
    reader.close()
    assert children() == before


def test_an_archive_of_nothing_but_bad_files_is_given_up() -> None:
    reader = FileReader(ReadLimits(max_memory_bytes=60 * 2**20, max_ratio=10**6))
    found = read_all(reader, "a.zip", build_zip({f"{n}.json": LARGE for n in range(MAX_ENDED + 2)}))
    ended = {f"a.zip!/{n}.json": "out_of_memory" for n in range(MAX_ENDED)}
    assert reasons(found) == ended | {"a.zip": "crashed"}
    reader.close()


def test_a_reader_that_nobody_holds_leaves_no_child() -> None:
    before = children()
    reader = FileReader()
    results = reader.read_bytes("a.zip", build_zip({"a.txt": b"one", "b.txt": b"two"}))
    next(results)
    assert children() > before
    results.close()  # type: ignore[attr-defined]
    assert children() == before
    assert len(list(reader.read_bytes("a.pdf", build_pdf(["x"])))) == 1
    del reader
    assert children() == before


def test_the_child_ends_with_a_parent_that_is_killed() -> None:
    script = """
import sys
from ingest.file_reader import FileReader
from tests.unit.ingest.test_file_reader import SLOW, children
reader = FileReader()
list(reader.read_bytes("a.csv", b"a,b"))
print(*children(), flush=True)
list(reader.read_bytes("slow.eml", SLOW))
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text())


@pytest.mark.parametrize("limits", [{"max_file_bytes": 10}, {"max_document_chars": 3}])
def test_the_child_has_the_limits_of_its_reader(limits: dict[str, int]) -> None:
    reader = FileReader(ReadLimits(**limits))  # type: ignore[arg-type]
    assert reasons(read_all(reader, "a.csv", b"a,b\n1,2\n3,4")) == {"a.csv": "too_large"}
    reader.close()
