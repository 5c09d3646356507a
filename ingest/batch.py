"""What is on its way to one commit: documents split into passages, and what was computed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.extraction_pool import Extracted
from memory_graph.store.jobs import Failure
from memory_graph.store.learning import LearnedDocument, LearnedPassage
from memory_graph.text import title_as_name
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

    @property
    def inputs(self) -> list[str]:
        """What is embedded, one a passage."""
        return [passage_input(self.document.title, p.heading, p.text) for p in self.passages]


@dataclass
class Batch:
    """What one commit will write, in the order in which it was read."""

    prepared: list[Prepared] = field(default_factory=list)
    known: list[tuple[int, int]] = field(default_factory=list)  # (item, size) of documents that are there already
    failures: list[tuple[int, Failure]] = field(default_factory=list)
    ended: list[tuple[int, Failure | None]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # by text hash, each once
    extraction: Future[Extracted] | None = None
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
        return len(self.known) + len(self.ended) + len(self.failures)


def learned_document(
    prepared: Prepared,
    vectors: Mapping[str, NDArray[np.float16]],
    extractions: Mapping[str, Extraction | None],
    fact_vectors: Mapping[FactKey, NDArray[np.float16]],
) -> LearnedDocument:
    """Return a document with what was computed of it, by text hash; its title is a name of each of its passages."""
    name = title_as_name(prepared.document.title)
    title = (Mention(name, TITLE_COUNT),) if name else ()
    passages = []
    for passage, text_hash in zip(prepared.passages, prepared.text_hashes, strict=True):
        found = extractions[text_hash] or Extraction()
        passages.append(
            LearnedPassage(
                passage=passage,
                text_hash=text_hash,
                vector=vectors[text_hash],
                extraction=Extraction(mentions=(*title, *found.mentions), triples=found.triples),
            )
        )
    return LearnedDocument(
        document=prepared.document,
        content_hash=prepared.content_hash,
        passages=passages,
        fact_vectors=fact_vectors,
    )
