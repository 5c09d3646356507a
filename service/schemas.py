"""The shapes of requests and responses, shared by the HTTP API and the command line's ``--json``."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection

from memory_graph.errors import InvalidInput
from memory_graph.store.collections import Collection, Counts

COLLECTION_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MAX_QUESTION_CHARS = 8_000
MAX_DOCUMENTS = 1_000
MAX_DOCUMENT_CHARS = 20_000_000
MAX_DEPTH = 100


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the character NUL")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    return text


def _storable_json(value: dict[str, Any]) -> dict[str, Any]:
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > MAX_DEPTH:  # far below where Python's own JSON gives up
            raise ValueError(f"must not be nested deeper than {MAX_DEPTH}")
        if isinstance(one, str):
            _storable(one)
        elif isinstance(one, float) and not isfinite(one):
            raise ValueError("must not contain NaN or an infinite number")
        elif isinstance(one, dict):
            waiting += ((inner, depth + 1) for pair in one.items() for inner in pair)
        elif isinstance(one, list):
            waiting += ((inner, depth + 1) for inner in one)
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


def not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Storable = Annotated[str, AfterValidator(_storable)]
StorableJson = Annotated[dict[str, Any], AfterValidator(_storable_json)]
Question = Annotated[Storable, AfterValidator(not_blank), Field(max_length=MAX_QUESTION_CHARS)]
CollectionName = Annotated[str, Field(pattern=f"^{COLLECTION_NAME.pattern}$")]


async def refuse_nul(request: HTTPConnection) -> None:
    """Refuse the character NUL in an address, which no database takes. Errors: ``InvalidInput``."""
    for name, value in (*request.path_params.items(), *request.query_params.multi_items()):
        if "\0" in str(value) or "\0" in name:
            raise InvalidInput(name.replace("\0", "␀"), "must not contain the character NUL")


class In(BaseModel):
    """A request: unknown fields are errors, so that a typing mistake is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """A response."""

    model_config = ConfigDict(from_attributes=True)


class CollectionIn(In):
    name: CollectionName
    description: Annotated[Storable, Field(max_length=2_000)] = ""


class CollectionOut(Out):
    name: str
    description: str
    version: int
    documents: int
    passages: int
    phrases: int
    facts: int
    embedder: str
    created_at: datetime

    @classmethod
    def of(cls, collection: Collection, counts: Counts) -> CollectionOut:
        return cls.model_validate(
            {name: getattr(collection, name) for name in ("name", "description", "version", "embedder", "created_at")}
            | {name: getattr(counts, name) for name in ("documents", "passages", "phrases", "facts")}
        )


class CollectionsOut(Out):
    collections: list[CollectionOut]
    next_cursor: str | None = None


class StateOut(Out):
    ready: bool
    parts: dict[str, str]
