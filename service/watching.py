"""Every request is counted, timed, traced and logged: by the route's template, never by what its path holds."""

from __future__ import annotations

import logging
import time
from asyncio import CancelledError

from opentelemetry.trace import SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval import tracing
from service.metrics import QUIET, Metrics
from service.routes import route_of

log = logging.getLogger("sharpwave.access")

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CLIENT_GONE = 499


class Watch:
    """Stands outside of the gate, so that refusals are seen as well."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # where an error comes out, the handler outside of this answers so
        start = time.perf_counter()
        mounted_at = scope.get("root_path", "")

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        parent = tracing.read_context(Headers(scope=scope).get("traceparent"))
        with (
            self._metrics.in_flight.track_inprogress(),
            tracing.span("request", kind=SpanKind.SERVER, parent=parent, http__request__method=method) as one,
        ):
            try:
                await self._app(scope, receive, noting)
            except CancelledError:
                status = _CLIENT_GONE
                raise
            finally:
                seconds = time.perf_counter() - start
                route = route_of(scope, mounted_at)
                self._metrics.note_request(method, route, status, seconds)
                if one is not None:
                    one.update_name(f"{method} {route}")
                    one.set_attributes({"http.route": route, "http.response.status_code": status})
                    if status >= 500:
                        one.set_status(Status(StatusCode.ERROR))
                _log(scope, method, route, status, seconds)


def _log(scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
    quiet = route in QUIET and status < 400
    level = logging.DEBUG if quiet else logging.WARNING if status >= 500 else logging.INFO
    if not log.isEnabledFor(level):
        return
    caller = scope.get("state", {}).get("caller")
    fields = {"method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)}
    if caller is not None:
        fields["key_id"] = caller.id
    log.log(level, "%s %s %d", method, route, status, extra={"fields": fields})
