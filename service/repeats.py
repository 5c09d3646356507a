"""Requests that may be repeated: with an ``Idempotency-Key`` a write is carried out once, and its answer given again.

The answer is kept sealed with the key itself, of which the database holds a hash: only who sends the key can read it.
A request that was refused or failed has changed nothing and keeps nothing: it is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import re
from base64 import urlsafe_b64encode
from contextlib import suppress
from hashlib import blake2b
from urllib.parse import quote
from uuid import uuid4

from cryptography.fernet import Fernet
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_graph.database import Database
from memory_graph.errors import SharpwaveError, StoreError
from memory_graph.store.answers import (
    Claim,
    KeptAnswer,
    claim_answer,
    keep_answer,
    release_claim,
    renew_claim,
)
from memory_graph.text import hash_text
from service.errors import problem, problem_of
from service.services import Services

log = logging.getLogger(__name__)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
WELL_FORMED = re.compile(r"[!-~]{1,255}")
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# Posted only because a question does not fit into an address, or because it takes its time.
READING = ("/search", "/query", "/chat/completions", "/corrections/preview", "/v1/doctor")
RENEW_S = 20.0


def is_repeatable(method: str, path: str) -> bool:
    """Say whether a request writes, so that the key counts."""
    if method not in WRITING or not path.startswith("/v1/") or path.startswith("/v1/keys"):
        return False  # the secret of a key is shown once, and kept nowhere
    return not (method == "POST" and path.endswith(READING))


class Repeats:
    """Carries a request with a key out once; the innermost middleware, behind the gate that says who asks."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        if not given or not is_repeatable(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        if len(given) > 1 or not WELL_FORMED.fullmatch(given[0]):
            refusal = "must be given once, as 1 to 255 visible ASCII characters; a UUID does well"
            await problem(422, "invalid_input", f"{HEADER}: {refusal}", field=HEADER)(scope, receive, send)
            return
        request = _Request(self._app, scope, receive, given[0])
        try:
            response = await request.answer()
        except SharpwaveError as error:  # of the store: here is nobody else to name it
            response = problem_of(error)
        await response(scope, receive, send)


class _Request:
    """One request with its key."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, key: str) -> None:
        services: Services = scope["app"].state.services
        self._app, self._scope, self._receive = app, scope, receive
        self._database: Database = services.database
        caller = scope["state"]["caller"].id
        self._claim = Claim(caller=caller, key_hash=hash_text("key", caller, key), token=uuid4().hex)
        self._seal = Fernet(
            urlsafe_b64encode(blake2b(f"{caller} {key}".encode(), digest_size=32, person=b"seal").digest())
        )
        self._body = _Body(scope)

    async def answer(self) -> Response:
        """Return the answer: the kept one, a refusal, or what comes of carrying the request out."""
        found = await asyncio.to_thread(self._begin)
        if found is True:
            return await self._carry_out()
        if found is False:
            response = problem(409, "request_in_progress", f"the first request with this {HEADER} is still at work")
            response.headers["Retry-After"] = "1"
            return response
        await self._read_rest()
        if self._body.hash() != found.request_hash:
            detail = f"{HEADER}: was used for another request; every request needs a key of its own"
            return problem(422, "key_reused", detail, field=HEADER)
        body = self._seal.decrypt(found.body)
        return Response(body, found.status, {REPLAYED: "true"}, found.media_type or None)

    async def _carry_out(self) -> Response:
        answer = _Answer()
        renewing = asyncio.create_task(self._renew())
        try:
            await self._app(self._scope, self._listen, answer.send)
            await self._read_rest()
        except Exception:
            await asyncio.to_thread(self._release)
            raise
        finally:
            renewing.cancel()
        if 200 <= answer.status < 300:
            await asyncio.to_thread(self._keep, answer)
        else:
            await asyncio.to_thread(self._release)
        return answer.response()

    async def _listen(self) -> Message:
        message = await self._receive()
        self._body.take(message)
        return message

    async def _read_rest(self) -> None:
        while not self._body.ended:
            await self._listen()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            with suppress(StoreError):  # the next one may come through in time
                await asyncio.to_thread(self._renew_now)

    def _begin(self) -> KeptAnswer | bool:
        with self._database.write() as connection:
            return claim_answer(connection, self._claim)

    def _renew_now(self) -> None:
        with self._database.write() as connection:
            renew_claim(connection, self._claim)

    def _release(self) -> None:
        try:
            with self._database.write() as connection:
                release_claim(connection, self._claim)
        except StoreError as error:
            log.warning("a claim that was given up stays for a minute: %s", error.message)

    def _keep(self, answer: _Answer) -> None:
        kept = KeptAnswer(
            request_hash=self._body.hash(),
            status=answer.status,
            media_type=answer.media_type,
            body=self._seal.encrypt(bytes(answer.body)),
        )
        try:
            with self._database.write() as connection:
                keep_answer(connection, self._claim, kept)
        except StoreError as error:
            log.warning("an answer could not be kept for a repetition: %s", error.message)


class _Body:
    """The hash of a request, taken while its body passes by: an upload is larger than what may be held."""

    def __init__(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        kind = headers.get("content-type", "")
        # A client that repeats an upload draws a new boundary: it is left out, wherever it stands.
        marked = re.search(r"boundary=\"?([^\";,]+)", kind) if kind.startswith("multipart/") else None
        self._mark = marked[1].strip().encode("latin-1") if marked else b""
        self._tail = b""
        self._hash = blake2b(digest_size=16)
        head = f"{scope['method']} {quote(scope['path'], errors='surrogatepass')}?".encode() + scope["query_string"]
        self._hash.update(head + b"\n" + (b"multipart" if marked else kind.encode("latin-1")) + b"\n")
        self.ended = False

    def take(self, message: Message) -> None:
        """Take in what came of the request."""
        if message["type"] == "http.request":
            self._add(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        else:
            self.ended = True

    def hash(self) -> str:
        """Return the hash of what passed."""
        self._hash.update(self._tail)
        self._tail = b""
        return self._hash.hexdigest()

    def _add(self, data: bytes) -> None:
        if not self._mark:
            self._hash.update(data)
            return
        whole = (self._tail + data).replace(self._mark, b"")
        sure = max(len(whole) - (len(self._mark) - 1), 0)  # what follows may be the beginning of a boundary
        self._hash.update(whole[:sure])
        self._tail = whole[sure:]


class _Answer:
    """What the app answered, held until it is kept."""

    def __init__(self) -> None:
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()

    @property
    def media_type(self) -> str:
        return Headers(raw=self.headers).get("content-type", "")

    async def send(self, message: Message) -> None:
        """Take in a message."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    def response(self) -> Response:
        """Return the answer as it came."""
        response = Response(bytes(self.body), self.status)
        response.raw_headers = self.headers
        return response
