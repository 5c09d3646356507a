"""A collection as a file holds it: one record a line, by names that mean the same in every database.

A header comes first, then each document followed by its passages, then vectors of phrases and facts, notes, retention
rules, corrections, and at last an end that counts them. Vectors are base64 of float16, little endian. Nothing names a
row's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class HeaderRecord:
    """What the file is; ``made_by`` names the program, ``embedder`` what made the vectors (empty: there are none)."""

    kind: Literal["header"] = "header"
    format: int
    made_by: str
    name: str
    description: str
    version: int
    embedder: str


@dataclass(frozen=True, kw_only=True)
class SignatureRecord:
    """What a document is compared with others by; ``minhash`` is base64 of (120,) uint32, None of a short text."""

    text_hash: str
    minhash: str | None


@dataclass(frozen=True, kw_only=True)
class DocumentRecord:
    """A document, followed by so many ``passages``."""

    kind: Literal["document"] = "document"
    id: str
    title: str
    source: str | None
    metadata: dict[str, Any]
    occurred_at: datetime | None
    content_hash: str
    created_at: datetime
    signature: SignatureRecord | None
    passages: int


@dataclass(frozen=True, kw_only=True)
class OriginalRecord:
    """What was found in a passage, before corrections; of its names and facts, those that have vectors."""

    mentions: tuple[tuple[str, str, int], ...]
    facts: tuple[tuple[str, str, str], ...]
    embedded_names: tuple[str, ...]
    embedded_facts: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class PassageRecord:
    """A passage of the document before it.

    ``mentions`` are (phrase's key, surface, count), ``facts`` (subject's key, predicate, object's key): as corrections
    leave them. ``original`` is what was found, of a passage that corrections touch.
    """

    kind: Literal["passage"] = "passage"
    ordinal: int
    text: str
    heading: str
    page: int | None
    start: int
    end: int
    text_hash: str
    twin: int
    made_by: str
    vector: str
    mentions: tuple[tuple[str, str, int], ...]
    facts: tuple[tuple[str, str, str], ...]
    original: OriginalRecord | None = None


@dataclass(frozen=True, kw_only=True)
class PhraseRecord:
    """The vector of a phrase that some passage names."""

    kind: Literal["phrase"] = "phrase"
    key: str
    vector: str


@dataclass(frozen=True, kw_only=True)
class FactRecord:
    """The vector of a fact that some passage states."""

    kind: Literal["fact"] = "fact"
    subject: str
    predicate: str
    object: str
    vector: str


@dataclass(frozen=True, kw_only=True)
class NoteRecord:
    """A kept note; its passages are (document's id, ordinal)."""

    kind: Literal["note"] = "note"
    query_id: str
    question: str
    text: str
    created_at: datetime
    passages: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class RuleRecord:
    """A rule of retention."""

    kind: Literal["rule"] = "rule"
    name: str
    age_of: Literal["learned", "occurred"]
    max_age_days: int | None
    filter: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class MeantRecord:
    """What a correction says; each kind has its own fields."""

    names: tuple[str, ...] | None = None
    name: str | None = None
    into: str | None = None
    surface: str | None = None
    subject: str | None = None
    predicate: str | None = None
    object: str | None = None
    documents: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class CorrectionRecord:
    """A correction, standing or not, in the order in which they were made; one that is forgotten says nothing."""

    kind: Literal["correction"] = "correction"
    correction: Literal["merge", "split", "retract"]
    what: MeantRecord | None
    reason: str
    state: Literal["active", "undone", "forgotten"]
    made_by: str
    created_at: datetime
    passages: int
    undone_by: str | None
    undone_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class EndRecord:
    """The last line: how many records of each kind came before. A file without it was cut short."""

    kind: Literal["end"] = "end"
    counts: dict[str, int]


Record: TypeAlias = (
    HeaderRecord
    | DocumentRecord
    | PassageRecord
    | PhraseRecord
    | FactRecord
    | NoteRecord
    | RuleRecord
    | CorrectionRecord
    | EndRecord
)
