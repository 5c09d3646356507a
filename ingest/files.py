"""Which files are to be read: given paths as they are, folders walked in sorted order.

What cannot be listed comes back as an error *value* among the paths, so that one locked folder does not stop the rest.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from memory_graph.errors import UnreadableDocument

SUFFIXES = (
    ".txt", ".md", ".markdown", ".html", ".htm", ".xhtml", ".pdf", ".docx", ".pptx", ".xlsx", ".epub", ".csv", ".tsv",
    ".json", ".jsonl", ".eml", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz",
)  # fmt: skip
_COMPRESSED = (".gz", ".bz2", ".xz")

NOT_UTF8 = "its path is not valid UTF-8 and cannot be an id. Rename it."


def find_files(paths: Iterable[Path]) -> Iterator[Path | UnreadableDocument]:
    """Yield the files to read, each once, in a fixed order.

    A path that is a file is yielded whatever its suffix. In folders, hidden entries (leading dot), files of other
    suffixes and whatever is neither file nor folder are passed over. Links are followed; a folder is walked only once.
    """
    walked: set[tuple[int, int]] = set()
    found: set[str] = set()
    for path in paths:
        for item in _walk(path, walked):
            if isinstance(item, Path):
                # By resolved path, which is the document's id: a folder and a file in it, or a link and its target.
                key = os.path.realpath(item)
                if key in found:
                    continue
                found.add(key)
                if any(show_path(one) != str(one) for one in (Path(key), item.absolute())):
                    yield UnreadableDocument(show_path(item), "invalid", NOT_UTF8)
                    continue
            yield item


def _walk(path: Path, walked: set[tuple[int, int]]) -> Iterator[Path | UnreadableDocument]:
    waiting = [path]  # a stack and no recursion: folders may be nested deeper than Python's calls
    while waiting:
        current = waiting.pop()
        try:
            status = current.stat()
            if not stat.S_ISDIR(status.st_mode):
                if current is path or stat.S_ISREG(status.st_mode):
                    yield current
                continue
            if (status.st_dev, status.st_ino) in walked:
                continue
            walked.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(current), reverse=True)
        except OSError as error:
            yield explain_os_error(current, error)
            continue
        for name in names:
            child = current / name
            if not name.startswith(".") and (suffix_of(name) in SUFFIXES or _is_folder(child)):
                waiting.append(child)


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except OSError:  # a dangling link, a loop of links, or vanished meanwhile: there is nothing to walk
        return False


def suffix_of(name: str) -> str:
    """Return a file's suffix in lower case; of a compressed tar archive both."""
    path = PurePath(name.lower())
    return ".tar" + path.suffix if path.suffix in _COMPRESSED and path.stem.endswith(".tar") else path.suffix


def show_path(path: Path) -> str:
    """Return a path as text that can be stored and printed, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def explain_os_error(path: Path, error: OSError) -> UnreadableDocument:
    """Turn the operating system's refusal into a reason and a sentence."""
    name = show_path(path)
    if isinstance(error, FileNotFoundError):
        return UnreadableDocument(name, "missing", "there is no such file or folder.")
    if isinstance(error, PermissionError):
        return UnreadableDocument(name, "permission", "this user may not read it. Change its permissions or its owner.")
    return UnreadableDocument(name, "damaged", f"the operating system cannot read it ({error.strerror or error}).")
