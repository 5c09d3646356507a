"""Logs: one line an event, in text or JSON, without the words of errors unless they are asked for."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ingest.current import job_id
from service import request_ids
from service.logs import _NOISY, _SIGNING, _UVICORN, LineFormatter, set_up_logging
from service.settings import Settings


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """Logging as it was, afterwards."""
    names = ("", *_NOISY, *_SIGNING, *_UVICORN)
    loggers = [logging.getLogger(name) for name in names]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    yield
    for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
        one.handlers[:], one.propagate = handlers, propagate
        one.setLevel(level)


def make_record(message: str = "what happened", *args: Any, name: str = "service.x", **more: Any) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.WARNING, "x.py", 1, message, args, more.pop("exc_info", None))
    vars(record).update(more)
    return record


def failed() -> Any:
    try:
        try:
            raise KeyError("words of a document")
        except KeyError as error:
            raise RuntimeError("words of the question") from error
    except RuntimeError:
        return sys.exc_info()


def test_a_line_of_json_holds_all_that_is_known() -> None:
    token = request_ids._current.set("req-1")
    job = job_id.set("job-1")
    try:
        record = make_record("%s %d", "POST", 200, fields={"route": "/x/{y}", "status": 200, "ms": 1.5})
        line = LineFormatter("json", with_text=False).format(record)
    finally:
        request_ids._current.reset(token)
        job_id.reset(job)
    assert "\n" not in line
    said = json.loads(line)
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "warning",
        "logger": "service.x",
        "message": "POST 200",
        "request_id": "req-1",
        "job_id": "job-1",
        "route": "/x/{y}",
        "status": 200,
        "ms": 1.5,
    }


def test_a_line_of_text_is_one_line() -> None:
    line = LineFormatter("text", with_text=False).format(make_record("first\nsecond", fields={"ms": 2.0}))
    assert line.split(" ", 2)[2] == "WARNING service.x: first second ms=2.0"


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_traceback_names_errors_by_their_class(kind: Any) -> None:
    line = LineFormatter(kind, with_text=False).format(make_record(exc_info=failed()))
    assert "builtins.RuntimeError" in line
    assert "builtins.KeyError" in line
    assert "test_logs.py" in line
    # The source is shown, as ever; here it happens to hold the words.
    assert "KeyError: " not in line
    assert "RuntimeError: " not in line
    shown = LineFormatter(kind, with_text=True).format(make_record(exc_info=failed()))
    assert "RuntimeError: words of the question" in shown
    assert "KeyError: 'words of a document'" in shown


def test_a_task_that_failed_unseen_is_named_without_its_error() -> None:
    message = "Task exception was never retrieved\nfuture: <Task exception=ValueError('words of the question')>"
    record = make_record(message, name="asyncio")
    assert "words" not in LineFormatter("text", with_text=False).format(record)
    assert "words" in LineFormatter("text", with_text=True).format(record)


def test_all_logs_go_the_same_way(logging_restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("uvicorn.error").addHandler(logging.StreamHandler())
    set_up_logging(Settings(log_format="json"))
    for name in ("service.x", "uvicorn.error", "dbos"):
        logging.getLogger(name).error("from %s", name)
    logging.getLogger("httpx").info("a request with a key in its address")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["logger"], one["message"]) for one in lines] == [
        (name, f"from {name}") for name in ("service.x", "uvicorn.error", "dbos")
    ]
