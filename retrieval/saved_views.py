"""Views as files: written aside, checked, renamed into place; mapped into memory when they are loaded.

A folder holds the saves of each collection, newest last by version. A save is a folder of arrays with a manifest that
names the commit it stands at and the size and checksum of every file. What does not match its manifest is set aside,
with a line in the log, and the view is made from an older save or from the database.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import xxhash
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from memory_graph.graph import Graph
from memory_graph.growing import Growing
from retrieval.facts import FactIndex
from retrieval.index import PassageIndex
from retrieval.lexical import LexicalIndex
from retrieval.names import PhraseNames
from retrieval.synonyms import SynonymIndex
from retrieval.titles import Titles
from retrieval.view import View

log = logging.getLogger(__name__)

FORMAT = 3
MANIFEST = "manifest.json"
_BLOCK = 2**22
_IDS = ("passages", "documents", "orders", "phrases")
_SAVE = re.compile(r"\d{20}-[0-9a-f]{8}")


class DamagedView(Exception):
    """A save that does not match its manifest; says which file and how."""


class SavedViews:
    """The saves of one collection in ``folder``, which is made when something is saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def newest(self) -> View | None:
        """Load the newest good save; set damaged ones aside."""
        seen: set[Path] = set()
        while paths := [path for path in self._saves() if path not in seen]:
            for path in paths:
                seen.add(path)
                try:
                    return load_view(path)
                except DamagedView as error:
                    if path.exists():
                        self._set_aside(path, str(error))
                    else:
                        break  # another process replaced it with a newer one
                except OSError as error:
                    log.warning("the saved view %s cannot be read (%s): passed over", path, error)
        return None

    def newest_version(self) -> int:
        """Return the version of the newest save, without reading it; 0 if there is none."""
        return max((int(path.name.split("-")[0]) for path in self._saves()), default=0)

    def save(self, view: View) -> Path:
        """Save a compacted view and remove the other saves; whoever still reads one keeps what it has mapped.

        The caller holds the lease, and the view is the collection's present one.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        aside = self.folder / f".writing-{uuid4().hex}"
        try:
            write_view(view, aside)
            place = self.folder / f"{view.version:020d}-{uuid4().hex[:8]}"
            os.replace(aside, place)
            _sync(self.folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        for path in self._saves():
            if path != place:
                with suppress(OSError):  # another process set it aside at the same moment
                    # Renamed first, so that nobody finds half of it.
                    os.replace(path, aside)
                    shutil.rmtree(aside, ignore_errors=True)
        return place

    def remove_before(self, version: int) -> bool:
        """Remove saves older than ``version``, and what was set aside; returns whether there was any of these.

        The caller holds the lease.
        """
        old = [path for path in self._saves() if int(path.name.split("-")[0]) < version]
        old += self.folder.glob("damaged-*")
        for path in old:
            # Renamed first, so that nobody finds half of it, and a killed remover's rest is found by the next lease.
            aside = self.folder / f".writing-{uuid4().hex}"
            with suppress(FileNotFoundError):
                os.replace(path, aside)
            shutil.rmtree(aside, ignore_errors=True)
        return bool(old)

    @contextmanager
    def lease(self) -> Iterator[bool]:
        """Try to become the one process that saves this collection; yields whether it is.

        What a holder that was killed left half-written is removed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / ".lease")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            for left in self.folder.glob(".writing-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield True
        finally:
            lock.release()

    def _saves(self) -> list[Path]:
        """Return the saves, newest first."""
        if not self.folder.is_dir():
            return []
        return sorted((path for path in self.folder.iterdir() if _SAVE.fullmatch(path.name)), reverse=True)

    def _set_aside(self, path: Path, reason: str) -> None:
        place = self.folder / f"damaged-{path.name}"
        for older in self.folder.glob("damaged-*"):
            shutil.rmtree(older, ignore_errors=True)
        try:
            os.replace(path, place)
        except OSError:  # another process set it aside at the same moment
            return
        log.warning("the saved view %s is damaged (%s): set aside as %s and rebuilt", path, reason, place.name)


def write_view(view: View, folder: Path) -> None:
    """Write a compacted view into a new folder, every byte of it on the disk before this returns."""
    folder.mkdir()
    arrays = {
        "passages": view.passage_ids,
        "documents": view.document_ids,
        "orders": view.orders.rows,
        "phrases": view.phrase_ids,
        **{f"graph_{name}": array for name, array in view.graph.to_arrays().items()},
        **{f"names_{name}": array for name, array in view.names.to_arrays().items()},
        **{f"words_{name}": array for name, array in view.words.to_arrays().items()},
        **{f"titles_{name}": array for name, array in view.titles.to_arrays().items()},
        **({f"facts_{name}": array for name, array in view.facts.to_arrays().items()} if len(view.facts) else {}),
        **({f"synonyms_{name}": array for name, array in view.synonyms.to_arrays().items()} if view.synonyms else {}),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / "index").mkdir()
    view.index.save(folder / "index")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "format": FORMAT,
        "version": view.version,
        "token": view.token,
        "files": {
            path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "xxh3_128": _checksum(path)}
            for path in files
        },
    }
    for path in files:
        _sync(path)
    (folder / MANIFEST).write_text(json.dumps(manifest | {"xxh3_128": _checksum_of(manifest)}, indent=1))
    for path in (folder / MANIFEST, folder / "index", folder):
        _sync(path)


def load_view(folder: Path) -> View:
    """Load a view, its large arrays as memory maps. Errors: ``DamagedView``; ``OSError`` for what cannot be read."""
    try:
        return _load(folder, _read_manifest(folder))
    except FileNotFoundError as error:
        raise DamagedView(f"{Path(error.filename or folder).name} is missing") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:  # FAISS says RuntimeError
        raise DamagedView(f"it cannot be understood ({error})") from error


def _load(folder: Path, manifest: dict[str, Any]) -> View:
    names = list(manifest["files"])
    with ThreadPoolExecutor(4) as threads:  # checksums are computed without the GIL
        for name, found in zip(names, threads.map(lambda one: _describe(folder / one), names), strict=True):
            if found != manifest["files"][name]:
                raise DamagedView(f"{name} is not what was written")
    arrays = {Path(name).stem: _map(folder / name) for name in names if "/" not in name}
    # Copied with room behind them, so that the first commit does not have to.
    ids = {name: Growing.empty(np.int64).extended(arrays[name]) for name in _IDS}
    return View(
        version=manifest["version"],
        token=manifest["token"],
        **ids,
        names=PhraseNames.from_arrays(_part(arrays, "names_")),
        words=LexicalIndex.from_arrays(_part(arrays, "words_")),
        titles=Titles.from_arrays(_part(arrays, "titles_")),
        index=PassageIndex.load(folder / "index"),
        graph=Graph.from_arrays(_part(arrays, "graph_")),
        facts=FactIndex.from_arrays(_part(arrays, "facts_")),
        synonyms=SynonymIndex.from_arrays(_part(arrays, "synonyms_")),
        aliases=None,  # read with the first commit that is looked for
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    text = (folder / MANIFEST).read_bytes()
    try:
        manifest = json.loads(text)
    except ValueError as error:
        raise DamagedView(f"{MANIFEST} cannot be read ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedView(f"{MANIFEST} is not of format {FORMAT}")
    if manifest.pop("xxh3_128", None) != _checksum_of(manifest):
        raise DamagedView(f"{MANIFEST} is not what was written")
    return manifest


def _checksum_of(manifest: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(manifest, sort_keys=True).encode())


def _part(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _map(path: Path) -> NDArray[Any]:
    # Mode c: writable as far as numba's types go, though nobody writes; what were written would stay private.
    array = np.load(path, mmap_mode="c", allow_pickle=False)
    return np.asarray(array)


def _describe(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "xxh3_128": _checksum(path)}


def _checksum(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
