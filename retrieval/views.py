"""The views that are held in memory, each brought up to date when it is asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock

from memory_graph.database import Database
from memory_graph.errors import Conflict, NotFound
from memory_graph.store.collections import current_version, get_collection
from memory_graph.store.reading import read_changes
from retrieval.view import View, advance, empty_view

_POLL_S = 0.02


@dataclass
class _Held:
    collection_id: int
    view: View = field(default_factory=empty_view)
    lock: Lock = field(default_factory=Lock)


class ViewCache:
    """The newest view of each collection.

    Every search asks the database for the collection's version, which is one row by its key; a view that is behind
    takes in the newer rows on the spot, once for all who wait for it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: dict[str, _Held] = {}
        self._lock = Lock()

    def current(self, name: str, *, min_version: int = 0, patience_s: float = 10.0) -> tuple[int, View]:
        """Return the collection's id and its view at the version that the database has now, or a later one.

        ``min_version`` waits for a commit that is on its way. Errors: ``NotFound``; ``Conflict`` when that version
        did not come within ``patience_s`` seconds.
        """
        deadline = time.monotonic() + patience_s
        while True:
            held = self._find(name)
            with self._database.read() as connection:
                version = current_version(connection, held.collection_id)
            if version is None:  # deleted, perhaps made again under the same name
                self.drop(name)
                held = self._find(name)
                continue
            if version >= min_version:
                return held.collection_id, self._bring_up(name, held, version)
            if time.monotonic() > deadline:
                raise Conflict(
                    f"min_version: the collection {name!r} is at version {version}; {min_version} was not committed "
                    f"within {patience_s:g} s"
                )
            time.sleep(_POLL_S)

    def drop(self, name: str) -> None:
        """Let go of a collection's view."""
        with self._lock:
            self._held.pop(name, None)

    def versions(self) -> dict[str, int]:
        """Return the version of each view that is held."""
        with self._lock:
            return {name: held.view.version for name, held in self._held.items()}

    def _find(self, name: str) -> _Held:
        with self._lock:
            held = self._held.get(name)
        if held is None:
            with self._database.read() as connection:
                collection = get_collection(connection, name)
            with self._lock:
                held = self._held.setdefault(name, _Held(collection.id))
        return held

    def _bring_up(self, name: str, held: _Held, version: int) -> View:
        if held.view.version >= version:
            return held.view
        with held.lock:
            if held.view.version < version:
                with self._database.read() as connection:
                    collection = get_collection(connection, name)
                    if collection.id != held.collection_id:
                        raise NotFound("collection", name)
                    # Tombstones up to compacted_version are gone: an older view cannot learn what was removed.
                    stale = held.view.version < collection.compacted_version
                    base = empty_view() if stale else held.view
                    changes = read_changes(connection, collection, base.version)
                held.view = advance(base, changes).warm()
            return held.view
