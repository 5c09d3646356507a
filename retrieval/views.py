"""The views that are held in memory, each brought up to date when it is asked for."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import BoundedSemaphore, Event, Lock, Thread

from memory_graph.database import Database
from memory_graph.errors import Conflict, SharpwaveError, StoreBusy
from memory_graph.store.collections import commit_token, compacted_version, current_commit, get_collection
from memory_graph.store.purges import last_forgotten
from memory_graph.store.reading import count_new_passages
from retrieval.refreshing import bring_up, save_in_child
from retrieval.renewing import renew_saves
from retrieval.saved_views import SavedViews
from retrieval.view import View, empty_view

log = logging.getLogger(__name__)

_POLL_S = 0.02
_FOLLOW_S = 0.5
_SAVE_AGAIN_S = 60.0  # after one that failed, as where the disk is full


@dataclass(frozen=True, kw_only=True)
class ViewParams:
    """When views are refreshed, saved and dropped.

    A search takes up to ``on_the_spot`` new passages in itself; more are taken in behind it. A view is saved when more
    than ``save_after`` passages, and more than ``save_share`` of those in its last save, came or went since. Views
    that are not in use are dropped where all together take more than ``memory_bytes``. At most ``waits`` callers wait
    for a version that is not there yet: each holds what it was let in with.
    """

    waits: int = 8
    on_the_spot: int = 2000
    save_after: int = 2000
    save_share: float = 0.1
    memory_bytes: int = 8 * 2**30


@dataclass
class _Held:
    collection_id: int
    view: View | None = None
    saved_rows: int = 0  # of the save that the view rests on
    used_at: float = 0.0
    refreshing: bool = False  # a thread takes in new rows
    tending: bool = False  # a thread seals or saves
    save_again_at: float = 0.0  # after a save that failed
    made_at: int = 0  # the version of the save that the view rests on, or at which it was made from the rows
    lock: Lock = field(default_factory=Lock)  # held by the one thread that makes the next view


class ViewCache:
    """The newest view of each collection.

    Every search asks the database for the collection's version, which is one row by its key. ``folder`` is where views
    are saved; without it they are only held in memory.
    """

    def __init__(self, database: Database, folder: Path | None = None, params: ViewParams | None = None) -> None:
        self._database = database
        self._folder = folder
        self._params = params or ViewParams()
        self._held: dict[str, _Held] = {}
        self._lock = Lock()
        self._waits = BoundedSemaphore(self._params.waits)
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False
        self._ended = Event()

    def current(self, name: str, *, min_version: int = 0, patience_s: float = 10.0) -> tuple[int, View]:
        """Return the collection's id and its view, at the version that the database has now or a later one.

        Where much came since, the view may be a little older, but is never older than ``min_version``, which is waited
        for. Errors: ``NotFound``; ``Conflict`` when that version did not come within ``patience_s`` seconds;
        ``StoreBusy`` when too many wait already.
        """
        found = self._current(name, min_version)
        if isinstance(found, tuple):
            return found
        if not self._waits.acquire(blocking=False):
            raise StoreBusy(
                f"{self._params.waits} requests wait for a min_version already; repeat this one after a pause"
            )
        try:
            deadline = time.monotonic() + patience_s
            while not isinstance(found, tuple):
                if time.monotonic() > deadline:
                    raise Conflict(
                        f"min_version: the collection {name!r} is at version {found}; {min_version} was not committed "
                        f"within {patience_s:g} s"
                    )
                time.sleep(_POLL_S)
                found = self._current(name, min_version)
            return found
        finally:
            self._waits.release()

    def _current(self, name: str, min_version: int) -> tuple[int, View] | int:
        """Return the collection's id and its view, or the version that it has where that is not enough."""
        while True:
            held = self._find(name)
            with self._database.read() as connection:
                commit = current_commit(connection, held.collection_id)
            if commit is None:  # deleted, perhaps made again under the same name
                self._forget(name, held)
            elif commit[0] >= min_version:
                return held.collection_id, self._view(name, held, commit, min_version)
            else:
                return commit[0]

    def drop(self, name: str) -> None:
        """Let go of a collection's view."""
        with self._lock:
            self._held.pop(name, None)

    def versions(self) -> dict[str, int]:
        """Return the version of each view that is held."""
        return {name: view.version for name, view in self._views().items()}

    def nbytes(self) -> dict[str, dict[str, int]]:
        """Return how many bytes each view that is held takes, by part, those of memory maps included."""
        return {name: view.nbytes for name, view in self._views().items()}

    def is_tending(self, name: str) -> bool:
        """Whether a view is being sealed or saved behind the searches."""
        with self._lock:
            held = self._held.get(name)
        return held is not None and held.tending

    def follow(self) -> None:
        """Take in what is committed behind the searches too, from now on, so that none finds much to take in."""
        Thread(target=self._follow, name="views-follow", daemon=True).start()

    def close(self) -> None:
        """End the processes that save views, and start none any more; the next one removes what they left."""
        self._ended.set()
        with self._lock:
            children, self._children, self._closed = self._children, set(), True
        for child in children:
            child.terminate()
            child.wait()

    def _views(self) -> dict[str, View]:
        with self._lock:
            held = dict(self._held)
        return {name: one.view for name, one in held.items() if one.view is not None}

    def _find(self, name: str) -> _Held:
        with self._lock:
            held = self._held.get(name)
        if held is None:
            with self._database.read() as connection:
                collection = get_collection(connection, name)
            with self._lock:
                held = self._held.setdefault(name, _Held(collection.id))
        held.used_at = time.monotonic()
        return held

    def _view(self, name: str, held: _Held, commit: tuple[int, str], min_version: int) -> View:
        """Return the view for a search that found the database at ``commit``, its version and token."""
        view = held.view
        if view is not None and (view.version, view.token) == commit:
            return view
        # What was empty is never shown for what is not.
        usable = view is not None and view.n_passages > 0 and commit[0] > view.version >= min_version
        if view is not None and usable and self._is_much(held, view):
            self._start(held, "refreshing", lambda: self._refresh(name, held))
            return view
        with held.lock:
            view = held.view
            # Not the commit that was asked for: another search went further, or the database another way.
            if view is None or (view.version, view.token) != commit:
                view = self._advance(name, held)
        self._tend(name, held, view)
        return view

    def _is_much(self, held: _Held, view: View) -> bool:
        limit = self._params.on_the_spot
        with self._database.read() as connection:
            if commit_token(connection, held.collection_id, view.version) != view.token:
                return False  # of another history: not to be shown any more
            if view.version < compacted_version(connection, held.collection_id):
                return view.n_passages > limit  # it is made anew, of all that lives
            return count_new_passages(connection, held.collection_id, view.version, limit + 1) > limit

    def _follow(self) -> None:
        while not self._ended.wait(_FOLLOW_S):
            with self._lock:
                present = [(name, held) for name, held in self._held.items() if held.view is not None]
            for name, held in present:
                try:
                    self._catch_up(name, held)
                except SharpwaveError as error:  # the next search meets it too, and says so
                    log.debug("the view of %r was not brought up to date: %s", name, error)

    def _catch_up(self, name: str, held: _Held) -> None:
        with self._database.read() as connection:
            commit = current_commit(connection, held.collection_id)
            forgotten = last_forgotten(connection, held.collection_id)
        view = held.view
        if commit is None:
            self._forget(name, held)
        elif view is not None and (view.version, view.token) != commit:
            self._refresh(name, held)
        if held.made_at < forgotten:
            self._start(held, "tending", lambda: self._let_go(name, held, forgotten))

    def _refresh(self, name: str, held: _Held) -> None:
        with held.lock:
            view = self._advance(name, held)
        self._tend(name, held, view)

    def _advance(self, name: str, held: _Held) -> View:
        """Make the next view and return it; the caller holds the lock. It may be dropped again at any moment."""
        view = held.view
        if view is None:
            saves = self._saves(held)
            view = saves.newest() if saves is not None else None
            held.saved_rows = len(view.passages) if view is not None else 0
            held.made_at = view.version if view is not None else 0
        fresh = bring_up(self._database, name, held.collection_id, view or empty_view())
        if view is None or (fresh.version and not fresh.rests_on(view)):
            held.saved_rows, held.made_at = 0, fresh.version  # it was made anew
        held.view = fresh
        self._spare(held)
        return fresh

    def _spare(self, held: _Held) -> None:
        """Drop the views that were not used for longest while all together take too much memory."""
        with self._lock:
            idle = sorted((one for one in self._held.values() if one is not held), key=lambda one: one.used_at)
            sizes = {id(one): sum(one.view.nbytes.values()) for one in (*idle, held) if one.view is not None}
            total = sum(sizes.values())
            for one in idle:
                if total <= self._params.memory_bytes:
                    return
                total -= sizes.get(id(one), 0)
                one.view = None

    def _tend(self, name: str, held: _Held, view: View) -> None:
        """Seal and save behind the searches, where that is due."""
        if view.index.due or self._saving_is_due(held, view):
            self._start(held, "tending", lambda: self._seal_and_save(name, held))

    def _saving_is_due(self, held: _Held, view: View) -> bool:
        came_or_went = len(view.passages) - held.saved_rows + len(view.graph.dead_passages)
        least = max(self._params.save_after, self._params.save_share * held.saved_rows)
        may = self._folder is not None and not self._closed and time.monotonic() >= held.save_again_at
        return may and came_or_went > least

    def _seal_and_save(self, name: str, held: _Held) -> None:
        view, saves = held.view, self._saves(held)
        if view is None:
            return
        if saves is not None and self._saving_is_due(held, view):
            self._save(name, held, saves)
        elif view.index.due:
            sealed = view.index.sealed()
            with held.lock:
                present = held.view
                if present is not None and present.rests_on(view):
                    held.view = replace(present, index=present.index.with_segments_of(sealed))

    def _save(self, name: str, held: _Held, saves: SavedViews) -> None:
        """Have the view saved, and let it rest on the save, which is mapped from the disk."""
        child = save_in_child(self._database.url, name, saves.folder)
        with self._lock:
            self._children.add(child)
            if self._closed:
                child.terminate()
        failed = child.wait() != 0
        with self._lock:
            self._children.discard(child)
            if self._closed:
                return
        if failed:
            held.save_again_at = time.monotonic() + _SAVE_AGAIN_S
        saved = saves.newest()
        if saved is None:
            return
        # Most of what came since is taken in before the lock is taken, so that nobody waits for it.
        fresh = bring_up(self._database, name, held.collection_id, saved)
        with held.lock:
            if held.view is not None and fresh.rests_on(saved):
                held.view = bring_up(self._database, name, held.collection_id, fresh)
                held.saved_rows, held.made_at = len(saved.passages), saved.version

    def _let_go(self, name: str, held: _Held, forgotten: int) -> None:
        """Replace a view that still holds, in memory or in files that it maps, what was forgotten at ``forgotten``."""
        saves, saved = self._saves(held), None
        if self._folder is not None and saves is not None and saves.newest_version():
            # Whoever purges does this too; but not where this is another host.
            if saves.newest_version() < forgotten and time.monotonic() >= held.save_again_at:
                held.save_again_at = time.monotonic() + _SAVE_AGAIN_S
                renew_saves(self._database, name, held.collection_id, self._folder, forgotten)
            saved = saves.newest()
            if saved is not None and saved.version < forgotten:
                return  # another process is about to save it
        # Most is done before the lock is taken, so that no search waits for it.
        fresh = bring_up(self._database, name, held.collection_id, saved or empty_view())
        with held.lock:
            held.view = bring_up(self._database, name, held.collection_id, fresh)
            held.saved_rows = len(saved.passages) if saved is not None else 0
            held.made_at = saved.version if saved is not None else fresh.version

    def _forget(self, name: str, held: _Held) -> None:
        """Let go of a deleted collection, and of what was saved of it."""
        self.drop(name)
        if self._folder is not None:
            shutil.rmtree(self._folder / str(held.collection_id), ignore_errors=True)

    def _saves(self, held: _Held) -> SavedViews | None:
        return SavedViews(self._folder / str(held.collection_id)) if self._folder is not None else None

    def _start(self, held: _Held, flag: str, work: Callable[[], None]) -> None:
        """Run ``work`` in a thread of its own, unless one runs already under this flag."""
        with self._lock:
            if getattr(held, flag):
                return
            setattr(held, flag, True)

        def run() -> None:
            try:
                work()
            except (SharpwaveError, OSError) as error:  # the search that comes next meets it, and says so
                log.warning("a view could not be refreshed: %s", error)
            finally:
                setattr(held, flag, False)

        Thread(target=run, name=f"views-{flag}", daemon=True).start()
