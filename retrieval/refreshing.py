"""A view brought up to the database's version, and saved so that the next start need not read all rows."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sqlalchemy.engine import URL

from memory_graph.corrections import aliases_of
from memory_graph.database import Database
from memory_graph.errors import NotFound, SharpwaveError
from memory_graph.store.collections import commit_token, get_collection
from memory_graph.store.originals import read_rules
from memory_graph.store.reading import read_changes
from retrieval.saved_views import SavedViews
from retrieval.view import View, advance, compacted, empty_view

log = logging.getLogger(__name__)


def bring_up(database: Database, name: str, collection_id: int, view: View) -> View:
    """Return the view at the database's present version; one that cannot go on from where it is is made anew.

    Errors: ``NotFound`` when the collection was deleted, and where another has its name now.
    """
    with database.read() as connection:
        collection = get_collection(connection, name)
        if collection.id != collection_id:
            raise NotFound("collection", name)
        if commit_token(connection, collection_id, view.version) != view.token:
            # As after a backup was restored: the database went another way than the view.
            log.warning("the view of %r at version %d is of another history: made anew", name, view.version)
            view = empty_view()
        elif view.version < collection.compacted_version:
            view = empty_view()  # what was removed meanwhile is not on record any more
        # Read whole with each commit, and not saved: there are few, and every correction is a commit.
        if view.version == collection.version and view.aliases is not None:
            return view
        aliases = aliases_of(read_rules(connection, collection_id))
        if view.version == collection.version:
            return replace(view, aliases=aliases)
        changes = read_changes(connection, collection, view.version)
    return replace(advance(view, changes), aliases=aliases)


def save_collection(database: Database, name: str, folder: Path, threads: int = 1) -> bool:
    """Save a collection's present view in ``folder``; returns whether there is a new save.

    There is none where another process saves this collection at the moment, or has just done so.
    """
    saves = SavedViews(folder)
    with database.read() as connection:
        collection_id = get_collection(connection, name).id
    with saves.lease() as ours:
        if not ours:
            return False
        saved = saves.newest() or empty_view()
        view = bring_up(database, name, collection_id, saved)
        if not view.version or (view.rests_on(saved) and view.version == saved.version):
            return False
        saves.save(compacted(view, threads))
        return True


def save_in_child(url: URL, name: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process of low priority that saves a collection: it takes neither the GIL nor memory of this one."""
    child = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE)
    assert child.stdin is not None
    # Not as arguments, which every user of the machine can read: the URL may hold a password.
    order = {"url": url.render_as_string(hide_password=False), "name": name, "folder": str(folder)}
    with suppress(BrokenPipeError), child.stdin as pipe:  # one that was killed already: whoever waits for it sees
        pipe.write(json.dumps(order).encode())
    return child


def _main() -> None:
    os.nice(10)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    order = json.load(sys.stdin)
    database = Database(order["url"])
    try:
        save_collection(database, order["name"], Path(order["folder"]))
    except NotFound:  # deleted meanwhile
        pass
    except (SharpwaveError, OSError) as error:  # such as a full disk: the next attempt comes with more rows
        sys.exit(f"the view of {order['name']!r} was not saved: {error}")
    finally:
        database.close()


if __name__ == "__main__":
    _main()
