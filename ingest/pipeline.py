"""Learning one job: read, split, embed, extract, commit, batch after batch.

A thread reads and splits ahead and hands the texts to the extractor's process, while this one embeds and commits: the
slowest stage sets the pace. A batch ends in one transaction that writes what was learned and marks the items as done,
so a job that is killed anywhere goes on where its last commit stood.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Full, Queue
from threading import Event, Thread

from sqlalchemy import Connection

from ingest.batch import Batch, Computed, Prepared, failure_of, learned_document
from ingest.dedupe import LeftOut, count_copy, find_original, leave_out, lost_original, sign
from ingest.embedding import embed_facts, embed_passages, embed_phrases, embed_with
from ingest.extracting import ExtractionRun, Finding, JobExtractor, PassageText
from ingest.file_reader import FileReader
from ingest.formats import ReadLimits
from ingest.sources import KINDS, Sources
from ingest.splitter import Splitter
from ingest.staging import document_from_json, hash_document
from memory_graph.database import Database
from memory_graph.errors import BudgetSpent, GeneratorError, UnreadableDocument
from memory_graph.store import jobs as job_store
from memory_graph.store import shares
from memory_graph.store.collections import bind_embedder
from memory_graph.store.extractions import known_extractions
from memory_graph.store.jobs import Failure, Item
from memory_graph.store.learning import Commit, known_hashes
from memory_graph.store.replies import drop_replies_about
from memory_graph.store.retrying import drop_held
from memory_graph.store.shares import Share
from memory_graph.text import hash_text
from memory_graph.types import Document
from retrieval import tracing
from retrieval.embedder import Embedder

# A batch of nothing but known documents and failures ends here.
MAX_NOTES = 1000
# From so many attempts without progress on, an item is read alone.
SUSPECT_ATTEMPTS = 2
_SETTLE_POLL_S = 0.02
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class PipelineParams:
    """``batch_passages`` are committed together; ``max_attempts`` bounds how often an item may take its worker down.

    ``embed_facts`` gives facts vectors: it costs a third of a passage's time each, and facts that were read off verbs
    found nothing more. ``embed_phrases`` gives names vectors, by which views join those that mean the same.
    """

    batch_passages: int = 256
    max_attempts: int = 10
    embed_facts: bool = False
    embed_phrases: bool = False


class Border:
    """Stands where everything before must be learned before anything after is read."""


class JobEnded(Exception):
    """The job was cancelled, or another worker finished it."""


class Learner:
    """Learns jobs with one embedder, one extractor and one splitter for each way of splitting."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        extraction: JobExtractor,
        splitters: Mapping[str, Splitter],
        *,
        limits: ReadLimits | None = None,
        params: PipelineParams | None = None,
        sources: Sources | None = None,
    ) -> None:
        self._database = database
        self._embedder = embedder
        self._extraction = extraction
        self._splitters = splitters
        self._reader = FileReader(limits)
        self._params = params or PipelineParams()
        self._sources = sources or Sources(database)

    @contextmanager
    def open(self, job_id: str, share: Share | None = None, worker: str = "") -> Iterator[Callable[[], bool]]:
        """Begin or go on with a share of a job, the first unless another one is given.

        Yields a function that learns one batch and says whether there may be more.
        """
        share = share or Share(job_id=job_id, number=1)
        with self._database.write() as connection:
            head = job_store.job_head(connection, job_id)
            bind_embedder(connection, head["collection_id"], self._embedder.name)
            job_store.start_job(connection, job_id)
            shares.begin_share(connection, share, worker)
        extraction = self._extraction.begin(job_id, head["collection_id"])
        batches: Queue[Batch | BaseException | None] = Queue(maxsize=2)
        stop = Event()
        reader = Thread(
            target=copy_context().run,  # so that what it logs names the job
            args=(
                self._read_ahead,
                share,
                head["collection_id"],
                head["split"],
                head["duplicates"],
                extraction,
                batches,
                stop,
            ),
            daemon=True,
        )
        reader.start()

        def learn_next() -> bool:
            batch = batches.get()
            if isinstance(batch, BaseException):
                raise batch
            if batch is None:
                return False
            asked = tracing.links_to(head["traceparent"])
            with tracing.span(
                "ingest batch", links=asked, sharpwave__job_id=job_id, sharpwave__passages=batch.passages
            ):
                self._learn(share, head["collection_id"], batch, extraction)
            batches.task_done()
            return True

        try:
            yield learn_next
        finally:
            stop.set()
            extraction.end()
            reader.join()

    def close(self) -> None:
        """End what is kept between jobs: the extractor's process, or the connection to a model."""
        self._extraction.close()

    def _read_ahead(
        self,
        share: Share,
        collection_id: int,
        split: str,
        duplicates: str,
        extraction: ExtractionRun,
        batches: Queue[Batch | BaseException | None],
        stop: Event,
    ) -> None:
        last: BaseException | None = None
        try:
            for batch in self._batches(share, collection_id, split, duplicates):
                self._take_stored(collection_id, batch, extraction)
                if batch.texts:
                    batch.extraction = extraction.submit(batch.texts)
                # A border may come right after a batch; then there is nothing to learn, only to wait for.
                if not batch.is_empty and not _put(batches, batch, stop):
                    return
                while batch.settle and batches.unfinished_tasks:
                    if stop.wait(_SETTLE_POLL_S):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that learns
            last = error
        _put(batches, last, stop)

    def _batches(self, share: Share, collection_id: int, split: str, duplicates: str) -> Iterator[Batch]:
        job_id = share.job_id
        batch = Batch()
        passed_over: Counter[int] = Counter()  # by item
        start = time.perf_counter()
        for item, document in self._documents(share):
            if isinstance(document, Border):
                batch.settle = True
            elif document is None or isinstance(document, Failure):
                batch.ended.append((item.id, document))
            elif isinstance(document, UnreadableDocument):
                batch.failures.append(
                    (item.id, Failure(name=document.name, reason=document.reason, error=document.detail))
                )
            elif self._prepare(batch, item, document, collection_id, job_id, split, duplicates):
                passed_over[item.id] += 1
                # As many as an interrupted run has counted come again, in the same order.
                if passed_over[item.id] > item.known:
                    batch.known.append((item.id, len(document.text)))
            if batch.settle or batch.passages >= self._params.batch_passages or batch.notes >= MAX_NOTES:
                batch.read_s = time.perf_counter() - start
                yield batch
                batch, start = Batch(), time.perf_counter()
        batch.read_s = time.perf_counter() - start
        yield batch

    def _prepare(
        self,
        batch: Batch,
        item: Item,
        document: Document,
        collection_id: int,
        job_id: str,
        split: str,
        duplicates: str,
    ) -> bool:
        """Add a document to the batch; or return True where it was known before this job."""
        content_hash = hash_document(document, split)
        with self._database.read() as connection:
            known = known_hashes(connection, collection_id, [document.id]).get(document.id)
        if known is not None and known[0] == content_hash:
            # A document that this very job learned before it was interrupted is counted already.
            return known[1] != job_id
        signature = None if duplicates == "keep" else sign(document)
        if signature is not None and duplicates == "skip":
            # Looked up once more when this is committed; here it spares what a copy would cost.
            with self._database.read() as connection:
                original = find_original(connection, collection_id, document.id, signature)
            if original is not None:
                batch.left_out.append(LeftOut(item.id, document.id, signature, _size(document)))
                return False
        pieces = self._splitters[split].split(document)
        hashes = [hash_text(document.title, piece.heading, piece.text) for piece in pieces]
        prepared = Prepared(item.id, document, content_hash, pieces, hashes, signature)
        batch.prepared.append(prepared)
        for text_hash, piece in zip(hashes, pieces, strict=True):
            batch.texts[text_hash] = PassageText(
                document=document.id, title=document.title, heading=piece.heading, text=piece.text
            )
        return False

    def _documents(
        self, share: Share
    ) -> Iterator[tuple[Item, Document | UnreadableDocument | Failure | Border | None]]:
        """Yield the documents of each item that the share can take.

        Then, for the item itself, None or the reason why it failed.

        An item that was tried before and brought nothing may be what kills the worker: it stands between two borders,
        so that nothing else is in hand with it and shares its attempts.
        """
        after = 0
        while True:
            with self._database.write() as connection:
                item = shares.take_item(connection, share, after=after, suspect_from=SUSPECT_ATTEMPTS)
            if item is None:
                return
            after = item.id
            if item.attempts >= self._params.max_attempts:
                message = f"the worker died {item.attempts} times while learning this; it was left out"
                yield item, Failure(name=item.name, reason="poison", error=message)
                continue
            suspect = item.attempts >= SUSPECT_ATTEMPTS
            if suspect:
                yield item, Border()
                with self._database.write() as connection:
                    shares.count_attempt(connection, item.id)
            unreadable = None
            for document in self._read(item):
                if isinstance(document, UnreadableDocument) and document.name == item.name:
                    unreadable = document  # the whole item, not a part of it
                else:
                    yield item, document
            failure = unreadable and Failure(name=item.name, reason=unreadable.reason, error=unreadable.detail)
            yield item, failure
            if suspect:
                yield item, Border()

    def _read(self, item: Item) -> Iterator[Document | UnreadableDocument]:
        payload = item.payload or {}
        if item.kind == "file":
            return self._reader.read_file(Path(payload["path"]))
        if item.kind in KINDS:
            return self._sources.read(item, self._reader)
        if item.kind == "upload":
            return self._reader.read_bytes(item.name, item.data or b"")
        return iter([document_from_json(payload)])

    def _learn(self, share: Share, collection_id: int, batch: Batch, extraction: ExtractionRun) -> None:
        job_id = share.job_id
        seconds = {"read": batch.read_s}
        start = time.perf_counter()
        vectors = embed_passages(self._database, self._embedder, collection_id, batch)
        seconds["embed"] = time.perf_counter() - start
        start = time.perf_counter()
        found, seconds["extract"] = self._collect(job_id, batch, extraction)
        findings = found | batch.stored
        seconds["wait"] = time.perf_counter() - start
        start = time.perf_counter()
        computed = Computed(vectors=vectors, findings=findings, made_by=self._made_by(extraction))
        if self._params.embed_facts:
            computed.facts = embed_facts(self._embedder, found, batch)
        if self._params.embed_phrases:
            computed.phrases = embed_phrases(self._database, self._embedder, collection_id, batch, findings)
        if self._params.embed_facts or self._params.embed_phrases:
            seconds["embed_names"] = time.perf_counter() - start
        start = time.perf_counter()
        with self._database.write() as connection:
            done = self._commit(connection, job_id, collection_id, batch, computed)
            seconds["commit"] = time.perf_counter() - start
            job_store.note_time(connection, job_id, seconds)
            shares.note_progress(connection, share, passages=batch.passages, bytes_done=done)

    def _take_stored(self, collection_id: int, batch: Batch, extraction: ExtractionRun) -> None:
        """Take from the database what the same extractor found before in texts that are there."""
        if batch.texts and extraction.made_by:
            with self._database.read() as connection:
                made_by = self._made_by(extraction)
                batch.stored = known_extractions(connection, collection_id, list(batch.texts), made_by)
        for text_hash in batch.stored:
            del batch.texts[text_hash]

    def _made_by(self, extraction: ExtractionRun) -> str:
        """Return the hash of all that decides which mentions, facts and vectors of these come of a text."""
        return hash_text(extraction.made_by, str(self._params.embed_facts), str(self._params.embed_phrases))

    def _collect(self, job_id: str, batch: Batch, extraction: ExtractionRun) -> tuple[dict[str, Finding], float]:
        if batch.extraction is None:
            return {}, 0.0
        try:
            return extraction.collect(batch.texts, batch.extraction)
        except (BudgetSpent, GeneratorError):
            with self._database.write() as connection:
                job_store.forgive_attempts(connection, job_id)
            raise

    def _commit(
        self,
        connection: Connection,
        job_id: str,
        collection_id: int,
        batch: Batch,
        computed: Computed,
    ) -> int:
        """Write what was learned and mark what is done; return how many bytes of documents that were."""
        commit = Commit(connection, collection_id, embed_with(connection, collection_id, self._embedder))
        # Locked in this order everywhere, the collection and then the job: whoever cancels it waits, or is waited for.
        head = job_store.job_head(connection, job_id, lock=True)
        if head["state"] not in job_store.UNFINISHED:
            raise JobEnded(job_id)
        live: dict[int, bool] = {}

        def is_live(item_id: int) -> bool:
            # An item that another worker finished meanwhile, after this one was taken for dead, is left alone.
            if item_id not in live:
                live[item_id] = job_store.is_pending(connection, item_id)
            return live[item_id]

        bytes_done = 0
        written = []
        failures = [(item_id, failure) for item_id, failure in batch.failures if is_live(item_id)]
        for one in batch.prepared:
            if not is_live(one.item_id):
                # Forgotten while it was read: what a model replied about it came in after that.
                drop_replies_about(connection, collection_id, [one.document.id])
                continue
            size = _size(one.document)
            failure = failure_of(one, computed.findings)
            if failure is not None:
                failures.append((one.item_id, failure))
                continue
            if head["duplicates"] == "skip" and one.signature is not None:
                copy = LeftOut(one.item_id, one.document.id, one.signature, size)
                if leave_out(connection, job_id, collection_id, copy):
                    continue
            change = commit.write(learned_document(one, computed), job_id, one.item_id)
            written.append(one.document.id)
            bytes_done += size
            job_store.advance_item(
                connection,
                one.item_id,
                documents=int(change is not None),
                known=int(change is None),
                passages=len(one.passages) if change else 0,
                kept=change.kept if change else 0,
                removed=change.removed if change else 0,
                done=size,
                **count_copy(connection, collection_id, one.document.id if change and one.signature else None),
            )
        for copy in batch.left_out:
            if is_live(copy.item_id) and not leave_out(connection, job_id, collection_id, copy):
                failures.append((copy.item_id, lost_original(copy.document_id)))
        for item_id, size in batch.known:
            if is_live(item_id):
                job_store.advance_item(connection, item_id, documents=0, known=1, passages=0, done=size)
                bytes_done += size
        # A text of the same document that an earlier job failed to learn must not come back over this one.
        drop_held(connection, collection_id, written, but_of=job_id)
        job_store.add_failures(connection, job_id, [replace(failure, item_id=item_id) for item_id, failure in failures])
        for item_id, end in batch.ended:
            if is_live(item_id):
                job_store.finish_item(connection, item_id, end)
        version = commit.finish()
        if commit.changed:
            job_store.note_version(connection, job_id, version)
        return bytes_done


def _size(document: Document) -> int:
    return len(document.text.encode("utf-8", "replace"))


def _put(batches: Queue[Batch | BaseException | None], batch: Batch | BaseException | None, stop: Event) -> bool:
    while not stop.is_set():
        try:
            batches.put(batch, timeout=_POLL_S)
            return True
        except Full:
            continue
    return False
