"""An export on its way to a file: written aside, and put in place when all of it is there."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from sharpwave_client.errors import UnexpectedAnswer

_TAIL = 4096


class Saving:
    """Takes the bytes of an export; leaving it without an error, with the last line there, makes the file.

    Errors: ``UnexpectedAnswer`` where the last line is missing: the export was cut short.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._aside = path.with_name(f".{path.name}.{os.getpid()}")
        self._file: IO[bytes] | None = None
        self._tail = b""

    def __enter__(self) -> Self:
        self._file = self._open()
        return self

    def write(self, data: bytes) -> None:
        """Take some more."""
        assert self._file is not None
        self._file.write(data)
        self._tail = (self._tail + data)[-_TAIL:]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()
        if kind is None and self._is_whole():
            self._aside.replace(self._path)
            return
        self._aside.unlink()
        if kind is None:
            raise UnexpectedAnswer("the export ended before its last line; nothing was saved")

    def _open(self) -> IO[bytes]:
        if self._path.suffix == ".gz":
            return cast(IO[bytes], gzip.open(self._aside, "wb"))
        return self._aside.open("wb")

    def _is_whole(self) -> bool:
        if not self._tail.endswith(b"\n"):
            return False
        try:
            last = json.loads(self._tail.rstrip(b"\n").rpartition(b"\n")[2])
        except ValueError:
            return False
        return isinstance(last, dict) and last.get("kind") == "end"
