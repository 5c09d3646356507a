"""What a client sends: within its limits of size and time, and watched for the moment when it hangs up."""

from __future__ import annotations

from asyncio import Future, Task, create_task, shield, timeout_at
from asyncio import get_running_loop as loop
from collections import deque

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

# Slower than any network that is of use, and faster than who drips bytes to keep a connection.
LEAST_BYTES_PER_S = 16 * 1024


class Inbox:
    """Hands on the messages of one request.

    A body of more than ``most_bytes``, or one that does not arrive within ``patience_s`` seconds and the time that it
    takes at the least rate, ends in an ``HTTPException``, which ``refusal`` keeps.
    """

    def __init__(self, receive: Receive, most_bytes: int, patience_s: float) -> None:
        self._receive = receive
        self._most_bytes = most_bytes
        self._patience_s = patience_s
        self._began = loop().time()
        self._received = 0
        self._kept: deque[Message] = deque()
        self._whole = False
        self._gone: Future[None] = loop().create_future()
        self._watching: Task[None] | None = None
        self.refusal: HTTPException | None = None

    async def __call__(self) -> Message:
        """Return the next message, as ASGI has it."""
        if self._kept:
            return self._kept.popleft()
        if self._whole:
            await shield(self.watch())
            return {"type": "http.disconnect"}
        return await self._read()

    async def read_ahead(self) -> None:
        """Return when the client has hung up; of the body no more than one piece is held until it is asked for."""
        if not self._kept and not self._whole:
            self._kept.append(await self._read())
        if self._kept and self._kept[-1]["type"] == "http.disconnect":
            return
        if self._whole:
            await shield(self.watch())
        else:
            await loop().create_future()  # cancelled by whoever asked

    def watch(self) -> Future[None]:
        """Return what is done when the client has hung up; the body must have been read."""
        if self._watching is None and not self._gone.done():
            self._watching = create_task(self._until_gone())
        return self._gone

    def hang_up(self) -> None:
        """Tell whoever reads or watches that nobody waits for the answer any more."""
        self._whole = True
        self._kept.clear()
        if not self._gone.done():
            self._gone.set_result(None)

    @property
    def whole(self) -> bool:
        """Whether all of the body was read."""
        return self._whole

    def close(self) -> None:
        """Stop watching."""
        if self._watching is not None:
            self._watching.cancel()

    async def _read(self) -> Message:
        by = self._began + self._patience_s + self._received / LEAST_BYTES_PER_S
        try:
            async with timeout_at(by):
                message = await self._receive()
        except TimeoutError:
            self.refusal = HTTPException(408, "the request did not arrive in time")
            raise self.refusal from None
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._received > self._most_bytes:
                self.refusal = too_large(self._most_bytes)
                raise self.refusal
        return message

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._gone.done():
            self._gone.set_result(None)


def too_large(most_bytes: int) -> HTTPException:
    """Return the refusal of a body of more than so many bytes."""
    return HTTPException(413, f"the request is larger than {most_bytes // 2**20} MB")
