"""What a request asked for, by the template of its route: its path may hold the name of a document."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

NO_ROUTE = "unmatched"


def route_of(scope: Mapping[str, Any] | MutableMapping[str, Any], mounted_at: str = "") -> str:
    """Return the template of the route that a request met; of what is mounted, the place alone."""
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        return str(path)
    below = str(scope.get("root_path", "")).removeprefix(mounted_at)
    return f"{below}/*" if below else NO_ROUTE
