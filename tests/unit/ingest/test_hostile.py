"""Whatever a file holds, it ends as documents or as a named reason; no process is left, and nothing is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.file_reader import FileReader
from ingest.formats.limits import ReadLimits
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document
from tests.unit.ingest.hostile import hostile_files

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = list(hostile_files())
LIMITS = ReadLimits(max_members=1000, max_ratio=100, max_seconds=20.0, max_memory_bytes=700 * 2**20)
SETTLED = re.compile(r"\| `([a-z_]+)` \|")


def known_reasons() -> set[str]:
    page = (REPOSITORY / "docs" / "ingestion.md").read_text("utf-8")
    return set(SETTLED.findall(page.partition("## When a document is refused")[2]))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileReader]:
    """One reader for all files, its child in a folder of its own, which stays empty."""
    folder, before = tmp_path_factory.mktemp("child"), Path.cwd()
    os.chdir(folder)
    reader = FileReader(LIMITS)
    try:
        yield reader
    finally:
        os.chdir(before)
        reader.close()
    assert list(folder.iterdir()) == []


def test_there_are_200_of_them_with_names_of_their_own() -> None:
    assert len(FILES) >= 200
    assert len({name for name, _, _ in FILES}) == len(FILES)


@pytest.mark.parametrize(("name", "data", "reason"), FILES, ids=[name for name, _, _ in FILES])
def test_it_ends_with_documents_or_a_named_reason(reader: FileReader, name: str, data: bytes, reason: str) -> None:
    results = list(reader.read_bytes(name, data))
    assert results
    ends = [result.reason if isinstance(result, UnreadableDocument) else "read" for result in results]
    assert set(ends) <= known_reasons() | {"read"}
    # Never by the child's end: whatever is known is refused by name before it comes to that.
    assert not {"timeout", "out_of_memory", "crashed"} & set(ends), results
    assert not reason or reason in ends, results
    for result in results:
        if isinstance(result, Document):
            assert result.text.strip()
            for text in (result.id, result.text, result.title):
                assert "\0" not in text
                text.encode()
        else:
            assert result.name.startswith(name)
            assert "\n" not in result.detail
            (result.name + result.detail).encode()
        assert "root:" not in (result.text if isinstance(result, Document) else result.detail)
