"""The gate: which names a request may come to, from which pages, and whose key it carries."""

from __future__ import annotations

import math

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memory_graph.errors import StoreError
from memory_graph.store.rows import now
from service.access import ANYONE, NOBODY, Caller
from service.dashboard.door import is_inside
from service.errors import problem, status_of
from service.hosts import LOOPBACK_NAMES, AllowedHosts, host_of
from service.key_ring import KeyRing
from service.looks import Looks
from service.rates import Rates
from service.settings import Settings

# Answered without a key, for load balancers and browsers: they tell nothing of what is stored.
PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
PUBLIC_FILES = "/static-offline-docs/"


class Gate:
    """Lets a request through to the app, with its caller, or answers it with a problem document.

    Open mode (no key was ever made): only with a loopback ``Host``, which a page of another site cannot send after DNS
    rebinding, and only without a foreign ``Origin``. Else: a name that is allowed, no page of another site, and
    ``Authorization: Bearer KEY``.
    """

    def __init__(self, app: ASGIApp, settings: Settings, rates: Rates | None = None) -> None:
        self._app = app
        own = settings.host.lower()
        self._hosts = AllowedHosts(rules=(*settings.host_names.rules, *((own,) if own.strip(":0.") else ())))
        self._closed: Looks[None, bool] | None = None  # until the first request, when the parts are there
        self._callers: Looks[str, Caller | None] | None = None
        self._rates = rates if rates is not None else Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._admit(scope["path"], Headers(scope=scope), scope["app"].state.services.keys)
        except StoreError as error:
            answer = problem(status_of(error), error.code, error.message)
        if isinstance(answer, Response):
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = answer
        await self._app(scope, receive, self._telling(answer, send))

    async def _admit(self, path: str, headers: Headers, ring: KeyRing) -> Caller | Response:
        is_public = path in PUBLIC or path.startswith(PUBLIC_FILES)
        # What must answer at once does not wait for the database.
        closed = ring.known_closed or (not is_public and await self._is_closed(ring))
        if refusal := self._refuse_page(headers, closed):
            return refusal
        if is_public:
            return NOBODY if closed else ANYONE
        if not closed:
            return ANYONE
        if is_inside(path):
            return NOBODY  # the dashboard has a door of its own, which asks for a session
        scheme, _, given = headers.get("authorization", "").partition(" ")
        caller = None
        if scheme.lower() == "bearer":
            caller = await self._find(ring, given.strip())
        if caller is None:
            response = problem(401, "unauthorized", "send the key as `Authorization: Bearer KEY`")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        if wait_s := self._rates.take(caller):
            seconds = math.ceil(wait_s)
            detail = f"this key may ask {caller.requests_per_minute} times a minute; try again in {seconds} s"
            response = problem(429, "rate_limited", detail)
            response.headers.update({"Retry-After": str(seconds)} | self._rates.headers(caller, now()))
            return response
        return caller

    async def _is_closed(self, ring: KeyRing) -> bool:
        if self._closed is None:
            self._closed = Looks(lambda asked: dict.fromkeys(asked, ring.is_closed()))
        return await self._closed.ask(None)

    async def _find(self, ring: KeyRing, given: str) -> Caller | None:
        if self._callers is None:
            self._callers = Looks(ring.find_all)
        return await self._callers.ask(given)

    def _refuse_page(self, headers: Headers, closed: bool) -> Response | None:
        host = host_of(f"//{headers.get('host', '')}")
        origin = headers.get("origin")
        if closed:
            if not self._hosts.takes(host):
                return problem(403, "forbidden_host", "the service answers to names in SHARPWAVE_ALLOWED_HOSTS only")
            if origin is not None and not self._hosts.takes_page(host_of(origin), host):
                return problem(403, "forbidden_origin", "a page of another site may not use this service")
            return None
        if host not in LOOPBACK_NAMES:
            return problem(403, "forbidden_host", "without a key the service answers on localhost only")
        if "x-forwarded-for" in headers or "forwarded" in headers:
            return problem(403, "forbidden_proxy", "without a key the service does not answer behind a proxy")
        if origin is not None and host_of(origin) not in LOOPBACK_NAMES:
            return problem(403, "forbidden_origin", "a page of another site may not use this service")
        return None

    def _telling(self, caller: Caller, send: Send) -> Send:
        if caller.requests_per_minute is caller.tokens_per_day is caller.bytes_per_day is None:
            return send

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._rates.headers(caller, now()))
            await send(message)

        return tell
