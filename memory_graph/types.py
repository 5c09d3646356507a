"""The nouns of the product: frozen values that travel between the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]
# What becomes of copies of what is there; see ingest/dedupe.py.
Policy: TypeAlias = Literal["link", "skip", "keep"]


@dataclass(frozen=True, kw_only=True)
class Document:
    """What the user gave: one text with an identity.

    ``id`` is unique in a collection; giving it again replaces the document. ``pages`` holds, for paged formats, the
    character offset in ``text`` at which each page begins (``pages[0] == 0``); it is empty otherwise.
    """

    id: str
    text: str
    title: str = ""
    metadata: JsonObject = field(default_factory=dict)
    source: str | None = None
    occurred_at: datetime | None = None
    pages: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Passage:
    """What is retrieved: a stretch of a document's text.

    ``start`` and ``end`` are character offsets with ``document.text[start:end] == text``. ``heading`` is the path of
    the headings the passage stands under ("Part I › Chapter 2"), ``page`` the 1-based page it begins on, or None.
    """

    ordinal: int
    text: str
    start: int
    end: int
    heading: str = ""
    page: int | None = None


@dataclass(frozen=True)
class Mention:
    """A name found in a passage, ``count`` times."""

    text: str
    count: int


@dataclass(frozen=True)
class Triple:
    """(subject, predicate, object) as read in a text."""

    subject: str
    predicate: str
    object: str


FactKey: TypeAlias = tuple[str, str, str]
"""A fact under its phrases' keys: what stays the same however its names were written."""


@dataclass(frozen=True)
class Extraction:
    """What an extractor found in one passage."""

    mentions: tuple[Mention, ...] = ()
    triples: tuple[Triple, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A passage that a search returned; ``rank`` counts from 1, ``ordinal`` its document's passages from 0."""

    passage_id: int
    document_id: str
    title: str
    text: str
    score: float
    rank: int
    ordinal: int = 0
    page: int | None = None
    source: str | None = None
    heading: str = ""
    occurred_at: datetime | None = None
    duplicates: tuple[str, ...] = ()
    """Other documents, by id, that hold a copy of it which was found as well and is not among the hits."""


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A claim that passage ``n`` (1-based, in the order of the hits) carries the answer.

    ``quote`` occurs verbatim in the passage; ``supported`` says whether the answer's own words stand in it.
    """

    n: int
    passage_id: int
    document_id: str
    title: str
    quote: str
    supported: bool


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens spent on a generator."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Those of the prompt that the server had read before, where it tells."""
    completion_tokens: int = 0
    calls: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            calls=self.calls + other.calls,
        )
