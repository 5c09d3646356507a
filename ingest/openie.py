"""Names and facts by a language model (OpenIE): first the names of a passage, then the triples that use them.

A reply that is not of the agreed form is a failure, never an empty list: it is asked for again, a few times, and then
the passage's document fails, to be learned by a later job. Replies are kept in the database as soon as they come, so
nothing is paid for twice, wherever a run is broken off. A server that does not answer, and a budget that is spent, stop
the job; resuming it goes on from there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeAlias, TypeVar

from ingest.asking import Asker, AskParams, Question
from ingest.extracting import Finding, NotExtracted, PassageText, Wanted
from ingest.ledger import Ledger
from ingest.openie_prompts import (
    ASKED,
    NAMES_SCHEMA,
    NAMES_TOKENS,
    TRIPLES_SCHEMA,
    TRIPLES_TOKENS,
    names_messages,
    read_names,
    read_triples,
    triples_messages,
)
from memory_graph.database import Database
from memory_graph.errors import GeneratorOutputInvalid, GeneratorUnavailable, SharpwaveError
from memory_graph.store.replies import known_replies
from memory_graph.store.spending import tokens_left
from memory_graph.store.tokens import Tokens, read_tokens
from memory_graph.text import clean_name, hash_text, normalize
from memory_graph.types import Extraction, Mention, Triple
from retrieval.generator import Generator, Message
from retrieval.loops import LoopThread

T = TypeVar("T")
Found: TypeAlias = tuple[dict[str, Finding], float]


class ModelExtractor:
    """Extracts for jobs with one generator, which is opened with the first passage, on an event loop of its own."""

    def __init__(
        self, database: Database, open_generator: Callable[[], Generator], params: AskParams | None = None
    ) -> None:
        self._database = database
        self._open_generator = open_generator
        self._params = params or AskParams()
        self._slots = asyncio.Semaphore(self._params.concurrency)
        self._generator: Generator | None = None
        self._loop: LoopThread | None = None
        self._runs: dict[str, ModelRun] = {}  # the last one of each job

    def begin(self, job_id: str, collection_id: int) -> ModelRun:
        """Begin a run of a job, or go on with it after it broke off."""
        if self._loop is None or self._generator is None:
            self._loop = LoopThread("openie")
            self._generator = self._open_generator()
        before = self._runs.get(job_id)
        ledger = Ledger(limit=self._params.max_tokens or None)
        asker = Asker(
            self._database,
            self._generator,
            self._slots,
            ledger,
            self._params,
            job_id=job_id,
            collection_id=collection_id,
        )
        run = ModelRun(self._database, self._generator, self._loop, asker, ledger, before, job_id, collection_id)
        self._runs = {job_id: run}  # jobs come one after the other
        return run

    def close(self) -> None:
        """Close the generator and end the event loop."""
        if self._loop is not None and self._generator is not None:
            self._loop.submit(self._generator.aclose()).result()
            self._loop.stop()
            self._loop = self._generator = None


class ModelRun:
    """The extraction of one run of a job; ``before`` is an earlier run of it in this process."""

    def __init__(
        self,
        database: Database,
        generator: Generator,
        loop: LoopThread,
        asker: Asker,
        ledger: Ledger,
        before: ModelRun | None,
        job_id: str,
        collection_id: int,
    ) -> None:
        self._database = database
        self._generator = generator
        self._loop = loop
        self._asker = asker
        self._ledger = ledger
        self._before = before
        self._job_id = job_id
        self._collection_id = collection_id
        self._opening = asyncio.Lock()
        self._opened = False
        self.submitted: list[Future[Found]] = []

    @property
    def made_by(self) -> str:
        """The model and all that it is shown beside a passage; empty until the model was reached."""
        return f"{self._generator.name} {ASKED}" if self._opened else ""

    def submit(self, wanted: Wanted) -> Future[Found]:
        """Begin with passages, in order; calls beyond the allowed number wait for their turn."""
        self.submitted = [one for one in self.submitted if not one.done()]
        self.submitted.append(self._loop.submit(self._extract(dict(wanted))))
        return self.submitted[-1]

    def collect(self, wanted: Wanted, future: Future[Found]) -> Found:
        """Wait for all passages. Errors: ``BudgetSpent``, ``GeneratorUnavailable``, ``GeneratorTimeout``."""
        return future.result()

    def end(self) -> None:
        """Make no more calls; replies that are on their way are still kept."""
        self._loop.submit(self._ledger.stop(SharpwaveError("the run has ended")))

    async def _open(self) -> None:
        async with self._opening:
            if self._opened:
                return
            if self._before is not None and self._before.submitted:
                # What is still on its way there is paid for: it will be among the known replies.
                left = [asyncio.wrap_future(one) for one in self._before.submitted]
                await asyncio.gather(*left, return_exceptions=True)
            self._before = None
            tokens, limit, key_left = await asyncio.to_thread(self._read_tokens)
            self._ledger.spent = tokens.run
            self._ledger.limit = limit or self._ledger.limit
            self._ledger.left = key_left
            state = await self._generator.check()  # tells the name under which replies are kept, and the context's size
            if not self._generator.name:
                raise GeneratorUnavailable(f"the model that extracts cannot be reached: {state.reason}")
            self._opened = True

    async def _extract(self, wanted: dict[str, PassageText]) -> Found:
        await self._open()
        start = time.perf_counter()
        known = await asyncio.to_thread(self._read_known, list(wanted))
        tasks = [self._read_passage(text_hash, passage, known) for text_hash, passage in wanted.items()]
        # Each to its end, even where the job has to stop: what is on its way is paid for and to be kept.
        found = await asyncio.gather(*tasks, return_exceptions=True)
        findings: dict[str, Finding] = {}
        for text_hash, one in zip(wanted, found, strict=True):
            if isinstance(one, BaseException):
                raise one
            findings[text_hash] = one
        return findings, time.perf_counter() - start

    async def _read_passage(self, text_hash: str, passage: PassageText, known: Mapping[str, str]) -> Finding:
        async def ask(messages: list[Message], schema: Mapping[str, Any], most: int, read: Callable[[str], T]) -> T:
            key = hash_text(self._generator.name, json.dumps([messages, schema, most], ensure_ascii=False))
            if key in known:
                await self._asker.note_reuse()
                return read(known[key])
            question = Question(
                key=key,
                text_hash=text_hash,
                document=passage.document,
                messages=messages,
                schema=schema,
                max_tokens=most,
            )
            return read(await self._asker.ask(question, read))

        try:
            names = await ask(names_messages(passage), NAMES_SCHEMA, NAMES_TOKENS, read_names)
            if not names:  # nothing that a triple could be about
                return Extraction()
            triples = await ask(triples_messages(passage, names), TRIPLES_SCHEMA, TRIPLES_TOKENS, read_triples)
        except GeneratorOutputInvalid as error:
            return NotExtracted(reason="extraction_failed", error=error.message)
        return make_extraction(passage.text, names, triples)

    def _read_tokens(self) -> tuple[Tokens, int | None, int | None]:
        with self._database.read() as connection:
            return *read_tokens(connection, self._job_id), tokens_left(connection, self._job_id)

    def _read_known(self, text_hashes: list[str]) -> dict[str, str]:
        with self._database.read() as connection:
            return known_replies(connection, self._collection_id, text_hashes)


def make_extraction(text: str, names: Sequence[str], triples: Sequence[Triple]) -> Extraction:
    """Return what a model read in a text: names cleaned and counted as often as they stand there, at least once.

    Triples without a name at either end, or from a name to itself, are left out.
    """
    padded = f" {normalize(text)} "
    keys = {name: normalize(name) for name in dict.fromkeys(map(clean_name, names))}
    kept: dict[Triple, None] = {}
    for triple in triples:
        subject, object_ = clean_name(triple.subject), clean_name(triple.object)
        if normalize(subject) and normalize(object_) and normalize(subject) != normalize(object_) and triple.predicate:
            kept[Triple(subject, triple.predicate, object_)] = None
    return Extraction(
        mentions=tuple(Mention(name, max(1, padded.count(f" {key} "))) for name, key in keys.items() if key),
        triples=tuple(kept),
    )
