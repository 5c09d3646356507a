"""Who asks, and what they may: the gate says who, and every route names the scope that it needs.

A collection that a caller may not see does not exist for them: the same error in the same words, after the same work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from memory_graph.errors import Forbidden, NotFound, QuotaSpent
from memory_graph.store.audit import Actor
from memory_graph.store.reach import check_job, check_purge, check_query

if TYPE_CHECKING:  # services hold the ring of keys, which makes callers
    from service.services import Services

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
MAX_ID = 2**53
ROWS = frozenset({"job_id", "query_id", "purge_id"})
"""What a path may name that belongs to a collection which it does not name."""


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. ``collections`` are the names of those that the key is bound to, None where it is bound to none.

    ``id`` is the key's: ``open`` where no key is needed, ``first`` for that of ``SHARPWAVE_ADMIN_KEY``.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None
    is_key: bool = False
    """Whether it is a row of ``keys``, with limits and spending."""
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    tokens_left: int | None = None
    """Of the generator, for the rest of this day (UTC)."""
    bytes_per_day: int | None = None
    bytes_left: int | None = None
    """Of what it may give to be learned, for the rest of this day (UTC)."""

    def has(self, *scopes: Scope) -> bool:
        """Whether the key carries one of these scopes; ``admin`` carries all."""
        return "admin" in self.scopes or not self.scopes.isdisjoint(scopes)

    def sees(self, collection: str) -> bool:
        """Whether the key reaches a collection of this name, which need not exist."""
        return self.collections is None or collection in self.collections

    def visible(self, collections: Iterable[str]) -> list[str]:
        """Return those of these names that the key reaches, in their order."""
        return [name for name in collections if self.sees(name)]

    def check(self, *scopes: Scope, collection: str | None = None) -> None:
        """Refuse what the key does not carry.

        Errors: ``NotFound`` for a collection out of its reach, ``Forbidden`` where it has none of ``scopes``.
        """
        if collection is not None and not self.sees(collection):
            raise NotFound("collection", collection)
        if not self.has(*scopes):
            raise Forbidden(f"this key does not carry the scope {' or '.join(scopes)}")


ANYONE = Caller(id="open", name="this machine", scopes=frozenset(SCOPES))
NOBODY = Caller(id="none", name="no key", scopes=frozenset(), collections=frozenset())
"""Who asks for what needs no key."""
FIRST = Caller(id="first", name="SHARPWAVE_ADMIN_KEY", scopes=frozenset(SCOPES))


# Here and below, what does not wait is a coroutine: the framework would send a function to a thread and back.
async def get_caller(request: Request) -> Caller:
    """Return who asks, as the gate found."""
    caller: Caller = request.state.caller
    return caller


Asking = Annotated[Caller, Depends(get_caller)]


def get_actor(caller: Asking) -> Actor:
    """Return whom the audit log names for a request."""
    return Actor(id=caller.id, name=caller.name)


Acting = Annotated[Actor, Depends(get_actor)]


class Needs:
    """A dependency: the caller carries one of ``scopes``, and reaches what the path names, if it names something.

    That is ``{collection}``, ``{job_id}``, ``{query_id}`` or ``{purge_id}``. With ``unbound`` the key must not be bound
    to collections; with ``spends`` it must have tokens of the generator left for today.
    """

    def __init__(self, *scopes: Scope, unbound: bool = False, spends: bool = False) -> None:
        self._scopes = scopes
        self._unbound = unbound
        self._spends = spends

    async def __call__(self, request: Request, caller: Asking) -> None:
        parts, named = request.app.state.services, request.path_params
        if named.keys() & ROWS:  # which are looked up in the database
            await run_in_threadpool(self.check, parts, caller, named)
        else:
            self.check(parts, caller, named)

    def check(self, parts: Services, caller: Caller, named: Mapping[str, Any]) -> None:
        """Refuse a caller who may not do this to what is ``named``, as the path names it.

        Errors: ``NotFound``, ``Forbidden``, ``QuotaSpent``.
        """
        # The scope first: whoever lacks it is told so alike of what is there and of what is not.
        caller.check(*self._scopes)
        caller.check(*self._scopes, collection=named.get("collection"))
        _check_reach(parts, caller, named)
        if self._unbound and caller.collections is not None:
            raise Forbidden("this key is bound to collections; this needs one that is not")
        if self._spends:
            check_quota(caller)


def check_quota(caller: Caller) -> None:
    """Refuse a key that has no tokens of the generator left today. Errors: ``QuotaSpent``."""
    if caller.tokens_left is not None and caller.tokens_left <= 0:
        raise QuotaSpent(f"this key has spent its {caller.tokens_per_day} tokens of today (UTC)")


def _check_reach(parts: Services, caller: Caller, named: Mapping[str, Any]) -> None:
    if not named.keys() & ROWS:
        return
    if "query_id" in named:
        parts.query_log.flush()
    with parts.database.read() as connection:
        if "job_id" in named:
            check_job(connection, named["job_id"], caller.collections)
        if "query_id" in named:
            check_query(connection, named["query_id"], caller.collections)
        # What is no number, or a larger one than the database takes, the route refuses in its own words.
        if "purge_id" in named and str(named["purge_id"]).isdecimal() and int(named["purge_id"]) <= MAX_ID:
            check_purge(connection, int(named["purge_id"]), caller.collections)


READS, WRITES, FOLLOWS, ADMINS = (
    Depends(Needs("read")),
    Depends(Needs("write")),
    Depends(Needs("read", "write")),  # of jobs, which those who write wait for
    Depends(Needs("admin")),
)
ANSWERS = Depends(Needs("read", spends=True))  # by the generator
CREATES = Depends(Needs("write", unbound=True))  # collections, whose names a bound key must not learn
OPERATES = Depends(Needs("admin", unbound=True))  # what tells of all collections at once
