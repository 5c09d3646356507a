"""Files of one JSON object a line, and what their fields must be; what is wrong is named by file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ingest.files import explain_os_error
from memory_graph.errors import InvalidInput


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (file and line, object) for every line that is not blank."""
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise InvalidInput(str(path), explain_os_error(path, error).detail) from None
    for number, line in enumerate(lines, start=1):
        place = f"{path}:{number}"
        if not line.strip():
            continue
        try:
            fields = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput(place, f"is not valid UTF-8 at byte {error.start} of the line.") from None
        except json.JSONDecodeError as error:
            raise InvalidInput(place, f"is not JSON: {error.msg} at column {error.colno}.") from None
        except (ValueError, RecursionError):  # a number of thousands of digits, brackets nested without end
            raise InvalidInput(place, "holds a number or a nesting that JSON does not allow.") from None
        if not isinstance(fields, dict):
            raise InvalidInput(place, "is not a JSON object.")
        yield place, fields


def check_text(where: str, value: Any) -> str:
    """Return a string that is there and not empty; errors: ``InvalidInput`` for the field ``where``."""
    if value is None:
        raise InvalidInput(where, "is missing.")
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(where, "must be a string that is not empty.")
    if any("\ud800" <= character <= "\udfff" for character in value):  # no tokenizer or database takes it
        raise InvalidInput(where, "holds half of a surrogate pair. Remove it.")
    return value


def check_texts(where: str, value: Any) -> tuple[str, ...]:
    """Return a list of strings, each once; errors: ``InvalidInput`` for the field ``where``."""
    if value is None:
        raise InvalidInput(where, "is missing. Give an empty list where there are none.")
    if not isinstance(value, list):
        raise InvalidInput(where, "must be a list of strings.")
    texts = tuple(check_text(where, item) for item in value)
    if len(set(texts)) != len(texts):
        raise InvalidInput(where, "holds the same string twice.")
    return texts
