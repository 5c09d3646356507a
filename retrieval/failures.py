"""What may go wrong with a model server: its name for people, and whether it is worth another try.

=============================================  ==========  ==============  ===============
what happened before a reply began             same again  another server  counts as down
=============================================  ==========  ==============  ===============
connection refused, reset or closed unanswered yes         yes             yes
status 502, 503 or 504                         yes         yes             yes
status 429                                     yes         yes             no: it is busy
no connection for another reason, or in time   no          yes             yes
no reply in time, status 500                   no          no              yes
any other status, a reply out of form          no          no              no: it answers
=============================================  ==========  ==============  ===============
"""

from __future__ import annotations

import json
import math
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2
import openai

from memory_graph.errors import (
    GeneratorError,
    GeneratorOutputInvalid,
    GeneratorPromptTooLong,
    GeneratorTimeout,
    GeneratorUnavailable,
)

RAISED = (TimeoutError, json.JSONDecodeError, UnicodeDecodeError, openai.OpenAIError)
"""What the client library raises, and what ``read_failure`` takes."""

_OVERLOADED = 429
_DOWN_FOR_NOW = frozenset({502, 503, 504})
_TOO_LONG = re.compile(r"(?i)maximum context length|context_length_exceeded|exceed_context_size|max_model_len")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed call: ``error`` is what to raise, ``reason`` its words; the rest is the table's row."""

    error: GeneratorError
    again: bool = False
    elsewhere: bool = False
    down: bool = False
    retry_after_s: float = 0.0
    """How long the server asked to be left alone."""


def read_failure(error: BaseException, where: str, key: str) -> Failure:
    """Name what the client library raised: short, for people, with no secret (``key``) in it."""
    if isinstance(error, openai.APIStatusError):
        return _read_status(error, where, key)
    # A time-out of the connection is one of the library's time-outs, which are its connection errors.
    if isinstance(error, openai.APITimeoutError) and isinstance(error.__cause__, httpx2.ConnectTimeout):
        return Failure(error=GeneratorTimeout(f"no connection in time to {where}"), elsewhere=True, down=True)
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Failure(error=GeneratorTimeout(f"no answer in time from {where}"), down=True)
    if isinstance(error, openai.APIConnectionError):
        cause, named = _name_cause(error)
        return Failure(error=GeneratorUnavailable(f"{cause} at {where}"), again=named, elsewhere=True, down=True)
    if isinstance(error, ValueError):
        return Failure(error=GeneratorOutputInvalid(f"the reply of {where} is not JSON"))
    return Failure(error=GeneratorUnavailable(f"failure at {where}: {_redact(str(error), key)}"))


def parse_retry_after(value: str | None) -> float:
    """Return the seconds that a ``Retry-After`` asks for, which may be a number or a date; 0 where it asks nothing."""
    if not value:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _read_status(error: openai.APIStatusError, where: str, key: str) -> Failure:
    status = error.status_code
    if status in (401, 403):
        # The server's own words are left out: some repeat the key.
        return Failure(error=GeneratorUnavailable(f"status {status}: the API key was refused at {where}"))
    detail = _redact(error.message, key)
    if status in (400, 413, 422) and _TOO_LONG.search(f"{error.code} {error.type} {error.message}"):
        return Failure(error=GeneratorPromptTooLong(f"the prompt is too long for the model at {where}: {detail}"))
    transient = status in _DOWN_FOR_NOW
    return Failure(
        error=GeneratorUnavailable(f"status {status} from {where}: {detail}"),
        again=transient or status == _OVERLOADED,
        elsewhere=transient or status == _OVERLOADED,
        down=status >= 500,
        retry_after_s=parse_retry_after(error.response.headers.get("retry-after")),
    )


def _name_cause(error: BaseException) -> tuple[str, bool]:
    """Name what went wrong below a connection error, without addresses or internals; and is it worth another try?"""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused", True
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return "connection reset", True
        if isinstance(cause, httpx2.RemoteProtocolError):
            return "connection closed", True
        cause = cause.__cause__ or cause.__context__
    return "connection failed", False


def _redact(message: str, key: str) -> str:
    line = " ".join((message.replace(key, "…") if key else message).split())
    return line if len(line) <= 200 else line[:199] + "…"
