"""What learning would take, before it is begun: documents, passages, and tokens where a language model reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.asking import count_prompt
from ingest.extracting import PassageText
from ingest.file_reader import FileReader
from ingest.formats import ReadLimits
from ingest.openie_prompts import NAMES_TOKENS, TRIPLES_TOKENS, names_messages, triples_messages
from ingest.splitter import Splitter
from ingest.staging import hash_document
from memory_graph.database import Database
from memory_graph.errors import UnreadableDocument
from memory_graph.store.learning import known_hashes
from memory_graph.types import Document
from retrieval.generator import estimate_tokens

# Tokens of a reply to one of the passage, as models list its names and its triples; a reply out of form comes again.
NAMES_SHARE = 0.4
TRIPLES_SHARE = 1.5
_FRAME_TOKENS = 8


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is still to be learned, and what a language model would need for it at most.

    ``known`` documents are there already, ``failed`` ones cannot be read. Prompts are counted rather too large than too
    small; how long replies are is a guess.
    """

    documents: int = 0
    known: int = 0
    failed: int = 0
    passages: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def with_passage(self, passage: PassageText) -> Estimate:
        """Return the estimate with one passage more, read by a language model."""
        size = estimate_tokens(passage.text)
        names = min(NAMES_TOKENS, round(size * NAMES_SHARE) + _FRAME_TOKENS)
        triples = min(TRIPLES_TOKENS, round(size * TRIPLES_SHARE) + _FRAME_TOKENS)
        return replace(
            self,
            calls=self.calls + 2,
            prompt_tokens=self.prompt_tokens
            + count_prompt(names_messages(passage))
            + count_prompt(triples_messages(passage, ()))
            + names,
            completion_tokens=self.completion_tokens + names + triples,
        )


def estimate_learning(
    database: Database,
    collection_id: int | None,
    paths: Iterable[Path],
    splitter: Splitter,
    split: str,
    *,
    limits: ReadLimits,
    by_model: bool,
) -> Estimate:
    """Read and split files as a job would, without learning anything; ``collection_id`` None is a new collection."""
    total = Estimate()
    reader = FileReader(limits)
    for path in paths:
        for document in reader.read_file(path):
            if isinstance(document, UnreadableDocument):
                total = replace(total, failed=total.failed + 1)
            elif _is_known(database, collection_id, document, split):
                total = replace(total, known=total.known + 1)
            else:
                total = _with_document(total, document, splitter, by_model)
    reader.close()
    return total


def _with_document(total: Estimate, document: Document, splitter: Splitter, by_model: bool) -> Estimate:
    pieces = splitter.split(document)
    total = replace(total, documents=total.documents + 1, passages=total.passages + len(pieces))
    if by_model:
        for piece in pieces:
            total = total.with_passage(
                PassageText(document=document.id, title=document.title, heading=piece.heading, text=piece.text)
            )
    return total


def _is_known(database: Database, collection_id: int | None, document: Document, split: str) -> bool:
    if collection_id is None:
        return False
    with database.read() as connection:
        known = known_hashes(connection, collection_id, [document.id]).get(document.id)
    return known is not None and known[0] == hash_document(document, split)
