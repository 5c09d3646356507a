"""Saved views made anew without what was forgotten, and whether anybody still maps the old ones."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from memory_graph.database import Database
from memory_graph.store.purges import holds_passages
from retrieval.refreshing import save_in_child
from retrieval.saved_views import SavedViews

_PROCESSES = Path("/proc")


def renew_saves(database: Database, name: str | None, collection_id: int, folder: Path, version: int) -> str | None:
    """Leave no save of a collection that is older than ``version``; returns what stands in the way, or None.

    ``folder`` holds the saves of all collections. A collection that was deleted has the ``name`` None. A large view is
    made anew by a process of its own.
    """
    place = folder / str(collection_id)
    if not place.exists():
        return None
    saves = SavedViews(place)
    if name is None:
        shutil.rmtree(place, ignore_errors=True)
        return f"{place} cannot be removed" if place.exists() else None
    with database.read() as connection:
        empty = not holds_passages(connection, collection_id)
    newest = saves.newest_version()
    if newest and newest < version and not empty and save_in_child(database.url, name, place).wait():
        return f"the view of {name!r} could not be saved"
    with saves.lease() as ours:
        if not ours:
            return f"another process saves the view of {name!r}"
        if newest and saves.newest_version() < version and not empty:
            return f"another process was saving the view of {name!r}"
        saves.remove_before(version)
    return None


def processes_mapping_removed(folder: Path) -> list[int] | None:
    """Return the processes that map files of ``folder`` which are removed, so that the disk still holds them.

    Only those that this user may look at are seen. None where the system does not tell (it is no Linux).
    """
    if not (_PROCESSES / "self" / "maps").exists():
        return None
    inside, found = os.fsencode(folder.resolve()) + b"/", []
    for process in _PROCESSES.iterdir():
        if not process.name.isdigit():
            continue
        try:
            lines = (process / "maps").read_bytes().splitlines()
        except OSError:  # ended meanwhile, or another user's
            continue
        if any(inside in line and line.endswith(b" (deleted)") for line in lines):
            found.append(int(process.name))
    return sorted(found)
