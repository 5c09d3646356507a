"""Errors at the edge: one table of HTTP statuses, and problem documents (RFC 9457) with stable codes."""

from __future__ import annotations

import json
import logging
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from memory_graph.errors import (
    Abandoned,
    BudgetSpent,
    Conflict,
    Forbidden,
    GeneratorError,
    GeneratorTimeout,
    InvalidInput,
    ModelError,
    NotFound,
    PreconditionFailed,
    QuotaSpent,
    SharpwaveError,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TooMuch,
    UnreadableDocument,
)
from memory_graph.store.rows import now
from service.rates import seconds_to_midnight
from service.request_ids import HEADER, request_id
from service.routes import route_of

log = logging.getLogger(__name__)

# The first class that an error is an instance of decides.
STATUSES: tuple[tuple[type[SharpwaveError], int], ...] = (
    (InvalidInput, 422),
    (UnreadableDocument, 422),
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (BudgetSpent, 409),
    (PreconditionFailed, 412),
    (QuotaSpent, 429),
    (TooMuch, 429),
    (Abandoned, 503),
    (GeneratorTimeout, 504),
    (GeneratorError, 502),
    (ModelError, 503),
    (StoreFull, 507),
    (StoreBusy, 503),
    (StoreUnavailable, 503),
    (StoreError, 500),
)
# Of refusals that no error of the tree stands for: they are made at the edge.
EDGE_CODES = {
    "unauthorized": 401,
    "forbidden_host": 403,
    "forbidden_proxy": 403,
    "forbidden_origin": 403,
    "no_such_route": 404,
    "method_not_allowed": 405,
    "slow_request": 408,
    "request_in_progress": 409,
    "body_too_large": 413,
    "key_reused": 422,
    "rate_limited": 429,
    "overloaded": 429,
    "internal_error": 500,
    "shutting_down": 503,
    "timeout": 504,
}
PROBLEM = "application/problem+json"
# Of refusals that come from no error of ours.
HTTP_CODES = {
    401: "unauthorized",
    403: "forbidden",
    404: "no_such_route",
    405: "method_not_allowed",
    408: "slow_request",
    413: "body_too_large",
    429: "overloaded",
    504: "timeout",
}


class ProblemResponse(JSONResponse):
    """A problem document; what cannot be written as UTF-8, such as half of a surrogate pair in a name, is escaped."""

    media_type = PROBLEM

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """Return a problem document."""
    return ProblemResponse(_describe(status, code, detail) | more, status_code=status)


def problem_of(error: SharpwaveError) -> JSONResponse:
    """Return the problem document of an error that was raised on purpose."""
    more = {"field": error.field} if isinstance(error, InvalidInput) else {}
    response = problem(status_of(error), error.code, error.message, **more)
    if isinstance(error, QuotaSpent):
        response.headers["Retry-After"] = str(seconds_to_midnight(now()))
    return response


def problem_of_fault(error: Exception, where: str) -> dict[str, Any]:
    """Log a fault of ours in full, and return the problem that tells only where to look."""
    reference = request_id() or uuid4().hex[:12]
    log.error("unexpected error %s in %s", reference, where, exc_info=error)
    return _describe(500, "internal_error", f"something went wrong; the server's log has it as {reference}")


def describe_shutdown() -> dict[str, Any]:
    """Return the problem that a stream ends with when the process does."""
    return _describe(503, "shutting_down", "this process ends; ask again, another one answers")


def _describe(status: int, code: str, detail: str) -> dict[str, Any]:
    title = code.replace("_", " ").capitalize()
    told = {"type": f"urn:sharpwave:problem:{code}", "title": title, "status": status, "code": code, "detail": detail}
    return told | ({"request_id": name} if (name := request_id()) else {})


def status_of(error: SharpwaveError) -> int:
    """Return the HTTP status that stands for an error."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def install_handlers(app: FastAPI) -> None:
    """Turn every error of ``app`` into a problem document."""

    async def named(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SharpwaveError)
        return problem_of(error)

    async def invalid(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        errors = [
            {"field": ".".join(str(part) for part in one["loc"][1:]) or str(one["loc"][0]), "message": one["msg"]}
            for one in error.errors()
        ]
        first = errors[0]
        detail = f"{first['field']}: {first['message']}"
        return problem(422, "invalid_input", detail, field=first["field"], errors=errors)

    async def http(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        response = problem(error.status_code, HTTP_CODES.get(error.status_code, "http_error"), str(error.detail))
        response.headers.update(error.headers or {})
        return response

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        body = problem_of_fault(error, f"{request.method} {route_of(request.scope)}")
        # Written outside of all middlewares, so that the header is set here.
        headers = {HEADER: name} if (name := request_id()) else None
        return ProblemResponse(body, status_code=500, headers=headers)

    app.add_exception_handler(SharpwaveError, named)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
