"""Copies of what is there: what documents are compared by, and what a job does with those that are copies.

Equal but for white space, letter case and Unicode form is *exact*; alike by MinHash over runs of three words is
*near*. Under ``link`` a copy is learned and joined to the others, under ``skip`` it is not learned, under ``keep``
nothing is compared, then or later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rensa import RMinHash
from sqlalchemy import Connection

from memory_graph.shingles import MIN_SHINGLES, fold_text, shingle
from memory_graph.store.duplicates import SIGNATURE_VALUES, Copy, Signature, Values, copies_of, find_copies
from memory_graph.store.jobs import Failure, advance_item
from memory_graph.store.learning import known_hashes
from memory_graph.store.skipped import note_skipped
from memory_graph.text import hash_text
from memory_graph.types import Document

# Signatures are rows: with another seed, or another version of the algorithm, no old one is ever found again.
_SEED = 1


@dataclass(frozen=True)
class LeftOut:
    """A new document that is to be left out if it is a copy still; ``size`` is that of its text in bytes."""

    item_id: int
    document_id: str
    signature: Signature
    size: int


def sign(document: Document) -> Signature:
    """Return what a document is compared by.

    Its title does not count, since copies bear other file names; but that of a short text does, for it may be the only
    place that says what the text is about.
    """
    shingles = shingle(document.text)
    if len(shingles) < MIN_SHINGLES:
        return Signature(text_hash=hash_text(fold_text(document.title), fold_text(document.text)), values=None)
    ends = np.array([0, len(shingles)], dtype=np.uint64)
    rows = RMinHash.digest_matrix_from_flat_token_hashes(shingles, ends, SIGNATURE_VALUES, _SEED).to_rows()
    values: Values = np.array(rows[0], dtype=np.uint32)
    return Signature(text_hash=hash_text(fold_text(document.text)), values=values)


def find_original(
    connection: Connection, collection_id: int, document_id: str, signature: Signature | None
) -> Copy | None:
    """Return the document for whose sake a new one is left out under ``skip``, the one that it is most alike.

    None for a document whose id is there: what was learned of it is outdated, so it is replaced, never left out.
    """
    if signature is None or document_id in known_hashes(connection, collection_id, [document_id]):
        return None
    return next(iter(find_copies(connection, collection_id, signature, besides=document_id, limit=1)), None)


def leave_out(connection: Connection, job_id: str, collection_id: int, copy: LeftOut) -> bool:
    """Write down that a new document is left out, under the collection's lock; False if it is no copy (any more)."""
    original = find_original(connection, collection_id, copy.document_id, copy.signature)
    if original is None:
        return False
    if note_skipped(connection, job_id, copy.document_id, original):
        counts = _count(original)
        advance_item(connection, copy.item_id, documents=0, known=0, passages=0, done=copy.size, **counts)
    return True


def count_copy(connection: Connection, collection_id: int, document_id: str | None) -> dict[str, int]:
    """Count a document that was just learned as what it is of the one that it is most alike, if it is a copy."""
    if document_id is None:
        return _count(None)
    return _count(next(iter(copies_of(connection, collection_id, document_id, limit=1)), None))


def lost_original(document_id: str) -> Failure:
    """Return the failure of a document that was left out for one that was forgotten before that was committed."""
    message = "the document that it is a copy of was forgotten or replaced meanwhile; learn it again"
    return Failure(name=document_id, reason="copy_lost", error=message)


def _count(copy: Copy | None) -> dict[str, int]:
    return {kind: int(copy is not None and copy.kind == kind) for kind in ("exact", "near")}
