"""The client for code that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from sharpwave_client.api import Api
from sharpwave_client.call import Call
from sharpwave_client.calls import memory
from sharpwave_client.errors import ConnectionFailed, JobFailed, TimedOut
from sharpwave_client.events import EventReader, ServerEvent, cut_short, job_of
from sharpwave_client.models import Job
from sharpwave_client.retrying import Retry
from sharpwave_client.saving import Saving
from sharpwave_client.transport import Connection

T = TypeVar("T")

LONGEST_LOOK_S = 2.0


class Client(Api):
    """A client of one service; it keeps its connections, and may be used by several threads.

    ``transport`` replaces the network, as in tests. Errors of every method: those of ``sharpwave_client.errors``.
    """

    is_async = False

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout_s: float = 60.0,
        answer_timeout_s: float = 300.0,
        retry: Retry = Retry(),  # noqa: B008 - it is frozen
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._connection = Connection(
            url=url, key=key, timeout_s=timeout_s, answer_timeout_s=answer_timeout_s, retry=retry
        )
        self._http = httpx.Client(**self._connection.settings(), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and return what it gave."""
        with closing(self._open(call, stream=False)) as response:
            return call.read(response)

    def stream(self, call: Call[Any]) -> Iterator[ServerEvent]:
        """Send a call and yield the events that it is answered with."""
        reader = EventReader()
        with closing(self._open(call, stream=True)) as response, self._connection.named_faults():
            for data in response.iter_bytes():
                yield from reader.feed(data)

    def follow_job(self, job_id: str) -> Iterator[Job]:
        """Yield a job whenever it has changed, at last as it ended; a connection that breaks is made anew."""
        last_id, breaks = None, 0
        while True:
            try:
                for event in self.stream(memory.job_events(job_id, last_id)):
                    last_id, breaks = event.id or last_id, 0
                    job = job_of(event)
                    if job is not None:
                        yield job
                    if event.name == "done":
                        return
                raise cut_short("the job")
            except ConnectionFailed:
                breaks += 1
                if breaks >= self._connection.retry.attempts:
                    raise
                time.sleep(self._connection.retry.first_s)

    def wait_for_job(
        self,
        job_id: str,
        *,
        on_progress: Callable[[Job], None] | None = None,
        timeout_s: float | None = None,
        check: bool = True,
    ) -> Job:
        """Wait until a job has ended, and return it; ``on_progress`` is told of every change that is seen.

        Errors: ``JobFailed`` where it failed or was cancelled, unless ``check`` is false; ``TimedOut``, after which the
        job goes on.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        seen, look_s = None, 0.1
        while True:
            job = self.get_job(job_id)
            if on_progress is not None and job != seen:
                on_progress(job)
            seen = job
            if job.has_ended:
                if check and job.state != "succeeded":
                    raise JobFailed(job)
                return job
            if end is not None and time.monotonic() + look_s > end:
                raise TimedOut(f"job {job_id} is {job.state} after {timeout_s:g} s")
            time.sleep(look_s)
            look_s = min(look_s * 1.5, LONGEST_LOOK_S)

    def save_export(self, collection: str, path: str | Path) -> None:
        """Write all of a collection to a file, gzipped if it ends in ``.gz``; it is there whole, or not at all."""
        call = memory.export_collection(collection)
        with (
            closing(self._open(call, stream=True)) as response,
            Saving(Path(path)) as saving,
            self._connection.named_faults(),
        ):
            for data in response.iter_bytes():
                saving.write(data)

    def _open(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        tries = self._connection.tries(call)
        while True:
            with _request(self._http, call, self._connection) as request:
                try:
                    response = self._http.send(request, stream=stream)
                    if response.is_success:
                        return response
                    response.read()
                    response.close()
                    pause = tries.after_refusal(response)
                except httpx.TransportError as fault:
                    pause = tries.after_fault(fault)
            time.sleep(pause)


@contextmanager
def _request(http: httpx.Client, call: Call[Any], connection: Connection) -> Iterator[httpx.Request]:
    with ExitStack() as files:
        yield http.build_request(**call.request(files), timeout=connection.timeout(call))
