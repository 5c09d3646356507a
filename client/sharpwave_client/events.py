"""Server-sent events: from bytes to events, whoever reads the bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sharpwave_client.errors import ConnectionFailed, UnexpectedAnswer, error_of_problem
from sharpwave_client.models import Answer, AnswerEvent, Found, Job, Note, Token

_EVENTS: dict[str, type[Found] | type[Note] | type[Token] | type[Answer]] = {
    "hits": Found,
    "note": Note,
    "token": Token,
    "done": Answer,
}


@dataclass(frozen=True, kw_only=True)
class ServerEvent:
    """One event with its JSON data; ``id`` is what to come back with after a break."""

    name: str
    data: Any
    id: str | None


class EventReader:
    """Turns bytes, cut anywhere, into events.

    Not httpx's lines: these end at U+2028 and the like too, which JSON may hold. Lines end in LF or CR LF here.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}

    def feed(self, data: bytes) -> Iterator[ServerEvent]:
        """Yield the events that these bytes complete. Errors: ``UnexpectedAnswer``."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            event = self._take(line.removesuffix(b"\r"))
            if event is not None:
                yield event

    def _take(self, line: bytes) -> ServerEvent | None:
        if line:
            name, _, value = line.partition(b":")
            if name:  # a comment has none: it only keeps the connection open
                told = value.removeprefix(b" ").decode("utf-8", "replace")
                self._fields.setdefault(name.decode("utf-8", "replace"), []).append(told)
            return None
        fields, self._fields = self._fields, {}
        if "data" not in fields:
            return None
        try:
            told = json.loads("\n".join(fields["data"]))
        except ValueError as error:
            raise UnexpectedAnswer(f"an event of the stream is no JSON: {error}") from error
        return ServerEvent(name=fields.get("event", ["message"])[-1], data=told, id=fields.get("id", [None])[-1])


def answer_event(event: ServerEvent) -> AnswerEvent | None:
    """Return what an event of a streamed answer tells, None for one of a newer service. Errors: ``ApiError``."""
    if event.name == "error":
        raise error_of_problem(event.data)
    kind = _EVENTS.get(event.name)
    return None if kind is None else _parsed(kind, event)


def job_of(event: ServerEvent) -> Job | None:
    """Return the job that an event tells, None for an event of a newer service."""
    return _parsed(Job, event) if event.name in ("progress", "done") else None


def cut_short(what: str) -> ConnectionFailed:
    """Return the error for a stream that ended before its last event."""
    return ConnectionFailed(f"the stream ended before {what} did")


def _parsed(kind: type[Any], event: ServerEvent) -> Any:
    try:
        return kind.model_validate(event.data)
    except ValidationError as error:
        raise UnexpectedAnswer(f"this is no event {event.name!r} of the service: {error.errors()[0]['msg']}") from error
