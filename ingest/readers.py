"""From bytes to Documents: one a file, one a line for ``.jsonl``.

Nothing here guesses, opens a URL or raises on bad input: what cannot be read is yielded as an ``UnreadableDocument``
value with a stable reason, and the rest goes on. How each format becomes text is in ``ingest/formats.py``.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from ingest.files import NOT_UTF8, SUFFIXES, explain_os_error, find_files, show_path
from ingest.formats import DEFAULT_LIMITS, ReadLimits, check_length, check_size, clean_text, convert, find_magic
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

__all__ = [
    "DEFAULT_LIMITS",
    "SUFFIXES",
    "ReadLimits",
    "clean_text",
    "content_id",
    "find_files",
    "read_bytes",
    "read_file",
]

LINE_FIELDS = {"id": str, "title": str, "text": str, "metadata": dict, "source": str, "occurred_at": str}
MAX_DEPTH = 100
LOOK_BYTES = 1 << 20  # how much of a line is held while its length is not known yet


def read_file(path: Path, *, limits: ReadLimits = DEFAULT_LIMITS) -> Iterator[Document | UnreadableDocument]:
    """Yield the documents of one file; their id is its resolved path, or each line's own for ``.jsonl``."""
    name = show_path(path)
    try:
        resolved = path.resolve()
        refusal = _refuse_path(resolved, name)
        if refusal:
            yield refusal
            return
        with resolved.open("rb") as file:
            if path.suffix.lower() == ".jsonl":
                yield from _read_lines(name, file, str(resolved), limits)
                return
            size = resolved.stat().st_size
            # One byte more than allowed, for a file that grows meanwhile.
            data = b"" if size > limits.max_file_bytes else file.read(limits.max_file_bytes + 1)
        yield _read_document(name, data, max(size, len(data)), str(resolved), str(resolved), limits)
    except OSError as error:
        yield explain_os_error(path, error)
    except RuntimeError:  # what resolve() raises for a loop of links before Python 3.13
        yield UnreadableDocument(name, "missing", "it is a link that leads back to itself.")


def read_bytes(
    name: str, data: bytes, *, limits: ReadLimits = DEFAULT_LIMITS, id: str | None = None
) -> Iterator[Document | UnreadableDocument]:
    """Yield the documents of an uploaded file; ``id`` defaults to its name and means nothing for ``.jsonl``."""
    if name.lower().endswith(".jsonl"):
        yield from _read_lines(name, io.BytesIO(data), name, limits)
    else:
        yield _read_document(name, data, len(data), id or name, name, limits)


def content_id(title: str, text: str) -> str:
    """Return the id of a document that was given none: the same title and text always get the same."""
    digest = hashlib.sha256(f"{title}\0{text}".encode()).hexdigest()
    return f"sha256:{digest[:32]}"


def _refuse_path(path: Path, name: str) -> UnreadableDocument | None:
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        return UnreadableDocument(name, "unsupported", "is a folder, not a file.")
    if not stat.S_ISREG(mode):  # opening a pipe would wait for ever
        return UnreadableDocument(name, "unsupported", "is not an ordinary file but a device, pipe or socket.")
    if show_path(path) != str(path):
        return UnreadableDocument(name, "invalid", NOT_UTF8)
    return None


def _read_document(
    name: str, data: bytes, size: int, id: str, source: str, limits: ReadLimits
) -> Document | UnreadableDocument:
    suffix = Path(name).suffix.lower()
    try:
        if suffix not in SUFFIXES:
            kind = f"{suffix} files are" if suffix else "files without a suffix are"
            raise UnreadableDocument(name, "unsupported", f"{kind} not read. Known suffixes: {' '.join(SUFFIXES)}.")
        check_size(name, size, limits)
        converted = convert(name, suffix, data, limits)
        check_length(name, converted.text, limits)
    except UnreadableDocument as error:
        return error
    title = converted.title or " ".join(Path(name).stem.replace("_", " ").replace("-", " ").split())
    return Document(id=id, text=converted.text, title=title, source=source, pages=converted.pages)


def _read_lines(name: str, file: BinaryIO, source: str, limits: ReadLimits) -> Iterator[Document | UnreadableDocument]:
    """Yield one document a line; blank lines are passed over, a bad line does not stop the others."""
    start = file.read(LOOK_BYTES)
    magic = find_magic(start)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield UnreadableDocument(name, "encoding", "is UTF-16; JSON lines must be UTF-8. Convert it to UTF-8.")
        return
    if magic or b"\0" in start:
        yield UnreadableDocument(name, "binary", f"looks like {magic or 'binary data'}, not JSON lines.")
        return
    file.seek(3 if start.startswith(b"\xef\xbb\xbf") else 0)
    first_lines: dict[int, int] = {}  # hash of an id -> its line: bounded by the lines, not by what ids hold
    number = documents = 0
    while True:
        number += 1
        line = _read_line(f"{name}:{number}", file, limits)
        if line == b"":
            break
        if isinstance(line, bytes) and not line.strip():
            continue
        documents += 1
        try:
            document = _parse_line(f"{name}:{number}", line, source, limits)
            first = first_lines.setdefault(hash(document.id), number)
            if first != number:
                message = f"id: {document.id[:200]!r} was used on line {first} already. Ids must differ within a file."
                raise UnreadableDocument(f"{name}:{number}", "invalid", message)
        except UnreadableDocument as error:
            yield error
        else:
            yield document
    if not documents:
        yield UnreadableDocument(name, "empty", "holds no documents.")


def _read_line(name: str, file: BinaryIO, limits: ReadLimits) -> bytes | UnreadableDocument:
    """Return the next line, or an error without ever holding a line that is too long; ``b""`` at the end."""
    begin = file.tell()
    line = file.readline(LOOK_BYTES)
    if len(line) < LOOK_BYTES or line.endswith(b"\n"):
        size = len(line)
    else:
        size = len(line)
        while piece := file.readline(LOOK_BYTES):
            size += len(piece)
            if piece.endswith(b"\n"):
                break
        if size <= limits.max_file_bytes:
            file.seek(begin)
            line = file.read(size)
    try:
        check_size(name, size, limits)
    except UnreadableDocument as error:
        return error
    return line


def _parse_line(name: str, line: bytes | UnreadableDocument, source: str, limits: ReadLimits) -> Document:
    if isinstance(line, UnreadableDocument):
        raise line
    try:
        fields = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        message = f"is not valid UTF-8 at byte {error.start:,} of the line. Convert the file to UTF-8."
        raise UnreadableDocument(name, "encoding", message) from None
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} at column {error.colno}. Each line must be one complete JSON object."
        raise UnreadableDocument(name, "not_json", message) from None
    except (ValueError, RecursionError):  # NaN, a number of thousands of digits, brackets nested without end
        raise UnreadableDocument(name, "not_json", "holds a number or a nesting that JSON does not allow.") from None
    if not isinstance(fields, dict):
        raise UnreadableDocument(name, "not_json", 'is not a JSON object like {"title": "…", "text": "…"}.')
    fields = {key: value for key, value in fields.items() if value is not None}
    _check_fields(name, fields, escaped=b"\\u" in line)
    text, title = clean_text(fields["text"]), fields.get("title", "")
    if not text.strip():
        raise UnreadableDocument(name, "empty", "text: is empty.")
    check_length(name, text, limits)
    return Document(
        id=fields.get("id") or content_id(title, text),
        text=text,
        title=title,
        metadata=fields.get("metadata", {}),
        source=fields.get("source", source),
        occurred_at=_parse_time(name, fields.get("occurred_at")),
    )


def _check_fields(name: str, fields: dict[str, Any], *, escaped: bool) -> None:
    for field, value in fields.items():
        kind = LINE_FIELDS.get(field)
        if kind is None:
            message = f"{field[:100]}: is not a known field. Known: {', '.join(LINE_FIELDS)}; others go into metadata."
            raise UnreadableDocument(name, "invalid", message)
        if not isinstance(value, kind):
            message = f"{field}: must be {'a JSON object' if kind is dict else 'a string'}."
            raise UnreadableDocument(name, "invalid", message)
        if kind is dict and _is_deeper(value, MAX_DEPTH):  # far below where Python's own JSON gives up
            raise UnreadableDocument(name, "invalid", f"{field}: is nested deeper than {MAX_DEPTH}.")
        # Only an escape can bring these in, and no database stores them.
        if escaped and _holds_unstorable(value):
            message = f"{field}: holds a NUL character or half of a surrogate pair. Remove it."
            raise UnreadableDocument(name, "invalid", message)
    if "text" not in fields:
        raise UnreadableDocument(name, "invalid", "text: is missing.")
    if fields.get("id") == "":
        raise UnreadableDocument(name, "invalid", "id: is empty. Leave it out to have one made from the content.")


def _holds_unstorable(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value or any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_holds_unstorable(key) or _holds_unstorable(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_unstorable(item) for item in value)


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        nested = [one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [inner for inners in nested for inner in inners]
    return bool(level)


def _parse_time(name: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:  # as the API has it: a guessed zone would put a story in another order without a sign
            message = f"occurred_at: {value[:60]!r} needs a time zone, such as 2024-05-01T12:00:00Z."
            raise UnreadableDocument(name, "invalid", message)
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):  # an offset may lead out of the years 1 to 9999
        message = f"occurred_at: {value[:60]!r} is not an ISO 8601 time like 2024-05-01T12:00:00Z."
        raise UnreadableDocument(name, "invalid", message) from None
    return time


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
