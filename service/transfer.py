"""Collections as files of JSON lines: written from one consistent read, read in one transaction."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, TypeAlias, cast
from zlib import error as ZlibError

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import Connection

from memory_graph.database import Database
from memory_graph.errors import Conflict, InvalidInput
from memory_graph.records import FORMAT, EndRecord, HeaderRecord, Record
from memory_graph.store.collections import (
    Collection,
    bind_embedder,
    count_contents,
    create_collection,
    get_collection,
    list_collections,
)
from memory_graph.store.correcting import list_corrections
from memory_graph.store.exporting import export_records
from memory_graph.store.importing import Import
from service import __version__
from service.schemas import COLLECTION_NAME

# A passage and its vector take a few kilobytes; one that is a whole long document may take some hundred megabytes.
MAX_LINE_BYTES = 256 * 2**20
_BUFFER_BYTES = 1 << 16

_RECORDS: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


# Called with the transaction of an import at its end, the collection's name and how many records of each kind came.
Noted: TypeAlias = Callable[[Connection, str, Mapping[str, int]], None]


def export_lines(database: Database, name: str) -> Generator[bytes, None, None]:
    """Yield a collection's lines, some at a time, all of one state. Errors: ``NotFound``."""
    with database.read() as connection:
        collection = get_collection(connection, name)
        buffer = bytearray()
        for record in export_records(connection, collection, f"sharpwave {__version__}"):
            buffer += _RECORDS.dump_json(record) + b"\n"
            if len(buffer) >= _BUFFER_BYTES:
                yield bytes(buffer)
                buffer.clear()
        yield bytes(buffer)


def export_file(database: Database, name: str, path: Path) -> dict[str, int]:
    """Write a collection to a file, gzipped if it ends in ``.gz``, and return its counts; whole, or not at all.

    Errors: ``NotFound``; ``InvalidInput`` for a place that cannot be written to.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    last = b""
    try:
        with _opened(aside, "wb", gzipped=path.suffix == ".gz") as file:
            for last in export_lines(database, name):
                file.write(last)
        aside.replace(path)
    except OSError as error:
        raise InvalidInput("--out", f"cannot write {path}: {error.strerror or error}") from error
    finally:
        aside.unlink(missing_ok=True)
    end = _RECORDS.validate_json(last.rstrip(b"\n").rpartition(b"\n")[2])
    return end.counts if isinstance(end, EndRecord) else {}


def import_file(
    database: Database,
    path: Path,
    embedder: str,
    *,
    name: str | None = None,
    progress: Callable[[int], None] = lambda _: None,
    noted: Noted = lambda *_: None,
) -> tuple[Collection, dict[str, int]]:
    """Make the collection that a file holds, under its own name or ``name``; return it with the counts.

    ``embedder`` is the installation's. ``progress`` is told the lines so far. A collection of that name that holds
    nothing is filled. Errors: ``InvalidInput``, which names the file and the line; ``Conflict`` where the collection
    holds something; nothing is kept then.
    """
    try:
        with _opened(path, "rb", gzipped=path.suffix == ".gz") as file:
            return _import(database, path, _lines(file), embedder, name, progress, noted)
    except (EOFError, ZlibError) as error:
        raise InvalidInput(str(path), f"is cut short or damaged: {error}") from error
    except OSError as error:
        raise InvalidInput(str(path), f"cannot be read: {error.strerror or error}") from error


def _import(
    database: Database,
    path: Path,
    lines: Iterator[tuple[int, bytes]],
    embedder: str,
    name: str | None,
    progress: Callable[[int], None],
    noted: Noted,
) -> tuple[Collection, dict[str, int]]:
    header = _header(next(lines, (1, b""))[1], embedder)
    wanted = name or header.name
    if COLLECTION_NAME.fullmatch(wanted) is None:
        raise InvalidInput("--collection", "must be lower-case letters, digits, - and _, at most 63 characters")
    with database.write() as connection:
        if wanted in {one.name for one in list_collections(connection)}:
            collection = get_collection(connection, wanted)
            if count_contents(connection, collection.id).documents:
                raise Conflict(f"the collection {wanted!r} holds documents; choose another name with --collection")
            if list_corrections(connection, collection.id, limit=1):
                raise Conflict(f"the collection {wanted!r} holds corrections; choose another name with --collection")
        else:
            collection = create_collection(connection, wanted, header.description)
        if header.embedder:
            bind_embedder(connection, collection.id, header.embedder)
        taking = Import(connection, collection.id)
        for number, line in lines:
            taking.take(_record(number, line), number)
            if number % 1000 == 0:
                progress(number)
        if not taking.ended:
            raise InvalidInput(str(path), "is cut short: its last line, which counts the others, is missing")
        noted(connection, wanted, taking.counts)
        return get_collection(connection, wanted), dict(taking.counts)


def _header(line: bytes, embedder: str) -> HeaderRecord:
    """Read the first line. Errors: ``InvalidInput`` for what is no export, or is one that cannot be taken here."""
    try:
        told = json.loads(line)
    except ValueError:
        told = None
    if not isinstance(told, dict) or told.get("kind") != "header":
        raise InvalidInput("line 1", "is no header: this is no file that `sharpwave export` made")
    if isinstance(told.get("format"), int) and told["format"] > FORMAT:
        raise InvalidInput(
            "line 1", f"has format {told['format']}, and this program knows {FORMAT}: import it with a newer sharpwave"
        )
    header = _record(1, line)
    assert isinstance(header, HeaderRecord)
    if header.embedder and header.embedder != embedder:
        raise InvalidInput(
            "line 1",
            f"its vectors were made by {header.embedder}, and this installation uses {embedder}: set "
            f"SHARPWAVE_EMBEDDER={header.embedder}, or learn the documents anew",
        )
    return header


def _record(number: int, line: bytes) -> Record:
    try:
        return _RECORDS.validate_json(line, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"][1:]))
        raise InvalidInput(f"line {number}", f"{where}: {first['msg']}" if where else first["msg"]) from error


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise InvalidInput(f"line {number}", f"is longer than {MAX_LINE_BYTES >> 20} MB")
        yield number, line


@contextmanager
def _opened(path: Path, mode: str, *, gzipped: bool) -> Iterator[IO[bytes]]:
    with cast(IO[bytes], gzip.open(path, mode) if gzipped else path.open(mode)) as file:
        yield file
