"""Which passages a stored trace speaks of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MOST_PASSAGES = 500
"""That are named; a trace of an ordinary question speaks of some 60."""

_ONE = frozenset({"passage_id", "from_passage_id", "into"})
_SEVERAL = frozenset({"passage_ids", "order", "shown", "new"})


def passages_in(trace: Mapping[str, Any]) -> list[int]:
    """Return the ids of the passages in a trace, each once: hits first, then by where they come."""
    hits = [hit["passage_id"] for hit in trace.get("hits", ())]
    return list(dict.fromkeys([*hits, *_find(trace)]))[:MOST_PASSAGES]


def _find(value: Any) -> Iterator[int]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _ONE and isinstance(inner, int):
                yield inner
            elif name in _SEVERAL and isinstance(inner, list):
                yield from (one for one in inner if isinstance(one, int))
            else:
                yield from _find(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _find(inner)
