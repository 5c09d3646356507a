"""Tags of versions: a reader who has an answer already is told so, and a writer who saw an older one is stopped.

An answer of JSON that comes whole is tagged with the hash of its body, unless its route tags it with what is known more
cheaply; ``If-None-Match`` with that tag gets 304 without a body.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from sqlalchemy import Connection, RowMapping
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_graph.errors import PreconditionFailed
from memory_graph.store.duplicates import Copy, copies_of
from memory_graph.store.jobs import replaces_waiting
from memory_graph.store.reading import get_document
from memory_graph.text import hash_text

CACHE_CONTROL = "private, no-cache"  # to be kept by the client alone, and asked about each time


class Etags:
    """Tags the answers of ``GET`` under ``/v1``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        known = Headers(scope=scope).getlist("if-none-match")
        start: Message | None = None
        unchanged = False

        async def tagged(message: Message) -> None:
            nonlocal start, unchanged
            if message["type"] == "http.response.start":
                start = message
                return
            if start is not None:  # the first part of the body: whole, or the beginning of a stream
                if not message.get("more_body", False):
                    unchanged = _tag(start, message.get("body", b""), known)
                await send(start)
                start = None
            await send({**message, "body": b""} if unchanged else message)

        await self._app(scope, receive, tagged)


def _tag(start: Message, body: bytes, known: list[str]) -> bool:
    """Tag an answer; make it 304, and say so, where the client knows it."""
    headers = MutableHeaders(scope=start)
    if start["status"] != 200 or not headers.get("content-type", "").startswith("application/json"):
        return False
    tag = headers.setdefault("ETag", f'"{blake2b(body, digest_size=16).hexdigest()}"')
    headers.setdefault("Cache-Control", CACHE_CONTROL)
    if not matches(tag, known):
        return False
    start["status"] = 304
    del headers["content-length"], headers["content-type"]
    return True


def matches(tag: str, given: list[str]) -> bool:
    """Say whether a tag is among those of ``If-Match`` or ``If-None-Match``; ``*`` stands for any."""
    listed = [one.strip().removeprefix("W/") for line in given for one in line.split(",")]
    return tag in listed or "*" in listed


def document_tag(connection: Connection, collection_id: int, key: str) -> str | None:
    """Return the tag of a document as it is, None where there is none."""
    row = get_document(connection, collection_id, key)
    return None if row is None else tag_of(row, copies_of(connection, collection_id, key))


def tag_of(document: RowMapping, copies: Sequence[Copy]) -> str:
    """Return the tag of a document: of its row, of the commit that wrote it, and of what it is a copy of."""
    return f'"{hash_text(str(document["id"]), str(document["version"]), *map(repr, copies))}"'


def check_document(
    connection: Connection, collection_id: int, key: str, *, if_match: str | None, if_none_match: str | None = None
) -> None:
    """Refuse to write a document that is not as its writer saw it; one that a waiting job replaces is not either.

    Errors: ``PreconditionFailed``.
    """
    if if_match is None and if_none_match is None:
        return
    tag = document_tag(connection, collection_id, key)
    waiting = replaces_waiting(connection, collection_id, key)
    if if_match is not None and (tag is None or waiting or not matches(tag, [if_match])):
        why = "is not there" if tag is None else "is about to be replaced by a job" if waiting else "has changed"
        raise PreconditionFailed(f"If-Match: the document {key!r} {why}; read it again")
    if if_none_match is not None and (waiting or (tag is not None and matches(tag, [if_none_match]))):
        raise PreconditionFailed(f"If-None-Match: the document {key!r} is there already")
