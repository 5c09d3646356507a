"""What a page of the graph shows, as it stands in the page's address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memory_graph.errors import InvalidInput
from memory_graph.graph_files import TIE_KINDS, TieKind
from service.dashboard.markup import url

LIMITS = (25, 50, 100, 200, 500, 1000, 2000)
LIMIT = 50


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is asked for: ``phrases`` with what is around them, ``members`` and the names of a community without.

    ``community`` is the id of a phrase in it; ``hidden`` is left out of the picture; ``chosen`` is looked at closely.
    """

    phrases: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    hidden: tuple[int, ...] = ()
    community: int | None = None
    chosen: int | None = None
    kinds: tuple[TieKind, ...] = TIE_KINDS
    least: int = 1
    steps: int = 1
    limit: int = LIMIT
    source: str = ""
    target: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether no name is asked for."""
        return not self.phrases and not self.members and self.community is None

    def address(self, collection: str, cursor: str = "") -> str:
        """Return the address of the page that shows this; what is as at the start is left out.

        ``cursor`` is that of the page of corrections.
        """
        start = Shown()
        told = {
            "phrase": _join(self.phrases),
            "member": _join(self.members),
            "hidden": _join(self.hidden),
            "community": self.community,
            "chosen": self.chosen,
            "kind": ",".join(self.kinds) if self.kinds != start.kinds else None,
            "least": self.least if self.least != start.least else None,
            "steps": self.steps if self.steps != start.steps else None,
            "limit": self.limit if self.limit != start.limit else None,
            "source": self.source,
            "target": self.target,
            "cursor": cursor,
        }
        return url("c", collection, "graph", **told)

    def with_expanded(self, phrase_id: int) -> Shown:
        """Return it with what is around a name."""
        phrases = (*(one for one in self.phrases if one != phrase_id), phrase_id)
        hidden = tuple(one for one in self.hidden if one != phrase_id)
        return replace(self, phrases=phrases, hidden=hidden)

    def with_collapsed(self, phrase_id: int) -> Shown:
        """Return it without what is around a name; the name stays."""
        phrases = tuple(one for one in self.phrases if one != phrase_id)
        return replace(self, phrases=phrases, members=(*self.members, phrase_id))

    def with_shown(self, phrase_ids: Sequence[int]) -> Shown:
        """Return it with names, without what is around them."""
        known = {*self.phrases, *self.members}
        members = (*self.members, *(one for one in dict.fromkeys(phrase_ids) if one not in known))
        return replace(self, members=members, hidden=tuple(one for one in self.hidden if one not in phrase_ids))

    def without(self, phrase_id: int) -> Shown:
        """Return it without a name."""
        return replace(
            self,
            phrases=tuple(one for one in self.phrases if one != phrase_id),
            members=tuple(one for one in self.members if one != phrase_id),
            hidden=(*(one for one in self.hidden if one != phrase_id), phrase_id),
            chosen=None if self.chosen == phrase_id else self.chosen,
        )

    def with_merged(self, gone: Sequence[int], into: int) -> Shown:
        """Return it with the name that others became in their place."""

        def renamed(ids: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(dict.fromkeys(into if one in gone else one for one in ids))

        return replace(
            self, phrases=renamed(self.phrases), members=renamed(self.members), chosen=into, community=None
        ).with_shown([into])


def read_shown(
    *,
    phrase: str = "",
    member: str = "",
    hidden: str = "",
    community: str = "",
    chosen: str = "",
    kind: str = "",
    least: str = "",
    steps: str = "",
    limit: str = "",
    source: str = "",
    target: str = "",
) -> Shown:
    """Read the query of an address. Errors: ``InvalidInput`` naming what cannot be read."""
    start = Shown()
    kinds = tuple(one for one in TIE_KINDS if one in kind.split(","))
    if set(kind.split(",")) - {"", *TIE_KINDS}:
        raise InvalidInput("kind", f"must be of {', '.join(TIE_KINDS)}, with commas between")
    return Shown(
        phrases=_ids("phrase", phrase),
        members=_ids("member", member),
        hidden=_ids("hidden", hidden),
        community=_number("community", community, None),
        chosen=_number("chosen", chosen, None),
        kinds=kinds or start.kinds,
        least=_number("least", least, start.least) or start.least,
        steps=_number("steps", steps, start.steps) or start.steps,
        limit=_number("limit", limit, start.limit) or start.limit,
        source=source,
        target=target,
    )


def _join(ids: Sequence[int]) -> str:
    return ",".join(map(str, ids))


def _ids(field: str, given: str) -> tuple[int, ...]:
    found = [_number(field, one, None) for one in given.split(",") if one]
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _number(field: str, given: str, default: int | None) -> int | None:
    if not given:
        return default
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:20]) < 2**63:
        raise InvalidInput(field, f"{given!r} is no whole number above 0")
    return int(given)
