"""Ways of searching: what is asked of a search, as one value with a name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

from memory_graph.errors import InvalidInput
from retrieval.graph_search import GraphParams
from retrieval.search import Mode, Rerank, SearchRequest

WalkMode: TypeAlias = Literal["push", "exact"]


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way of searching. A field is an option of ``eval`` and of a condition, by the same name.

    ``parity`` is HippoRAG 2's ranking in the place of a search, and goes without the other options.
    A new option is a field here with the default of the search, and a line in ``request`` or in ``params``.
    """

    mode: Mode = "graph"
    rerank: Rerank | None = None
    walk: WalkMode = "push"
    parity: bool = False

    @property
    def name(self) -> str:
        """``parity``, or the mode and behind it what is not the default; no white space: ``graph,walk=exact``."""
        if self.parity:
            return "parity"
        others = (f"{name}={value}" for name, value in self.changed.items() if name != "mode")
        return ",".join([self.mode, *others])

    @property
    def options(self) -> dict[str, Any]:
        """Every option with its value."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def changed(self) -> dict[str, Any]:
        """The options whose value is not the default."""
        return {
            field.name: self.options[field.name] for field in fields(self) if self.options[field.name] != field.default
        }

    def request(self, query: str, top_k: int) -> SearchRequest:
        """Return the request for the ``top_k`` passages."""
        return SearchRequest(query=query, top_k=top_k, mode=self.mode, rerank=self.rerank)

    def params(self) -> GraphParams:
        """Return how the graph is walked, else with the defaults."""
        params = GraphParams()
        return replace(params, walk=replace(params.walk, mode=self.walk))


PARITY = Way(parity=True)


def list_choices() -> dict[str, tuple[Any, ...]]:
    """Return the values that each option can have."""
    return {name: list_values(hint) for name, hint in get_type_hints(Way).items()}


def combine_ways(**choices: Sequence[Any]) -> list[Way]:
    """Return each combination of the values chosen for the options once, in their order, the first varying slowest.

    Errors: ``InvalidInput`` naming the option.
    """
    for name, values in choices.items():
        for value in values:
            check_option(f"--{name}", name, value)
    made = (Way(**dict(zip(choices, values, strict=True))) for values in product(*choices.values()))
    combined = list(dict.fromkeys(made))
    for way in combined:
        if way.rerank == "chain" and way.mode != "graph":
            raise InvalidInput("--rerank", f"chain goes with mode graph alone, not with {way.mode}. Name the modes.")
    return combined


def check_option(place: str, name: str, value: Any) -> None:
    """Refuse a value that the option cannot have; errors: ``InvalidInput`` for the field ``place``."""
    allowed = list_choices()[name]
    if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
        named = ", ".join(str(one) for one in allowed if one is not None)
        raise InvalidInput(place, f"must be one of {named}, not {value!r}.")


def list_values(hint: Any) -> tuple[Any, ...]:
    """Return the values of a type of few values: a ``Literal``, ``bool``, ``None``, or a union of these."""
    if hint is bool:
        return (False, True)
    if hint is NoneType:
        return (None,)
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(value for part in get_args(hint) for value in list_values(part))
