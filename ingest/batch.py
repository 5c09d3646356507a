"""What is on its way to one commit: documents split into passages, and what was computed of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.dedupe import LeftOut
from ingest.extracting import Finding, NotExtracted, PassageText
from memory_graph.store.duplicates import Signature
from memory_graph.store.extractions import StoredExtraction
from memory_graph.store.jobs import Failure
from memory_graph.store.learning import LearnedDocument, LearnedPassage
from memory_graph.text import fact_key, is_linkable, normalize, title_as_name
from memory_graph.types import Document, Extraction, FactKey, Mention, Passage
from retrieval.embedder import passage_input

# A title names what its passages are about: it counts twice in each of them.
TITLE_COUNT = 2


@dataclass(frozen=True)
class Prepared:
    """A document split into passages, with the hash of what each embeds."""

    item_id: int
    document: Document
    content_hash: str
    passages: Sequence[Passage]
    text_hashes: Sequence[str]
    signature: Signature | None = None

    @property
    def inputs(self) -> list[str]:
        """What is embedded, one a passage."""
        return [passage_input(self.document.title, p.heading, p.text) for p in self.passages]


@dataclass
class Batch:
    """What one commit will write, in the order in which it was read."""

    prepared: list[Prepared] = field(default_factory=list)
    known: list[tuple[int, int]] = field(default_factory=list)  # (item, size) of documents that are there already
    left_out: list[LeftOut] = field(default_factory=list)
    failures: list[tuple[int, Failure]] = field(default_factory=list)
    ended: list[tuple[int, Failure | None]] = field(default_factory=list)
    texts: dict[str, PassageText] = field(default_factory=dict)  # to be extracted, by text hash, each once
    stored: dict[str, StoredExtraction] = field(default_factory=dict)  # of texts that were extracted before
    extraction: Future[Any] | None = None
    read_s: float = 0.0
    settle: bool = False  # nothing more is read before this is learned

    @property
    def passages(self) -> int:
        return sum(len(one.passages) for one in self.prepared)

    @property
    def is_empty(self) -> bool:
        return not self.prepared and not self.notes

    @property
    def notes(self) -> int:
        """What is to be written down beside the documents."""
        return len(self.known) + len(self.left_out) + len(self.ended) + len(self.failures)


@dataclass(kw_only=True)
class Computed:
    """What was computed of a batch: vectors and findings by text hash, and vectors of facts and phrases by key."""

    vectors: Mapping[str, NDArray[np.float16]]
    findings: Mapping[str, Finding]
    facts: Mapping[FactKey, NDArray[np.float16]] = field(default_factory=dict)
    phrases: Mapping[str, NDArray[np.float16]] = field(default_factory=dict)
    made_by: str = ""


def title_mentions(document: Document) -> tuple[Mention, ...]:
    """Return the title as a mention in each of a document's passages, if it can be a name."""
    name = title_as_name(document.title)
    return (Mention(name, TITLE_COUNT),) if name else ()


def fact_keys(findings: Iterable[Finding]) -> list[FactKey]:
    """Return the keys of all facts, as which they are embedded, so that a vector goes by no way of writing a name."""
    triples = (triple for found in extracted(findings) for triple in found.triples)
    return sorted({fact_key(triple.subject, triple.predicate, triple.object) for triple in triples})


def phrase_keys(prepared: Iterable[Prepared], findings: Iterable[Finding]) -> list[str]:
    """Return the keys of all names that are long enough for a vector to say what they mean."""
    names = {mention.text for one in prepared for mention in title_mentions(one.document)}
    for found in extracted(findings):
        names.update(mention.text for mention in found.mentions)
        names.update(name for triple in found.triples for name in (triple.subject, triple.object))
    return sorted({key for key in map(normalize, names) if is_linkable(key)})


def extracted(findings: Iterable[Finding]) -> list[Extraction]:
    """Return the findings that are no failures."""
    return [found for found in findings if isinstance(found, Extraction)]


def failure_of(prepared: Prepared, findings: Mapping[str, Finding]) -> Failure | None:
    """Return why a document cannot be learned, if a passage of it could not be extracted."""
    missing = [found for one in prepared.text_hashes if isinstance(found := findings[one], NotExtracted)]
    if not missing:
        return None
    total = len(prepared.text_hashes)
    extent = f" ({len(missing)} of its {total} passages)" if len(missing) > 1 else ""
    return Failure(name=prepared.document.id, reason=missing[0].reason, error=missing[0].error + extent)


def learned_document(prepared: Prepared, computed: Computed) -> LearnedDocument:
    """Return a document with what was computed of it."""
    title = title_mentions(prepared.document)
    passages = []
    for passage, text_hash in zip(prepared.passages, prepared.text_hashes, strict=True):
        found = computed.findings[text_hash]
        if isinstance(found, NotExtracted):
            raise ValueError("a document with a passage that was not extracted is not learned")
        if not isinstance(found, StoredExtraction):  # there the title counts already: it is part of what is hashed
            found = Extraction(mentions=(*title, *found.mentions), triples=found.triples)
        passages.append(
            LearnedPassage(passage=passage, text_hash=text_hash, vector=computed.vectors[text_hash], extraction=found)
        )
    return LearnedDocument(
        document=prepared.document,
        content_hash=prepared.content_hash,
        passages=passages,
        fact_vectors=computed.facts,
        phrase_vectors=computed.phrases,
        made_by=computed.made_by,
        signature=prepared.signature,
    )
