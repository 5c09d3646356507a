"""Who asks, and what they may: the gate says who, and every route names the scope that it needs.

A collection that a caller may not see does not exist for them: the same error in the same words, after the same work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Request

from memory_graph.errors import Forbidden, NotFound

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks. ``collections`` are the names of those that the key is bound to, None where it is bound to none.

    ``id`` is the key's: ``open`` where no key is needed, ``first`` for that of ``SHARPWAVE_ADMIN_KEY``.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    collections: frozenset[str] | None = None

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
FIRST = Caller(id="first", name="SHARPWAVE_ADMIN_KEY", scopes=frozenset(SCOPES))


def get_caller(request: Request) -> Caller:
    """Return who asks, as the gate found."""
    caller: Caller = request.state.caller
    return caller


Asking = Annotated[Caller, Depends(get_caller)]


class Needs:
    """A dependency: the caller carries one of ``scopes``, and reaches the collection that the path names, if any."""

    def __init__(self, *scopes: Scope) -> None:
        self._scopes = scopes

    def __call__(self, request: Request, caller: Asking) -> None:
        self.check(caller, request.path_params.get("collection"))

    def check(self, caller: Caller, collection: str | None) -> None:
        """Refuse a caller; errors: those of ``Caller.check``."""
        caller.check(*self._scopes, collection=collection)


READS, WRITES, FOLLOWS, ADMINS = (
    Depends(Needs("read")),
    Depends(Needs("write")),
    Depends(Needs("read", "write")),  # of jobs, which those who write wait for
    Depends(Needs("admin")),
)
