"""JSON lines and JSON: one document a line, or one an element of an array; other JSON becomes text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

from ingest.formats.encodings import clean_text, decode_text, find_magic
from ingest.formats.json_text import outline
from ingest.formats.limits import ReadLimits, check_length, check_size, join_blocks
from memory_graph.errors import UnreadableDocument
from memory_graph.types import Document

LINE_FIELDS = {"id": str, "title": str, "text": str, "metadata": dict, "source": str, "occurred_at": str}
MAX_DEPTH = 100
LOOK_BYTES = 1 << 20  # how much of a line is held while its length is not known yet


def content_id(title: str, text: str) -> str:
    """Return the id of a document that was given none: the same title and text always get the same."""
    digest = hashlib.sha256(f"{title}\0{text}".encode()).hexdigest()
    return f"sha256:{digest[:32]}"


def read_lines(name: str, file: BinaryIO, source: str, limits: ReadLimits) -> Iterator[Document | UnreadableDocument]:
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
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"is not valid UTF-8 at byte {error.start:,} of the line. Convert the file to UTF-8."
        raise UnreadableDocument(name, "encoding", message) from None
    fields = _load(name, text, "Each line must be one complete JSON object.")
    return _make_document(name, fields, source, limits, escaped="\\u" in text)


def read_json(
    name: str, data: bytes, id: str, title: str, source: str, limits: ReadLimits
) -> Iterator[Document | UnreadableDocument]:
    """Yield the documents of a JSON file: an array of objects with a text, or else the whole as readable text.

    Errors: ``UnreadableDocument`` for the whole file; what is wrong with one element is yielded.
    """
    text, _ = decode_text(name, data, limits, guess=False)
    value = _load(name, text, "Write it again.")
    if _is_deeper(value, MAX_DEPTH):
        raise UnreadableDocument(name, "invalid", f"is nested deeper than {MAX_DEPTH}.")
    escaped = "\\u" in text
    if isinstance(value, list) and value and all(isinstance(item, dict) and "text" in item for item in value):
        ids: dict[str, int] = {}
        for number, fields in enumerate(value, start=1):
            label = f"{name}:{number}"
            try:
                document = _make_document(label, fields, source, limits, escaped=escaped)
                if ids.setdefault(document.id, number) != number:
                    message = f"id: {document.id[:200]!r} was used by element {ids[document.id]} already."
                    raise UnreadableDocument(label, "invalid", f"{message} Ids must differ within a file.")
            except UnreadableDocument as error:
                yield error
            else:
                yield document
    elif isinstance(value, dict) and "text" in value and value.keys() <= LINE_FIELDS.keys():
        yield _make_document(name, {"id": id, "title": title} | value, source, limits, escaped=escaped)
    else:
        whole = join_blocks(name, outline(value), limits)
        if not any(map(str.isalnum, whole)):
            raise UnreadableDocument(name, "empty", "holds no text.")
        yield Document(id=id, text=whole, title=title, source=source)


def _load(name: str, text: str, advice: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}. {advice}"
        raise UnreadableDocument(name, "not_json", message) from None
    except (ValueError, RecursionError):  # NaN, a number of thousands of digits, brackets nested without end
        raise UnreadableDocument(name, "not_json", "holds a number or a nesting that JSON does not allow.") from None


def _make_document(name: str, fields: Any, source: str, limits: ReadLimits, *, escaped: bool) -> Document:
    if not isinstance(fields, dict):
        raise UnreadableDocument(name, "not_json", 'is not a JSON object like {"title": "…", "text": "…"}.')
    fields = {key: value for key, value in fields.items() if value is not None}
    _check_fields(name, fields, escaped=escaped)
    text, title = clean_text(fields["text"]), fields.get("title", "")
    if not text.strip():
        raise UnreadableDocument(name, "empty", "text: is empty.")
    check_length(name, len(text), limits)
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
