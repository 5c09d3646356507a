"""Every error that the client raises on purpose.

::

    SharpwaveError
    ├── ConnectionFailed     the service cannot be reached, or the connection broke
    │   └── TimedOut         no answer in time
    ├── UnexpectedAnswer     what came back is no answer of this API, as from a proxy
    ├── JobFailed            a job that was waited for failed or was cancelled
    └── ApiError             the service refused; has ``status``, ``code``, ``request_id``
        ├── InvalidRequest   400, 413, 422 …  the request is wrong; ``field`` names what
        ├── Unauthorized     401              the key is missing or wrong
        ├── Forbidden        403              the key, host or origin may not do this
        ├── NotFound         404
        ├── Conflict         409, 412         it exists, is in the wrong state, or was changed meanwhile
        ├── RateLimited      429              too much was asked; ``retry_after_s`` says for how long
        ├── Unavailable      502, 503, 504, 507   a part of the service cannot work now
        └── ServerFault      500              a fault of the service, which its log tells
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from sharpwave_client.models import Job


class SharpwaveError(Exception):
    """Base of all errors of the client."""


class ConnectionFailed(SharpwaveError):
    """The service cannot be reached, or the connection broke."""


class TimedOut(ConnectionFailed):
    """No answer came in time."""


class UnexpectedAnswer(SharpwaveError):
    """What came back is no answer of this API."""


class JobFailed(SharpwaveError):
    """A job that was waited for did not succeed; ``job`` is how it ended."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"job {job.id} {job.state}" + (f": {job.error}" if job.error else ""))
        self.job = job


class ApiError(SharpwaveError):
    """The service refused. ``code`` is stable, ``detail`` is for people, ``request_id`` finds it in the log."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        errors: Sequence[dict[str, Any]] = (),
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.field = field
        self.errors = tuple(errors)
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class InvalidRequest(ApiError):
    """The request is wrong: ``field`` names what, ``errors`` lists all that is."""


class Unauthorized(ApiError):
    """The key is missing or wrong."""


class Forbidden(ApiError):
    """The key, the host or the origin may not do this."""


class NotFound(ApiError):
    """It does not exist, or this key does not reach it."""


class Conflict(ApiError):
    """It exists already, is in the wrong state, or was changed meanwhile."""


class RateLimited(ApiError):
    """Too much was asked for; ``retry_after_s`` says for how long."""


class Unavailable(ApiError):
    """A part of the service cannot work now."""


class ServerFault(ApiError):
    """A fault of the service."""


_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    412: Conflict,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}


def error_of(response: httpx.Response) -> ApiError:
    """Return the error that a response tells, whose body was read; what is no problem document has ``http_error``."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    seconds = retry_after(response)
    return error_of_problem(problem, response.status_code, response.headers.get("X-Request-Id"), seconds)


def error_of_problem(
    problem: object, status: int = 500, request_id: str | None = None, retry_after_s: float | None = None
) -> ApiError:
    """Return the error that a problem document (RFC 9457) tells."""
    told: dict[str, Any] = problem if isinstance(problem, dict) else {}
    status = told["status"] if isinstance(told.get("status"), int) else status
    kind = _BY_STATUS.get(status, ServerFault if status >= 500 else InvalidRequest)
    field, errors = told.get("field"), told.get("errors")
    return kind(
        status,
        str(told.get("code") or "http_error"),
        str(told.get("detail") or f"the service answered {status}"),
        field=field if isinstance(field, str) else None,
        errors=errors if isinstance(errors, list) else (),
        request_id=str(told["request_id"]) if told.get("request_id") else request_id,
        retry_after_s=retry_after_s,
    )


def retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that ``Retry-After`` asks to wait, if it is given as seconds, as this service does."""
    try:
        seconds = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < float("inf") else None


def error_of_fault(error: httpx.TransportError, url: str) -> ConnectionFailed:
    """Return our error for one of the network's."""
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(f"no answer from {url} in time ({type(error).__name__})")
    return ConnectionFailed(f"the connection to {url} failed: {error or type(error).__name__}")
