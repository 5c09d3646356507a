"""Who may ask: nobody but this machine while no key is set, else whoever holds the key."""

from __future__ import annotations

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from memory_graph.errors import InvalidInput
from service.access import ANYONE, FIRST
from service.dashboard.door import is_inside
from service.errors import problem
from service.settings import Settings

# Answered without a key, for load balancers and browsers: they tell nothing of what is stored.
PUBLIC = frozenset({"/healthz", "/readyz", "/docs", "/openapi.json"})
PUBLIC_FILES = "/static-offline-docs/"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def check_address(settings: Settings) -> None:
    """Refuse to open the service to a network without a key. Errors: ``InvalidInput``."""
    if settings.is_open and not _is_loopback(settings.host):
        raise InvalidInput(
            "SHARPWAVE_HOST",
            f"{settings.host} can be reached by others: set SHARPWAVE_ADMIN_KEY first, or use 127.0.0.1",
        )


class Gate:
    """Lets a request through to the app or answers it with a problem document.

    Open mode (no key): only with a loopback ``Host``, which a page of another site cannot send after DNS rebinding,
    and only without a foreign ``Origin``. With a key: ``Authorization: Bearer KEY``, compared in constant time.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._key = settings.admin_key.get_secret_value()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse(scope["path"], headers)
        if refusal is None:
            scope.setdefault("state", {})["caller"] = FIRST if self._key else ANYONE
            await self._app(scope, receive, send)
            return
        status, code, detail = refusal
        response = problem(status, code, detail)
        if status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        await response(scope, receive, send)

    def _refuse(self, path: str, headers: Headers) -> tuple[int, str, str] | None:
        if self._key:
            if is_inside(path):
                return None  # the dashboard has a door of its own, which asks for a session
            given = headers.get("authorization", "").removeprefix("Bearer ").strip()
            # Headers are read as Latin-1; back in bytes, a key of any characters is the UTF-8 that was sent.
            if (
                path in PUBLIC
                or path.startswith(PUBLIC_FILES)
                or hmac.compare_digest(given.encode("latin-1"), self._key.encode())
            ):
                return None
            return 401, "unauthorized", "send the key as `Authorization: Bearer KEY`"
        if _host_of(f"//{headers.get('host', '')}") not in LOOPBACK_NAMES:
            return 403, "forbidden_host", "without a key the service answers on localhost only"
        if "x-forwarded-for" in headers or "forwarded" in headers:
            return 403, "forbidden_proxy", "without a key the service does not answer behind a proxy"
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) not in LOOPBACK_NAMES:
            return 403, "forbidden_origin", "a page of another site may not use this service"
        return None


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
