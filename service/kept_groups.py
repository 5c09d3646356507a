"""The groups of names of each collection, kept until it changes: looking for them takes long in a large memory."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

if TYPE_CHECKING:
    from memory_graph.inspect import Communities, Groups

MOST = 16  # collections with limits


class KeptGroups:
    """Groups by collection and limit, each of one version; ids alone, so that no name outlives what it rests on."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], tuple[int, Groups]] = {}
        self._lock = Lock()  # whoever asks meanwhile waits for the one who looks

    def read(self, connection: Connection, collection: Any, limit: int) -> Communities:
        """Return the groups of a collection at the version that is read. Errors: ``InvalidInput`` for the limit."""
        # networkx takes a while to import: only this pays for it.
        from memory_graph.inspect import group_names, name_groups

        key = collection.id, limit
        with self._lock:
            version, groups = self._kept.pop(key, (None, None))
            if groups is None or version != collection.version:
                groups = group_names(connection, collection.id, limit=limit)
            self._kept[key] = collection.version, groups
            while len(self._kept) > MOST:
                del self._kept[next(iter(self._kept))]
        return name_groups(connection, groups)
