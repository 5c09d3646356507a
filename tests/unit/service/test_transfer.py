"""Export and import: what comes back is what was there, of one state, all or nothing."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from memory_graph.database import Database, upgrade_schema
from memory_graph.errors import Conflict, InvalidInput, NotFound
from memory_graph.store.collections import bind_embedder, list_collections
from memory_graph.store.correcting import list_corrections
from memory_graph.store.duplicates import SIGNATURE_VALUES, Signature, copies_of
from memory_graph.store.learning import LearnedDocument
from memory_graph.store.notes import NewNote, add_notes, list_notes
from memory_graph.store.retention import Rule, list_rules, put_rule
from memory_graph.tables import collections, documents, passages
from retrieval.search import Searcher, SearchRequest
from retrieval.views import ViewCache
from service import transfer
from service.cli import main
from service.transfer import export_file, export_lines, import_file
from tests.unit.factories import (
    EMBEDDER,
    Step,
    commit_documents,
    content_of,
    correct,
    embed_names,
    find_collection,
    forget_document,
    learn_document,
    new_collection,
    random_history,
    replay,
    undo_correction,
)
from tests.unit.rankers import random_ranker
from tests.unit.retrieval.test_laws import CORRECTIONS, Put, Undo, put
from tests.unit.views import assert_up_to_date, canonical, fresh, passage_names

LEARNED_AT = datetime(2020, 5, 1, 12, tzinfo=UTC)
TEXTS = ("Ada Quill likes Bram Oster.", "Bram Oster likes the Old Mill.", "Cora Finch saw Ada Quill.")


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Database]:
    """Another, empty installation."""
    opened = Database(f"sqlite:///{tmp_path / 'other' / 'sharpwave.db'}")
    upgrade_schema(opened)
    yield opened
    opened.close()


@pytest.fixture
def memory(database: Database) -> Database:
    """A database whose collection ``memory`` holds something of every kind."""
    cid = new_collection(database).id
    values = np.arange(SIGNATURE_VALUES, dtype=np.uint32)
    near = values.copy()
    near[:6] += 1000
    fields: dict[str, Any] = {
        "source": "post",
        "metadata": {"year": 1871, "tags": ["x", None], "„q“": True},
        "occurred_at": datetime(1871, 5, 1, tzinfo=UTC),
    }
    signed = [
        _signed(embed_names(learn_document("letters/a ü", *TEXTS, title="Dunmore", **fields)), values),
        _signed(learn_document("b", TEXTS[0], TEXTS[0], title="Dunmore"), near),
        learn_document("empty"),
    ]
    commit_documents(database, cid, learn_document("gone", "Zorblax Quend likes Ada Quill."), *signed)
    commit_documents(database, cid, learn_document("late", "It rained on Lake Orrin."))
    assert forget_document(database, cid, "gone")
    with database.write() as connection:
        bind_embedder(connection, cid, EMBEDDER.name)
        put_rule(connection, cid, Rule(name="old", age_of="occurred", max_age_days=90, filter={"source": "post"}))
        ids = connection.scalars(select(passages.c.id).where(passages.c.collection_id == cid)).all()
        note = NewNote(
            collection_id=cid,
            query_id="q",
            question="Who?",
            text="Ada.",
            version=2,
            passage_ids=ids[:2],
            created_at=LEARNED_AT,
        )
        assert add_notes(connection, [note]) == 1
        connection.execute(update(documents).values(created_at=LEARNED_AT))
    correct(database, cid, "merge", names=["Bram Oster"], into="Bram")
    split = correct(database, cid, "split", name="Ada Quill", into="Ada Quell", documents=["b"])
    undo_correction(database, cid, split.id)
    return database


def _signed(document: LearnedDocument, values: np.ndarray) -> LearnedDocument:
    text_hash = f"{int(values.sum()):032x}"
    return replace(document, signature=Signature(text_hash=text_hash, values=values))


def lines_of(database: Database, name: str = "memory") -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(export_lines(database, name)).splitlines()]


def by_name(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines with the vectors, which come in the order of their rows, by what they are of."""
    return sorted(lines, key=lambda line: json.dumps(line) if line["kind"] in ("phrase", "fact") else "")


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def take(database: Database, path: Path, name: str | None = None) -> Any:
    return import_file(database, path, EMBEDDER.name, name=name)


def searches(database: Database, name: str) -> list[Any]:
    searcher = Searcher(database, ViewCache(database), EMBEDDER, ranker=random_ranker(0))
    return [
        [
            (hit.document_id, hit.ordinal, hit.score, hit.text, hit.duplicates)
            for hit in searcher.search(name, SearchRequest(query=query, top_k=50, mode=mode)).hits
        ]
        for query in ("Who does Ada Quill like?", "the Old Mill", "rain")
        for mode in ("graph", "dense", "hybrid")
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_what_comes_back_is_what_was_there(memory: Database, other: Database, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"memory{suffix}"
    counts = export_file(memory, "memory", path)
    assert (counts["document"], counts["passage"], counts["note"], counts["rule"]) == (4, 6, 1, 1)
    assert counts["phrase"] > 0
    assert counts["fact"] > 0
    made, taken = take(other, path)
    assert (made.name, made.version, made.embedder, taken) == ("memory", 1, EMBEDDER.name, counts)
    assert content_of(other) == content_of(memory)
    views = fresh(memory), fresh(other)
    assert canonical(views[1], passage_names(other)) == canonical(views[0], passage_names(memory))
    assert_up_to_date(views[1], other)
    assert searches(other, "memory") == searches(memory, "memory")
    told = lines_of(memory), lines_of(other)
    assert [told[0][0].pop("version"), told[1][0].pop("version")] == [6, 1]
    assert by_name(told[0]) == by_name(told[1])
    with other.read() as connection:
        cid = find_collection(other).id
        (note,) = list_notes(connection, cid, limit=5)
        (rule,) = list_rules(connection, cid)
        assert {row.created_at for row in connection.execute(select(documents))} == {LEARNED_AT}
        assert [(one.document_id, one.kind) for one in copies_of(connection, cid, "b")] == [("letters/a ü", "near")]
    assert (note.text, note.version, len(note.passage_ids)) == ("Ada.", 1, 2)
    assert (rule.max_age_days, rule.age_of, rule.filter) == (90, "occurred", {"source": "post"})


def test_corrections_come_back_standing_and_can_be_undone(memory: Database, other: Database, tmp_path: Path) -> None:
    export_file(memory, "memory", tmp_path / "m.jsonl")
    take(other, tmp_path / "m.jsonl")
    told = []
    for database in (memory, other):
        cid = find_collection(database).id
        commit_documents(database, cid, learn_document("new", "Bram Oster saw Cora Finch."))
        keys = {key for _, key in content_of(database)["mentions"]}
        assert "bram" in keys
        assert "bram oster" not in keys
        with database.read() as connection:
            undone, standing = list_corrections(connection, cid, limit=9)
        assert (undone.kind, undone.state, undone.undone_by) == ("split", "undone", "test")
        assert (standing.kind, standing.what) == ("merge", {"names": ["Bram Oster"], "into": "Bram"})
        undo_correction(database, cid, standing.id)
        content = content_of(database)
        assert "bram" not in {key for _, key in content["mentions"]}
        assert_up_to_date(fresh(database), database)
        told.append(content)
    assert told[0] == told[1]


def test_corrections_stand_in_the_way_of_an_import(memory: Database, other: Database, tmp_path: Path) -> None:
    export_file(memory, "memory", tmp_path / "m.jsonl")
    cid = new_collection(other, "memory").id
    commit_documents(other, cid, learn_document("a", TEXTS[0]))
    correct(other, cid, "merge", names=["Ada Quill"], into="Ada")
    assert forget_document(other, cid, "a")
    with pytest.raises(Conflict, match="holds corrections"):
        take(other, tmp_path / "m.jsonl")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.lists(CORRECTIONS, max_size=6), st.integers(0, 9))
def test_any_history_comes_back_and_goes_on(
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    corrections: list[Put | Undo],
    undone: int,
) -> None:
    folder = tmp_path_factory.mktemp("history")
    name, copy = f"from-{folder.name}", f"to-{folder.name}"
    cid = new_collection(database, name).id
    *history, last = random_history(seed, 8)
    for step, correction in zip_longest(history, corrections):
        if step is not None:
            replay(database, cid, step)
        if correction is not None:
            put(database, cid, correction)
    export_file(database, name, folder / "file.jsonl")
    made, _ = take(database, folder / "file.jsonl", copy)
    assert content_of(database, copy) == content_of(database, name)
    for one in (cid, made.id):
        put(database, one, Undo(undone))
    assert content_of(database, copy) == content_of(database, name)
    for one in (cid, made.id):
        replay(database, one, Step(last.write, ("a", *last.forget)))
    assert content_of(database, copy) == content_of(database, name)
    assert_up_to_date(fresh(database, name=copy), database, copy)


def test_an_export_is_of_one_state(memory: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_BUFFER_BYTES", 1)
    expected = list(export_lines(memory, "memory"))
    begun = export_lines(memory, "memory")
    first = [next(begun), next(begun)]
    assert forget_document(memory, find_collection(memory).id, "b")
    assert [*first, *begun] == expected
    assert list(export_lines(memory, "memory")) != expected


def test_an_empty_collection_comes_back(database: Database, other: Database, tmp_path: Path) -> None:
    new_collection(database, "empty")
    new_collection(other, "empty")
    export_file(database, "empty", tmp_path / "e.jsonl")
    made, counts = take(other, tmp_path / "e.jsonl")
    assert (made.version, counts) == (0, {})


def test_where_something_is_nothing_is_imported(memory: Database, tmp_path: Path) -> None:
    export_file(memory, "memory", tmp_path / "m.jsonl")
    before = content_of(memory)
    with pytest.raises(Conflict, match="--collection"):
        take(memory, tmp_path / "m.jsonl")
    assert content_of(memory) == before
    with pytest.raises(InvalidInput, match="--collection"):
        take(memory, tmp_path / "m.jsonl", "No Name")
    assert take(memory, tmp_path / "m.jsonl", "copy")[0].name == "copy"
    assert content_of(memory, "copy") == before


def test_what_is_not_there_is_not_exported(database: Database, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("as it was")
    with pytest.raises(NotFound):
        export_file(database, "nobody", tmp_path / "old.jsonl")
    new_collection(database)
    with pytest.raises(InvalidInput, match="--out"):
        export_file(database, "memory", tmp_path / "no" / "folder.jsonl")
    assert (tmp_path / "old.jsonl").read_text() == "as it was"
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def first_of(lines: list[Any], kind: str) -> int:
    return next(number for number, line in enumerate(lines) if line["kind"] == kind)


def change(kind: str, /, **values: Any) -> Callable[[list[Any]], int]:
    """Return what changes the first line of a kind, and tells which that is."""

    def apply(lines: list[Any]) -> int:
        place = first_of(lines, kind)
        lines[place] |= values
        return place + 1

    return apply


def drop(kind: str, blamed: int) -> Callable[[list[Any]], int]:
    """Return what drops the first line of a kind, and tells which line is blamed, counted from there."""

    def apply(lines: list[Any]) -> int:
        place = first_of(lines, kind)
        del lines[place]
        return place + 1 + blamed

    return apply


def twice(kind: str, behind: int) -> Callable[[list[Any]], int]:
    """Return what repeats the first line of a kind so many lines later, and tells which that is."""

    def apply(lines: list[Any]) -> int:
        place = first_of(lines, kind)
        lines.insert(place + behind, lines[place])
        return place + behind + 1

    return apply


def change_original(lines: list[Any], **values: Any) -> int:
    place = next(number for number, line in enumerate(lines) if line.get("original"))
    lines[place]["original"] |= values
    return place + 1


BAD: dict[str, Callable[[list[Any]], int]] = {
    "a newer format": change("header", format=2),
    "another embedder": change("header", embedder="another"),
    "a document twice": twice("document", 4),
    "a document cut short": drop("passage", 0),
    "a passage out of order": change("passage", ordinal=1),
    "a passage without a document": drop("document", 0),
    "a field too few": lambda lines: [lines[2].pop("text"), 3][1],
    "a field of another type": change("passage", start="0"),
    "a kind of line that is unknown": change("document", kind="dokument"),
    "NUL": change("passage", text="a\0b"),
    "NUL in the metadata": change("document", metadata={"a": ["\0"]}),
    "half of a pair": change("document", title="\ud800"),
    "a moment without a zone": change("document", occurred_at="2020-01-01T00:00:00"),
    "a hash that is none": change("passage", text_hash="abc"),
    "a vector that is no base64": change("passage", vector="???"),
    "a vector of another length": change("phrase", vector="AAA="),
    "a vector with what is no number": change("passage", vector="AH4A" * 10 + "fgA="),
    "a count of nothing": change("passage", mentions=[["ada quill", "Ada Quill", 0]]),
    "a number too large": change("passage", page=2**40),
    "a phrase that nobody names": change("phrase", key="nobody at all"),
    "a fact that nobody states": change("fact", predicate="hates"),
    "a note on nothing": change("note", passages=[["b", 17]]),
    "a rule that would forget all": change("rule", max_age_days=None, filter={}),
    "a correction of nothing": change("correction", what=None),
    "a correction with a field of another kind": change("correction", what={"names": ["A"], "into": "B", "name": "C"}),
    "names that are no list": change("correction", what={"names": "A", "into": "B"}),
    "a correction that was undone at no time": change("correction", state="undone"),
    "a correction that is forgotten and says something": change("correction", state="forgotten"),
    "a correction of unknown kind": change("correction", correction="guess"),
    "an original with a vector of nothing": lambda lines: change_original(lines, embedded_names=["nobody at all"]),
    "an original with a count of nothing": lambda lines: change_original(lines, mentions=[["a", "A", 0]]),
    "a signature of another length": change("document", signature={"text_hash": "0" * 32, "minhash": "AAAA"}),
    "another count at the end": change("end", counts={"document": 1}),
    "a line behind the end": lambda lines: [lines.append(lines[1]), len(lines)][1],
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_line_is_named_and_nothing_is_kept(memory: Database, other: Database, tmp_path: Path, case: str) -> None:
    lines = lines_of(memory)
    number = BAD[case](lines)
    path = write(tmp_path / "bad.jsonl", lines)
    with pytest.raises(InvalidInput, match=rf"^line {number}: ") as caught:
        take(other, path)
    assert caught.value.field == f"line {number}"
    with other.read() as connection:
        assert list_collections(connection) == []
        assert connection.scalar(select(documents.c.id)) is None


def test_a_file_that_is_cut_short_or_no_export_is_refused(memory: Database, other: Database, tmp_path: Path) -> None:
    lines = lines_of(memory)
    for bad, words in (
        (write(tmp_path / "short.jsonl", lines[:-1]), "cut short"),
        (write(tmp_path / "other.jsonl", [{"text": "a document"}]), "no header"),
        (write(tmp_path / "nothing.jsonl", []), "no header"),
        (tmp_path / "missing.jsonl", "cannot be read"),
        (tmp_path, "cannot be read"),
    ):
        with pytest.raises(InvalidInput, match=words):
            take(other, bad)
    whole = gzip.compress(b"".join(export_lines(memory, "memory")))
    for name, data in (("half.gz", whole[: len(whole) // 2]), ("damaged.gz", whole[:-6] + b"xxxxxx"), ("no.gz", b"hi")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInput, match=name):
            take(other, tmp_path / name)
    with other.read() as connection:
        assert list_collections(connection) == []


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """A function that runs the command and returns its status, output and messages."""
    for name in [name for name in os.environ if name.startswith("SHARPWAVE_")]:
        monkeypatch.delenv(name)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["sharpwave", *map(str, words), "--data-dir", str(tmp_path)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_the_command_line_writes_and_reads_files(
    memory: Database, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    path = tmp_path / "memory.jsonl.gz"
    status, _, said = run("export", "memory", "--out", path)
    assert (status, said) == (0, f"Wrote 4 documents, 6 passages to {path}.\n")
    status, _, said = run("import", path)
    assert (status, said.count("\n")) == (2, 1)
    assert "SHARPWAVE_EMBEDDER=hash-16" in said
    with memory.write() as connection:
        connection.execute(update(collections).values(embedder="all-MiniLM-L6-v2"))
    run("export", "memory", "--out", path)
    assert run("import", path)[0] == 1
    status, printed, _ = run("import", path, "--collection", "copy", "--json")
    assert (status, json.loads(printed)["name"], json.loads(printed)["documents"]) == (0, "copy", 4)
    status, _, said = run("import", path, "--collection", "another")
    assert (status, "Made another of 4 documents, 6 passages." in said) == (0, True)
    assert run("export", "nobody", "--out", path)[0] == 1
    assert run("export", "memory", "--out", tmp_path)[0] == 2
    assert run("import", tmp_path / "missing.jsonl")[0] == 2
