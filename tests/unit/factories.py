"""What the unit tests make by hand: small documents ready to be committed, and doubles of what learning needs."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from ingest.extraction_pool import Extracted
from memory_graph.corrections import Kind
from memory_graph.database import Database
from memory_graph.store import correcting
from memory_graph.store.collections import Collection, create_collection, get_collection
from memory_graph.store.correcting import Correction, NewCorrection
from memory_graph.store.jobs import Job, NewItem, create_job, get_job
from memory_graph.store.learning import Commit, Forgotten, LearnedDocument, LearnedPassage
from memory_graph.tables import (
    documents,
    embeddings,
    fact_embeddings,
    fact_sources,
    facts,
    mentions,
    passages,
    phrases,
)
from memory_graph.text import fact_key, hash_text, normalize
from memory_graph.types import Document, Extraction, FactKey, Mention, Passage, Triple
from retrieval.testing import HashEmbedder

EMBEDDER = HashEmbedder(16)
_NAME = re.compile(r"\b[A-Z]\w+(?: [A-Z]\w+)*")


def new_collection(database: Database, name: str = "memory") -> Collection:
    """Create a collection in a transaction of its own."""
    with database.write() as connection:
        return create_collection(connection, name)


def find_collection(database: Database, name: str = "memory") -> Collection:
    """Read a collection in a transaction of its own."""
    with database.read() as connection:
        return get_collection(connection, name)


def extract_capitals(text: str) -> Extraction:
    """Read runs of capitalised words as names, and "X likes Y" as facts."""
    counts: dict[str, int] = {}
    for name in _NAME.findall(text):
        counts[name] = counts.get(name, 0) + 1
    triples = re.findall(rf"({_NAME.pattern}) likes ({_NAME.pattern})", text)
    return Extraction(
        mentions=tuple(Mention(name, count) for name, count in counts.items()),
        triples=tuple(Triple(subject, "likes", object_) for subject, object_ in triples),
    )


def learn_document(key: str, *texts: str, title: str = "", **fields: Any) -> LearnedDocument:
    """Return a document with one passage a text, ready to be committed."""
    learned = []
    start = 0
    for ordinal, text in enumerate(texts):
        vector = EMBEDDER.encode([f"{title}\n{text}"])[0].astype(np.float16)
        learned.append(
            LearnedPassage(
                passage=Passage(ordinal=ordinal, text=text, start=start, end=start + len(text)),
                text_hash=hash_text(title, "", text),
                vector=vector,
                extraction=extract_capitals(text),
            )
        )
        start += len(text) + 2
    document = Document(id=key, text="\n\n".join(texts), title=title, **fields)
    triples = [triple for one in learned for triple in one.extraction.triples]
    return LearnedDocument(
        document=document,
        content_hash=hash_text(title, *texts),
        passages=learned,
        fact_vectors=embed_facts(triples),
        made_by="capitals",
    )


def embed_facts(triples: Iterable[Triple]) -> dict[FactKey, np.ndarray]:
    """Return the vectors of facts under their keys, as the pipeline makes them."""
    keys = list(dict.fromkeys(fact_key(one.subject, one.predicate, one.object) for one in triples))
    return dict(zip(keys, EMBEDDER.encode([" ".join(key) for key in keys]).astype(np.float16), strict=True))


def embed_names(document: LearnedDocument) -> LearnedDocument:
    """Return a document with a vector for each of its names."""
    found = [one.extraction for one in document.passages]
    names = {mention.text for one in found for mention in one.mentions}
    names |= {name for one in found for triple in one.triples for name in (triple.subject, triple.object)}
    keys = sorted({normalize(name) for name in names})
    vectors = EMBEDDER.encode(keys).astype(np.float16)
    return replace(document, phrase_vectors=dict(zip(keys, vectors, strict=True)), made_by="embedded")


def commit_documents(database: Database, collection_id: int, *learned: LearnedDocument) -> int:
    """Commit documents together; return the collection's version."""
    with database.write() as connection:
        commit = Commit(connection, collection_id, embed)
        for one in learned:
            commit.write(one, None)
        return commit.finish()


def embed(texts: Sequence[str]) -> np.ndarray:
    """Return the vectors of texts, as a commit wants them."""
    return EMBEDDER.encode(list(texts)).astype(np.float16)


def correct(database: Database, collection_id: int, kind: Kind, **what: Any) -> Correction:
    """Make a correction in a commit of its own."""
    new = NewCorrection(kind=kind, what=what, made_by="test")
    with database.write() as connection:
        return correcting.correct(connection, collection_id, new, embed)


def undo_correction(database: Database, collection_id: int, correction_id: int) -> Correction:
    """Undo a correction in a commit of its own."""
    with database.write() as connection:
        return correcting.undo(connection, collection_id, correction_id, "test", embed)


def forget_document(database: Database, collection_id: int, key: str) -> Forgotten | None:
    """Forget one document in a commit of its own."""
    with database.write() as connection:
        commit = Commit(connection, collection_id, embed)
        forgotten = commit.forget(key)
        commit.finish()
        return forgotten


def read_content(connection: Connection, collection_id: int) -> dict[str, Any]:
    """Return a collection's live rows by natural keys: what any history with the same outcome must agree on."""

    def rows(*columns: Any, **joins: Any) -> list[tuple[Any, ...]]:
        query = select(*columns)
        for target, condition in joins.get("on", ()):
            query = query.join(target, condition)
        table = joins["table"]
        return [tuple(row) for row in connection.execute(query.where(table.c.collection_id == collection_id))]

    passage_key = {
        row.id: (row.key, row.ordinal)
        for row in connection.execute(
            select(passages.c.id, documents.c.key, passages.c.ordinal).join(
                documents, documents.c.id == passages.c.document_id
            )
        )
    }
    phrase_key = {row.id: row.key for row in connection.execute(select(phrases.c.id, phrases.c.key))}
    named_fact = {
        row.id: (phrase_key[row.subject_id], row.predicate, phrase_key[row.object_id])
        for row in connection.execute(select(facts))
    }
    return {
        "documents": {
            row[0]: row[1:]
            for row in rows(
                documents.c.key,
                documents.c.title,
                documents.c.source,
                documents.c.content_hash,
                table=documents,
            )
        },
        "passages": {
            passage_key[row[0]]: row[1:]
            for row in rows(
                *(passages.c[name] for name in ("id", "text", "heading", "page", "start", "end", "text_hash", "twin")),
                table=passages,
            )
        },
        "embeddings": dict(rows(embeddings.c.text_hash, embeddings.c.vector, table=embeddings)),
        "phrases": sorted(key for (key,) in rows(phrases.c.key, table=phrases)),
        "mentions": {
            (passage_key[passage_id], phrase_key[phrase_id]): (surface, count)
            for passage_id, phrase_id, surface, count in rows(
                mentions.c.passage_id, mentions.c.phrase_id, mentions.c.surface, mentions.c.count, table=mentions
            )
        },
        "facts": sorted(named_fact[fact_id] for (fact_id,) in rows(facts.c.id, table=facts)),
        "fact_embeddings": {
            named_fact[fact_id]: vector
            for fact_id, vector in rows(fact_embeddings.c.fact_id, fact_embeddings.c.vector, table=fact_embeddings)
        },
        "fact_sources": sorted(
            (named_fact[fact_id], passage_key[passage_id])
            for fact_id, passage_id in rows(fact_sources.c.fact_id, fact_sources.c.passage_id, table=fact_sources)
        ),
    }


def content_of(database: Database, name: str = "memory") -> dict[str, Any]:
    """Return a collection's canonical content."""
    with database.read() as connection:
        return read_content(connection, get_collection(connection, name).id)


SENTENCES = (
    "Ada Quill likes Bram Oster.",
    "Bram Oster likes Cora Finch.",
    "Ada Quill likes Bram Oster and the Old Mill.",
    "Nobody is named here.",
    "Cora Finch saw Ada Quill. Ada Quill waved.",
    "The Old Mill stood by Lake Orrin.",
    "Lake Orrin likes Cora Finch.",
    "It rained on Dunmore and on Lake Orrin.",
)


@dataclass(frozen=True)
class Step:
    """One commit of a random history: documents written together, then documents forgotten."""

    write: tuple[LearnedDocument, ...]
    forget: tuple[str, ...]


def random_history(seed: int, steps: int = 25) -> list[Step]:
    """Return adds, replacements and forgets over few documents that share texts, names and facts."""
    chance = random.Random(seed)
    history = []
    for _ in range(steps):
        keys = chance.sample("abcdef", chance.choice((1, 1, 2)))
        write = tuple(
            learn_document(key, *chance.choices(SENTENCES, k=chance.randrange(4)), title=chance.choice(("", "Dunmore")))
            for key in keys
            if chance.random() < 0.65
        )
        forget = tuple(key for key in chance.sample("abcdef", 2) if chance.random() < 0.4)
        history.append(Step(write, forget))
    return history


def replay(database: Database, collection_id: int, step: Step) -> None:
    """Commit one step of a history."""
    with database.write() as connection:
        commit = Commit(connection, collection_id, embed)
        for one in step.write:
            commit.write(one, None)
        for key in step.forget:
            commit.forget(key)
        commit.finish()


def outcome(history: Iterable[Step]) -> dict[str, LearnedDocument]:
    """Return the documents that live after a history."""
    alive: dict[str, LearnedDocument] = {}
    for step in history:
        alive.update({one.document.id: one for one in step.write})
        for key in step.forget:
            alive.pop(key, None)
    return alive


@dataclass
class CapitalsPool:
    """An extraction pool without a process: names are capitalised words; ``deadly`` stands in texts that kill it."""

    deadly: str = "\0"
    texts: list[str] = field(default_factory=list)

    def submit(self, texts: Sequence[str]) -> Future[Extracted]:
        self.texts += texts
        done: Future[Extracted] = Future()
        done.set_result(([extract_capitals(text) for text in texts], 0.0))
        return done

    def collect(self, texts: Sequence[str], future: Future[Extracted]) -> tuple[list[Extraction | None], float]:
        found, seconds = future.result()
        return [None if self.deadly in text else one for text, one in zip(texts, found, strict=True)], seconds

    def close(self) -> None:
        """Nothing to close."""

    def end(self) -> None:
        """Nothing to end."""


class ParagraphSplitter:
    """Makes every paragraph a passage."""

    def split(self, document: Document) -> tuple[Passage, ...]:
        found, start = [], 0
        for ordinal, text in enumerate(document.text.split("\n\n")):
            found.append(Passage(ordinal=ordinal, text=text, start=start, end=start + len(text)))
            start += len(text) + 2
        return tuple(found)


def new_job(
    database: Database,
    items: Sequence[NewItem],
    *,
    job_id: str = "job-1",
    collection: str = "memory",
    duplicates: str = "link",
) -> str:
    """Write a queued job; return its id."""
    with database.write() as connection:
        collection_id = get_collection(connection, collection).id
        create_job(
            connection,
            job_id=job_id,
            collection_id=collection_id,
            split="recursive",
            fingerprint="f",
            items=items,
            duplicates=duplicates,
        )
    return job_id


def find_job(database: Database, job_id: str = "job-1") -> Job:
    """Read a job in a transaction of its own."""
    with database.read() as connection:
        return get_job(connection, job_id)


def wait_until(condition: Callable[[], bool], patience_s: float = 30.0) -> None:
    """Poll until ``condition`` holds; fails when it does not within ``patience_s``."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.01)


def write_lines(path: Path, *lines: Mapping[str, Any] | str) -> Path:
    """Write a .jsonl file; a string is written as it stands."""
    import json

    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path
