"""The client for asyncio."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from sharpwave_client.api import Api
from sharpwave_client.call import Call
from sharpwave_client.calls import memory
from sharpwave_client.client import LONGEST_LOOK_S
from sharpwave_client.errors import ConnectionFailed, JobFailed, TimedOut
from sharpwave_client.events import EventReader, ServerEvent, cut_short, job_of
from sharpwave_client.models import Job
from sharpwave_client.retrying import Retry
from sharpwave_client.saving import Saving
from sharpwave_client.transport import Connection

T = TypeVar("T")


class AsyncClient(Api):
    """``Client`` for asyncio: every method is awaited, every iterator is gone through with ``async for``."""

    is_async = True

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeout_s: float = 60.0,
        answer_timeout_s: float = 300.0,
        retry: Retry = Retry(),  # noqa: B008 - it is frozen
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._connection = Connection(
            url=url, key=key, timeout_s=timeout_s, answer_timeout_s=answer_timeout_s, retry=retry
        )
        self._http = httpx.AsyncClient(**self._connection.settings(), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, call: Call[T]) -> T:
        """Send a call, again where that may help, and return what it gave."""
        async with aclosing(await self._open(call, stream=False)) as response:
            return call.read(response)

    async def stream(self, call: Call[Any]) -> AsyncIterator[ServerEvent]:
        """Send a call and yield the events that it is answered with."""
        reader = EventReader()
        async with aclosing(await self._open(call, stream=True)) as response:
            with self._connection.named_faults():
                async for data in response.aiter_bytes():
                    for event in reader.feed(data):
                        yield event

    async def follow_job(self, job_id: str) -> AsyncIterator[Job]:
        """Yield a job whenever it has changed, at last as it ended; a connection that breaks is made anew."""
        last_id, breaks = None, 0
        while True:
            try:
                async for event in self.stream(memory.job_events(job_id, last_id)):
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
                await asyncio.sleep(self._connection.retry.first_s)

    async def wait_for_job(
        self,
        job_id: str,
        *,
        on_progress: Callable[[Job], Awaitable[None] | None] | None = None,
        timeout_s: float | None = None,
        check: bool = True,
    ) -> Job:
        """Wait until a job has ended, and return it; ``on_progress``, which may be async, is told of every change seen.

        Errors: ``JobFailed`` where it failed or was cancelled, unless ``check`` is false; ``TimedOut``, after which the
        job goes on.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        seen, look_s = None, 0.1
        while True:
            job = await self.get_job(job_id)
            if on_progress is not None and job != seen:
                told = on_progress(job)
                if inspect.isawaitable(told):
                    await told
            seen = job
            if job.has_ended:
                if check and job.state != "succeeded":
                    raise JobFailed(job)
                return job
            if end is not None and time.monotonic() + look_s > end:
                raise TimedOut(f"job {job_id} is {job.state} after {timeout_s:g} s")
            await asyncio.sleep(look_s)
            look_s = min(look_s * 1.5, LONGEST_LOOK_S)

    async def save_export(self, collection: str, path: str | Path) -> None:
        """Write all of a collection to a file, gzipped if it ends in ``.gz``; it is there whole, or not at all."""
        call = memory.export_collection(collection)
        async with aclosing(await self._open(call, stream=True)) as response:
            with Saving(Path(path)) as saving, self._connection.named_faults():
                async for data in response.aiter_bytes():
                    await asyncio.to_thread(saving.write, data)

    async def _open(self, call: Call[Any], *, stream: bool) -> httpx.Response:
        tries = self._connection.tries(call)
        while True:
            with ExitStack() as files:
                timeout = self._connection.timeout(call)
                request = self._http.build_request(**call.request(files), timeout=timeout)
                try:
                    response = await self._http.send(request, stream=stream)
                    if response.is_success:
                        return response
                    await response.aread()
                    await response.aclose()
                    pause = tries.after_refusal(response)
                except httpx.TransportError as fault:
                    pause = tries.after_fault(fault)
            await asyncio.sleep(pause)
