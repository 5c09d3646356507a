"""The shapes of keys, shared by the HTTP API and the command line's ``--json``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from memory_graph.store.keys import Key
from memory_graph.store.spending import Spent
from service.access import Scope
from service.keys import WantedKey
from service.schemas import CollectionName, In, Out, Storable, not_blank

MAX_COLLECTIONS = 500
MAX_GRACE_S = 30 * 86_400
MAX_REQUESTS = 1_000_000
MAX_TOKENS = 10**12
MAX_BYTES = 10**15


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("needs a time zone, such as 2027-01-31T12:00:00Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from None


class KeyIn(In):
    name: Annotated[Storable, AfterValidator(not_blank), Field(max_length=200)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=10)]
    collections: Annotated[list[CollectionName], Field(min_length=1, max_length=MAX_COLLECTIONS)] | None = None
    expires_at: Annotated[datetime, AfterValidator(_in_utc)] | None = None
    requests_per_minute: Annotated[int, Field(ge=1, le=MAX_REQUESTS)] | None = None
    tokens_per_day: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    bytes_per_day: Annotated[int, Field(ge=1, le=MAX_BYTES)] | None = None

    def wanted(self) -> WantedKey:
        return WantedKey(**{**self.model_dump(), "scopes": frozenset(self.scopes)})


class RotateIn(In):
    grace_s: Annotated[int, Field(ge=0, le=MAX_GRACE_S, description="How long the secret before still holds")] = 0


class KeyOut(Out):
    id: str
    name: str
    scopes: list[Scope]
    collections: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None
    old_until: datetime | None
    requests_per_minute: int | None
    tokens_per_day: int | None
    tokens_today: int
    bytes_per_day: int | None
    bytes_today: int

    @classmethod
    def of(cls, key: Key, spent: Spent | None = None) -> KeyOut:
        return cls.model_validate(_values(key, spent))


class NewKeyOut(KeyOut):
    """With the key itself, this once."""

    key: str

    @classmethod
    def made(cls, made: tuple[str, Key], spent: Spent | None = None) -> NewKeyOut:
        secret, key = made
        return cls.model_validate(_values(key, spent) | {"key": secret})


class KeysOut(Out):
    keys: list[KeyOut]


def _values(key: Key, spent: Spent | None) -> dict[str, object]:
    today = spent or Spent()
    own = {name: getattr(key, name) for name in KeyOut.model_fields if hasattr(key, name)}
    return own | {"scopes": sorted(key.scopes), "tokens_today": today.tokens, "bytes_today": today.bytes}
