"""Logs: one line an event on standard error, as text or as JSON, without what was learned, asked or kept secret.

Our own lines hold ids and numbers. What others wrote is in tracebacks, whose last line may repeat a question or a text:
that line is withheld, unless ``SHARPWAVE_LOG_TEXT`` or the level *debug* asks for it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal

from ingest.current import job_id
from retrieval.tracing import trace_id
from service.request_ids import request_id
from service.settings import Settings

Kind = Literal["text", "json"]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]

_NOISY = ("httpx", "httpx2", "httpcore", "openai", "sentence_transformers", "alembic", "dbos", "opentelemetry")
# At the level debug these write down what they sign requests with.
_SIGNING = ("aiobotocore", "boto3", "botocore", "fsspec", "s3fs")
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


class LineFormatter(logging.Formatter):
    """Writes records as text lines or JSON objects; ``with_text`` shows what errors say."""

    def __init__(self, kind: Kind, *, with_text: bool) -> None:
        super().__init__()
        self._kind = kind
        self._with_text = with_text

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a traceback in text follows on lines of its own."""
        moment = datetime.fromtimestamp(record.created, UTC)
        message, fault = record.getMessage(), self._fault(record)
        if record.name == "asyncio" and not self._with_text:
            message = message.partition("\n")[0]  # the other lines show the task's result or error
        said = _context(record) | dict(getattr(record, "fields", {}))
        if self._kind == "json":
            head = {
                "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                "level": record.levelname.lower(),
                "logger": record.name,
                "message": message,
            }
            return json.dumps(head | said | ({"traceback": fault} if fault else {}), ensure_ascii=False, default=str)
        tail = "".join(f" {name}={value}" for name, value in said.items() if name not in ("method", "route", "status"))
        line = f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03d} {record.levelname} {record.name}: "
        return line + " ".join(message.split("\n")) + tail + (f"\n{fault}" if fault else "")

    def formatException(self, ei: Any) -> str:
        """Return a traceback, of which the last line names the error without its words."""
        return super().formatException(ei) if self._with_text else "\n".join(_frames(ei[1]))

    def _fault(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info and record.exc_info[1] is not None else ""


def set_up_logging(settings: Settings) -> None:
    """Send all logs of this process, those of the server and of the queue too, through one handler."""
    handler = logging.StreamHandler(sys.stderr)
    with_text = settings.log_text or settings.log_level == "debug"
    handler.setFormatter(LineFormatter(settings.log_format, with_text=with_text))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    quiet_libraries()
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # DBOS adds a handler of its own where it finds none; it finds one that does nothing.
    queue = logging.getLogger("dbos")
    queue.handlers[:] = [logging.NullHandler()]
    queue.propagate = True


def quiet_libraries() -> None:
    """Have libraries log from *warning* on: below, clients of HTTP write down addresses, and others what they sign."""
    for name in (*_NOISY, *_SIGNING):
        logging.getLogger(name).setLevel(logging.WARNING)


def _context(record: logging.LogRecord) -> dict[str, Any]:
    found = {"request_id": request_id(), "job_id": job_id.get(), "trace_id": trace_id()}
    return {name: value for name, value in found.items() if value is not None}


def _frames(error: BaseException, seen: frozenset[int] = frozenset()) -> list[str]:
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    lines: list[str] = []
    if cause is not None and id(cause) not in seen:
        lines += [*_frames(cause, seen | {id(error)}), "", "which led to:", ""]
    lines.append("Traceback (most recent call last):")
    lines += "".join(traceback.format_tb(error.__traceback__)).rstrip("\n").split("\n")
    kind = type(error)
    return [
        *lines,
        f"{kind.__module__}.{kind.__qualname__} (its message is withheld; SHARPWAVE_LOG_TEXT=true shows it)",
    ]
