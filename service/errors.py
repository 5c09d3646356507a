"""Errors at the edge: one table of HTTP statuses, and problem documents (RFC 9457) with stable codes."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from memory_graph.errors import (
    BudgetSpent,
    Conflict,
    Forbidden,
    GeneratorError,
    GeneratorTimeout,
    InvalidInput,
    ModelError,
    NotFound,
    SharpwaveError,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreUnavailable,
    UnreadableDocument,
)
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
    (GeneratorTimeout, 504),
    (GeneratorError, 502),
    (ModelError, 503),
    (StoreFull, 507),
    (StoreBusy, 503),
    (StoreUnavailable, 503),
    (StoreError, 500),
)
PROBLEM = "application/problem+json"


def problem(status: int, code: str, detail: str, **more: Any) -> JSONResponse:
    """Return a problem document."""
    return JSONResponse(_describe(status, code, detail) | more, status_code=status, media_type=PROBLEM)


def problem_of_fault(error: Exception, where: str) -> dict[str, Any]:
    """Log a fault of ours in full, and return the problem that tells only where to look."""
    reference = uuid4().hex[:12]
    log.error("unexpected error %s in %s", reference, where, exc_info=error)
    return _describe(500, "internal_error", f"something went wrong; the server's log has it as {reference}")


def _describe(status: int, code: str, detail: str) -> dict[str, Any]:
    title = code.replace("_", " ").capitalize()
    return {"type": f"urn:sharpwave:problem:{code}", "title": title, "status": status, "code": code, "detail": detail}


def status_of(error: SharpwaveError) -> int:
    """Return the HTTP status that stands for an error."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def install_handlers(app: FastAPI) -> None:
    """Turn every error of ``app`` into a problem document."""

    async def named(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, SharpwaveError)
        more = {"field": error.field} if isinstance(error, InvalidInput) else {}
        return problem(status_of(error), error.code, error.message, **more)

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
        codes = {401: "unauthorized", 403: "forbidden", 404: "no_such_route", 405: "method_not_allowed"}
        response = problem(error.status_code, codes.get(error.status_code, "http_error"), str(error.detail))
        response.headers.update(error.headers or {})
        return response

    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        body = problem_of_fault(error, f"{request.method} {route_of(request.scope)}")
        return JSONResponse(body, status_code=500, media_type=PROBLEM)

    app.add_exception_handler(SharpwaveError, named)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, unexpected)
