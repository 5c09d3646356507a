"""Learning one job: everything once, whatever interrupts it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Barrier, Event, Thread
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select, update

from ingest.batch import TITLE_COUNT
from ingest.extraction_pool import Extracted, PooledExtraction
from ingest.jobs import document_items, file_items
from ingest.pipeline import JobEnded, Learner, PipelineParams
from ingest.staging import document_from_json, document_to_json, hash_document
from memory_graph.database import Database
from memory_graph.errors import InvalidInput, NotFound, StoreFull
from memory_graph.store.jobs import Failure, Job, NewItem, end_job
from memory_graph.store.phrase_vectors import known_phrase_vectors
from memory_graph.tables import documents, embeddings, job_items, mentions, passages, phrases
from memory_graph.types import Document
from retrieval.testing import HashEmbedder
from tests.unit.factories import (
    CapitalsPool,
    ParagraphSplitter,
    content_of,
    find_collection,
    find_job,
    forget_document,
    new_collection,
    new_job,
    wait_until,
    write_lines,
)

Texts = Sequence[str]


class CountingEmbedder(HashEmbedder):
    """Remembers what it was given."""

    def __init__(self) -> None:
        super().__init__(16)
        self.texts: list[str] = []

    def encode(self, texts: Texts) -> NDArray[np.float32]:
        self.texts += texts
        return super().encode(texts)


@pytest.fixture(autouse=True)
def collection_id(database: Database) -> int:
    return new_collection(database).id


def _learner(database: Database, **changes: Any) -> Learner:
    params = PipelineParams(batch_passages=changes.pop("batch_passages", 2), **changes.pop("params", {}))
    parts = {"embedder": CountingEmbedder(), "extraction": CapitalsPool()} | changes
    splitters: Any = {"recursive": ParagraphSplitter()}
    extraction = PooledExtraction(parts["extraction"])
    return Learner(database, parts["embedder"], extraction, splitters, params=params)


def _run(database: Database, job_id: str = "job-1", **changes: Any) -> Job:
    """Learn a job to its end and return it."""
    with _learner(database, **changes).open(job_id) as learn_next:
        while learn_next():
            pass
    return find_job(database, job_id)


def _documents(*names: str) -> list[Document]:
    return [
        Document(id=name, title=name.title(), text=f"Ada Quill likes {name.title()}.\n\nit rains.") for name in names
    ]


def _counts(job: Job) -> dict[str, int]:
    names = ("items", "pending", "failed", "documents", "known", "passages", "size", "done")
    return {name: getattr(job, name) for name in names}


def _count(database: Database, table: Any) -> int:
    with database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_documents_are_learned(database: Database, collection_id: int) -> None:
    new_job(database, document_items(_documents("bram oster", "cora finch")))
    job = _run(database)
    assert (job.documents, job.known, job.passages, job.pending, job.failed) == (2, 0, 4, 0, 0)
    assert job.done == job.size > 0
    assert (job.state, job.version) == ("running", find_collection(database).version)
    content = content_of(database)
    assert set(content["documents"]) == {"bram oster", "cora finch"}
    assert content["phrases"] == ["ada quill", "bram oster", "cora finch"]
    assert content["facts"] == [("ada quill", "likes", "bram oster"), ("ada quill", "likes", "cora finch")]
    assert set(job.seconds) >= {"read", "embed", "extract", "commit"}


def test_a_title_counts_in_every_passage_of_its_document(database: Database) -> None:
    text = "Cora Finch slept.\n\nBram Oster sang."
    new_job(database, document_items([Document(id="d", title="Bram Oster (singer)", text=text)]))
    _run(database)
    found = {(ordinal, key): count for ((_, ordinal), key), (_, count) in content_of(database)["mentions"].items()}
    assert found == {
        (0, "bram oster"): TITLE_COUNT,
        (0, "cora finch"): 1,
        (1, "bram oster"): TITLE_COUNT + 1,
    }


def test_what_was_learned_is_stored_in_half_precision_and_found_under_its_title(database: Database) -> None:
    embedder = CountingEmbedder()
    new_job(database, document_items([Document(id="d", title="Tides", text="it rains.")]))
    _run(database, embedder=embedder)
    assert embedder.texts == ["Tides\nit rains."]
    (vector,) = content_of(database)["embeddings"].values()
    expected = HashEmbedder(16).encode(["Tides\nit rains."])[0].astype(np.float16)
    np.testing.assert_array_equal(np.frombuffer(vector, "<f2"), expected)


def test_facts_get_vectors_where_that_is_wanted(database: Database) -> None:
    embedder = CountingEmbedder()
    new_job(database, document_items(_documents("bram oster", "cora finch")))
    job = _run(database, embedder=embedder, params={"embed_facts": True})
    texts = ["ada quill likes bram oster", "ada quill likes cora finch"]
    assert [text for text in embedder.texts if text in texts] == texts
    vectors = HashEmbedder(16).encode(texts).astype("<f2")
    assert content_of(database)["fact_embeddings"] == {
        ("ada quill", "likes", name): vector.tobytes()
        for name, vector in zip(("bram oster", "cora finch"), vectors, strict=True)
    }
    assert job.seconds["embed_names"] >= 0
    forget_document(database, find_collection(database).id, "cora finch")
    assert len(content_of(database)["fact_embeddings"]) == 1


def test_facts_have_no_vectors_otherwise(database: Database) -> None:
    new_job(database, document_items(_documents("bram oster")))
    job = _run(database)
    content = content_of(database)
    assert (len(content["facts"]), content["fact_embeddings"]) == (1, {})
    assert "embed_names" not in job.seconds


def test_names_get_vectors_where_that_is_wanted_each_once(database: Database) -> None:
    embedder = CountingEmbedder()
    new_job(database, document_items([Document(id="d", title="Tides", text="Bram Oster sang.")]))
    _run(database, embedder=embedder, params={"embed_phrases": True})
    new_job(database, document_items([Document(id="e", text="Bram Oster saw Cora Finch. It.")]), job_id="job-2")
    _run(database, "job-2", embedder=embedder, params={"embed_phrases": True})
    names = ["bram oster", "cora finch", "tides"]
    assert sorted(text for text in embedder.texts if text in names) == names
    with database.read() as connection:
        found = known_phrase_vectors(connection, find_collection(database).id, [*names, "it", "nobody"])
    expected = dict(zip(names, HashEmbedder(16).encode(names).astype(np.float16), strict=True))
    assert found.keys() == expected.keys()
    for key, vector in found.items():
        np.testing.assert_array_equal(vector, expected[key])


def test_a_job_commits_batch_after_batch(database: Database) -> None:
    new_job(database, document_items(_documents("a", "b", "c")))
    with _learner(database, batch_passages=2).open("job-1") as learn_next:
        for done in (1, 2, 3):
            assert learn_next()
            assert find_collection(database).version == done
            assert find_job(database).documents == done
        assert learn_next()  # what is left after the last full batch: nothing but the end of an item
        assert not learn_next()
    assert find_job(database).pending == 0


def test_a_file_of_lines_is_learned_but_for_its_bad_line(database: Database, tmp_path: Path) -> None:
    good = [{"id": f"line-{number}", "text": f"Bram Oster saw {number}."} for number in range(4)]
    path = write_lines(tmp_path / "notes.jsonl", *good[:2], "{broken", *good[2:])
    new_job(database, file_items([path]))
    job = _run(database)
    assert (job.documents, job.passages, job.failed, job.items, job.pending) == (4, 4, 1, 1, 0)
    (failure,) = job.failures
    assert failure.reason == "not_json"
    assert "notes.jsonl" in failure.name
    assert "3" in failure.name
    assert set(content_of(database)["documents"]) == {one["id"] for one in good}
    assert job.done == job.size == path.stat().st_size


def test_a_file_that_is_gone_fails_and_the_rest_is_learned(database: Database, tmp_path: Path) -> None:
    paths = []
    for name in ("a", "gone", "z"):
        paths.append(tmp_path / f"{name}.txt")
        paths[-1].write_text(f"Cora Finch saw {name}.")
    items = file_items(paths)
    paths[1].unlink()
    new_job(database, items)
    job = _run(database)
    assert (job.documents, job.failed, job.pending) == (2, 1, 0)
    assert [(failure.name, failure.reason) for failure in job.failures] == [(str(paths[1]), "missing")]


def test_an_uploaded_file_is_learned_and_its_bytes_erased(database: Database) -> None:
    new_job(database, [NewItem(kind="upload", name="tides.md", size=20, data=b"# Tides\n\nLake Orrin.\n")])
    assert _run(database).documents == 1
    with database.read() as connection:
        assert connection.execute(select(job_items.c.payload, job_items.c.data)).all() == [(None, None)]
    assert "lake orrin" in content_of(database)["phrases"]


def test_known_documents_are_passed_over_and_counted(database: Database) -> None:
    embedder = CountingEmbedder()
    new_job(database, document_items(_documents("a", "b")))
    _run(database)
    before, version = content_of(database), find_collection(database).version
    new_job(database, document_items(_documents("a", "b", "c")), job_id="job-2")
    job = _run(database, "job-2", embedder=embedder)
    assert (job.documents, job.known, job.passages, job.pending) == (1, 2, 2, 0)
    assert find_collection(database).version == version + 1
    assert all("Ada Quill likes C" in text or text == "C\nit rains." for text in embedder.texts)
    after = content_of(database)
    assert before["passages"].items() <= after["passages"].items()


def test_a_job_of_known_documents_moves_no_version(database: Database) -> None:
    new_job(database, document_items(_documents("a")))
    _run(database)
    version = find_collection(database).version
    new_job(database, document_items(_documents("a")), job_id="job-2")
    job = _run(database, "job-2")
    assert (job.documents, job.known, job.version) == (0, 1, None)
    assert find_collection(database).version == version


@pytest.mark.parametrize(
    "change",
    [{"text": "New."}, {"title": "New"}, {"metadata": {"k": 2}}, {"source": "elsewhere"}],
)
def test_a_changed_document_is_learned_again(database: Database, change: dict[str, Any]) -> None:
    fields = {"id": "d", "text": "Old.", "title": "T", "metadata": {"k": 1}, "source": "s"}
    new_job(database, document_items([Document(**fields)]))
    _run(database)
    new_job(database, document_items([Document(**fields | change)]), job_id="job-2")
    job = _run(database, "job-2")
    assert (job.documents, job.known) == (1, 0)
    assert _count(database, documents) == 1
    assert _count(database, passages) == 1


def test_equal_texts_of_two_documents_are_embedded_and_extracted_once(database: Database) -> None:
    embedder, extraction = CountingEmbedder(), CapitalsPool()
    twins = [Document(id=name, title="Tides", text="Lake Orrin.\n\nLake Orrin.") for name in ("a", "b")]
    new_job(database, document_items(twins))
    _run(database, embedder=embedder, extraction=extraction, batch_passages=100)
    assert embedder.texts == ["Tides\nLake Orrin."]
    assert extraction.texts == ["Lake Orrin."]
    assert (_count(database, passages), _count(database, embeddings)) == (4, 1)
    # Every passage has its mentions, though the text was read once.
    assert _count(database, mentions) == 8


def test_a_text_embedded_by_an_earlier_job_is_not_embedded_again(database: Database) -> None:
    new_job(database, document_items([Document(id="a", text="Lake Orrin.")]))
    _run(database)
    embedder = CountingEmbedder()
    new_job(database, document_items([Document(id="b", text="Lake Orrin.\n\nNew.")]), job_id="job-2")
    _run(database, "job-2", embedder=embedder)
    assert embedder.texts == ["New."]


def _mixed_items(folder: Path) -> list[NewItem]:
    lines = [{"id": f"line-{number}", "text": f"Bram Oster saw {number}.\n\nit rains."} for number in range(5)]
    path = write_lines(folder / "notes.jsonl", *lines[:3], "{broken", *lines[3:])
    gone = NewItem(kind="file", name=str(folder / "gone.txt"), size=3, payload={"path": str(folder / "gone.txt")})
    return [*document_items(_documents("a", "b")), *file_items([path]), gone, *document_items(_documents("c"))]


@pytest.mark.parametrize("batches", [0, 1, 2, 3, 4, 5, 6])
def test_an_interrupted_job_ends_like_one_that_was_not(database: Database, tmp_path: Path, batches: int) -> None:
    new_collection(database, "whole")
    new_job(database, _mixed_items(tmp_path), job_id="whole", collection="whole")
    whole = _run(database, "whole")
    new_job(database, _mixed_items(tmp_path))
    with _learner(database).open("job-1") as learn_next:
        for _ in range(batches):
            learn_next()
    resumed = _run(database)
    assert _counts(resumed) == _counts(whole)
    assert (whole.documents, whole.failed) == (8, 2)
    assert content_of(database) == content_of(database, "whole")
    assert [(one.name, one.reason) for one in resumed.failures] == [(one.name, one.reason) for one in whole.failures]


def test_a_job_interrupted_after_every_batch_still_ends(database: Database, tmp_path: Path) -> None:
    new_job(database, _mixed_items(tmp_path))
    for _ in range(40):
        with _learner(database).open("job-1") as learn_next:
            learn_next()
        if not find_job(database).pending:
            break
    job = find_job(database)
    assert (job.pending, job.documents, job.passages) == (0, 8, 16)
    assert {failure.reason for failure in job.failures} == {"not_json", "missing"}


def test_a_commit_that_fails_is_done_again_by_the_next_run(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    new_job(database, document_items(_documents("a", "b")))

    def fail(*_: object) -> None:
        raise StoreFull("no space left")

    # After the documents are written and before the transaction ends.
    with monkeypatch.context() as patched:
        patched.setattr("ingest.pipeline.job_store.note_time", fail)
        with _learner(database).open("job-1") as learn_next, pytest.raises(StoreFull):
            learn_next()
    assert not any(content_of(database).values())
    assert find_job(database).documents == 0
    assert _run(database).documents == 2


def test_two_learners_racing_on_one_job_write_nothing_twice(database: Database, tmp_path: Path) -> None:
    """As when a worker that was taken for dead goes on beside the one that took over."""
    new_collection(database, "alone")
    new_job(database, _mixed_items(tmp_path), job_id="alone", collection="alone")
    alone = _run(database, "alone")
    new_job(database, _mixed_items(tmp_path))
    together, wrong = Barrier(2), []

    def learn() -> None:
        try:
            with _learner(database).open("job-1") as learn_next:
                together.wait(60)
                while learn_next():
                    pass
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            wrong.append(error)

    threads = [Thread(target=learn) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert wrong == []
    assert content_of(database) == content_of(database, "alone")
    job = find_job(database)
    assert (job.documents, job.passages, job.pending) == (alone.documents, alone.passages, 0)


def test_a_slower_learner_writes_nothing_that_the_faster_one_has_written(database: Database) -> None:
    """The race in its worst order: both have read everything before either commits."""
    new_job(database, document_items(_documents("a", "b", "c")))
    with _learner(database, batch_passages=100).open("job-1") as slow:
        with _learner(database, batch_passages=100).open("job-1") as fast:
            assert fast()
        before, version = content_of(database), find_collection(database).version
        slow()
    job = find_job(database)
    assert (job.documents, job.known, job.passages) == (3, 0, 6)
    assert find_collection(database).version == version
    assert content_of(database) == before


def test_a_cancelled_job_commits_nothing_more(database: Database) -> None:
    new_job(database, document_items(_documents("a", "b", "c")))
    with _learner(database).open("job-1") as learn_next:
        learn_next()
        before = content_of(database)
        with database.write() as connection:
            end_job(connection, "job-1", "cancelled")
        with pytest.raises(JobEnded):
            learn_next()
    assert content_of(database) == before
    assert len(before["documents"]) == 1
    assert find_job(database).state == "cancelled"


def test_a_collection_deleted_meanwhile_takes_no_commit(database: Database) -> None:
    from memory_graph.store.collections import delete_collection

    class ReadAhead(CapitalsPool):
        """Tells when a batch was read."""

        def submit(self, texts: Sequence[str]) -> Future[Extracted]:
            read.set()
            return super().submit(texts)

    read = Event()
    new_job(database, document_items(_documents("a")))
    with _learner(database, batch_passages=100, extraction=ReadAhead()).open("job-1") as learn_next:
        assert read.wait(30)
        with database.write() as connection:
            delete_collection(connection, "memory")
        with pytest.raises(NotFound):
            learn_next()


def test_a_job_that_is_not_there(database: Database) -> None:
    with pytest.raises(NotFound), _learner(database).open("nobody"):
        pass


def test_an_item_that_took_its_worker_down_too_often_is_left_out(database: Database) -> None:
    new_job(database, document_items(_documents("a", "poison", "b")))
    with database.write() as connection:
        connection.execute(update(job_items).where(job_items.c.name == "poison").values(attempts=10))
    job = _run(database)
    assert (job.documents, job.failed, job.pending) == (2, 1, 0)
    (failure,) = job.failures
    assert (failure.name, failure.reason) == ("poison", "poison")
    assert "10 times" in failure.error
    assert set(content_of(database)["documents"]) == {"a", "b"}


def test_attempts_end_where_nothing_is_ever_learned(database: Database) -> None:
    """Each run reads the item and dies before it commits."""
    new_job(database, document_items(_documents("poison")))
    for tried in (1, 2, 3):
        with _learner(database, params={"max_attempts": 3}).open("job-1"):
            wait_until(lambda: _attempts(database) == tried)  # noqa: B023 - called before the next turn
    job = _run(database, params={"max_attempts": 3})
    assert (job.documents, job.failed) == (0, 1)
    assert job.failures[0].reason == "poison"


def _attempts(database: Database) -> int:
    """How often the only item was begun; it is counted before it is read."""
    with database.read() as connection:
        return connection.scalar(select(job_items.c.attempts)) or 0


def test_the_neighbours_of_a_poison_item_are_learned(database: Database) -> None:
    """The worker dies on "poison"; what was read into the same batch and the next ones is innocent."""
    new_job(database, document_items(_documents("poison", "b", "c")))

    class Deadly(CountingEmbedder):
        def encode(self, texts: Texts) -> NDArray[np.float32]:
            if any("Poison" in text for text in texts):
                raise KeyboardInterrupt  # stands for the death of the process
            return super().encode(texts)

    for _ in range(20):
        try:
            _run(database, embedder=Deadly(), batch_passages=100, params={"max_attempts": 3})
        except KeyboardInterrupt:
            continue
        break
    job = find_job(database)
    assert job.pending == 0
    assert [failure.name for failure in job.failures] == ["poison"]
    assert set(content_of(database)["documents"]) == {"b", "c"}


def test_a_text_that_kills_the_extractor_fails_its_document_only(database: Database) -> None:
    given = [*_documents("a"), Document(id="bad", text="Fine.\n\nDeadly."), *_documents("b")]
    new_job(database, document_items(given))
    job = _run(database, extraction=CapitalsPool(deadly="Deadly"), batch_passages=100)
    assert (job.documents, job.failed, job.pending) == (2, 1, 0)
    assert list(job.failures) == [
        Failure(name="bad", reason="extraction_crashed", error="the extractor's process died on a passage of it")
    ]
    assert set(content_of(database)["documents"]) == {"a", "b"}


def test_a_collection_learned_with_another_embedder_refuses_by_name(database: Database) -> None:
    new_job(database, document_items(_documents("a")))
    _run(database)
    new_job(database, document_items(_documents("b")), job_id="job-2")
    with pytest.raises(InvalidInput, match="'memory' was learned with hash-16, not hash-32") as caught:
        _run(database, "job-2", embedder=HashEmbedder(32))
    assert caught.value.field == "SHARPWAVE_EMBEDDER"
    assert find_job(database, "job-2").state == "queued"


def test_an_error_of_the_reader_reaches_the_one_who_learns(database: Database) -> None:
    new_job(database, [NewItem(kind="document", name="odd", size=1, payload={"id": "odd"})])
    with _learner(database).open("job-1") as learn_next, pytest.raises(KeyError):
        learn_next()


def test_leaving_early_ends_the_reader(database: Database) -> None:
    from threading import active_count

    new_job(database, document_items(_documents(*(f"d{number}" for number in range(30)))))
    before = active_count()
    with _learner(database).open("job-1") as learn_next:
        learn_next()
    assert active_count() == before


def test_a_document_survives_being_staged() -> None:
    from datetime import UTC, datetime

    document = Document(
        id="d",
        title="T",
        text="x",
        metadata={"k": [1, {"n": None}]},
        source="s",
        occurred_at=datetime(2024, 5, 1, 12, 30, tzinfo=UTC),
    )
    assert document_from_json(document_to_json(document)) == document
    bare = Document(id="d", text="x")
    assert document_from_json(document_to_json(bare)) == bare


def test_all_that_decides_what_is_learned_is_hashed() -> None:
    from datetime import UTC, datetime

    base = {"id": "d", "title": "T", "text": "x", "metadata": {"a": 1, "b": 2}, "source": "s"}
    same = Document(**base | {"metadata": {"b": 2, "a": 1}, "id": "other"})
    assert hash_document(Document(**base), "recursive") == hash_document(same, "recursive")
    changes: list[dict[str, Any]] = [
        {},
        {"title": "U"},
        {"text": "y"},
        {"metadata": {"a": 1}},
        {"source": None},
        {"occurred_at": datetime(2024, 5, 1, tzinfo=UTC)},
    ]
    hashes = {hash_document(Document(**base | change), "recursive") for change in changes}
    assert len(hashes | {hash_document(Document(**base), "none")}) == len(changes) + 1


def test_nothing_is_shared_between_collections(database: Database) -> None:
    new_collection(database, "other")
    new_job(database, document_items(_documents("a")))
    new_job(database, document_items(_documents("a")), job_id="job-2", collection="other")
    _run(database)
    job = _run(database, "job-2")
    assert (job.documents, job.known) == (1, 0)
    assert content_of(database) == content_of(database, "other")
    assert _count(database, phrases) == 2 * len(content_of(database)["phrases"]) > 0


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_known_documents_are_counted_once_though_a_file_is_begun_again(
    database: Database, tmp_path: Path, batches: int
) -> None:
    """New and known lines in turn, so that the first commits end within the file."""
    lines = [{"id": f"line-{n}", "text": f"Bram Oster saw {n}.\n\nit rains", "source": "s"} for n in range(6)]
    new_job(database, file_items([write_lines(tmp_path / "known.jsonl", *lines[::2])]), job_id="job-0")
    _run(database, "job-0")
    new_job(database, file_items([write_lines(tmp_path / "all.jsonl", *lines)]))
    with _learner(database).open("job-1") as learn_next:
        for _ in range(batches):
            learn_next()
    job = _run(database)
    assert (job.documents, job.known, job.passages) == (3, 3, 6)
