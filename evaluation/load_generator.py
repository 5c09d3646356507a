"""A load generator: a process of its own that posts JSON to a service on this machine and times the answers.

``python -m evaluation.load_generator`` reads a ``Load`` as JSON from standard input and prints an ``Outcome`` as JSON.
It speaks just the HTTP that it needs, so that on a small machine it takes little from what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from subprocess import PIPE, Popen
from time import perf_counter
from urllib.parse import urlsplit

_PATIENCE_S = 120.0  # for an answer


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked: by ``clients`` one after the other, or ``per_s`` a second whether answered or not.

    ``bodies`` are posted in turn.
    """

    url: str
    bodies: Sequence[str]
    seconds: float
    clients: int = 1
    per_s: float = 0.0
    key: str = ""


@dataclass
class Outcome:
    """What came back: milliseconds by status (0: no answer), and what the service says its work took, in ms."""

    spent_ms: dict[str, list[float]] = field(default_factory=dict)
    worked_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def note(self, status: int, ms: float, body: bytes) -> None:
        self.spent_ms.setdefault(str(status), []).append(ms)
        if status == 200:
            self.worked_ms.append(json.loads(body)["timings_ms"]["total"])


def start_load(load: Load) -> Popen[str]:
    """Start a generator; ``finish_load`` waits for it."""
    process = Popen([sys.executable, "-m", "evaluation.load_generator"], stdin=PIPE, stdout=PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(asdict(load)))
    process.stdin.close()
    process.stdin = None
    return process


def finish_load(process: Popen[str]) -> Outcome:
    """Wait for a generator and return what it saw."""
    told, _ = process.communicate()
    return Outcome(**json.loads(told))


async def run(load: Load) -> Outcome:
    """Ask, and return what came back."""
    outcome, numbers = Outcome(), count()
    idle: list[tuple[StreamReader, StreamWriter]] = []
    place = urlsplit(load.url)
    host, port = place.hostname or "", place.port or 80
    key = f"Authorization: Bearer {load.key}\r\n" if load.key else ""
    head = f"POST {place.path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n{key}"

    async def ask() -> int:
        body = load.bodies[next(numbers) % len(load.bodies)].encode()
        message = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        began = perf_counter()
        status, answer, connection = 0, b"", None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while idle and idle[-1][0].at_eof():  # the service has closed it meanwhile
                    idle.pop()[1].close()
                connection = idle.pop() if idle else await asyncio.open_connection(host, port)
                connection[1].write(message)
                status, answer = await _read_answer(connection[0])
        except (OSError, EOFError, TimeoutError):
            status = 0
        if connection is not None:
            if status:
                idle.append(connection)
            else:
                connection[1].close()
        outcome.note(status, (perf_counter() - began) * 1e3, answer)
        return status

    began = perf_counter()
    if load.per_s:
        asked: set[asyncio.Task[int]] = set()
        while (now := perf_counter() - began) < load.seconds:
            while len(asked) < now * load.per_s:
                asked.add(asyncio.create_task(ask()))
            await asyncio.sleep(0.002)
        await asyncio.gather(*asked)
    else:

        async def client() -> None:
            while perf_counter() - began < load.seconds:
                if not await ask():
                    await asyncio.sleep(0.1)  # a service that is gone is not asked in a circle

        await asyncio.gather(*(client() for _ in range(load.clients)))
    outcome.seconds = perf_counter() - began
    for _, writer in idle:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in idle), return_exceptions=True)
    return outcome


async def _read_answer(reader: StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ", 2)[1])
    length = next(line.split(":")[1] for line in head.splitlines() if line.startswith("content-length:"))
    return status, await reader.readexactly(int(length))


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(run(Load(**json.load(sys.stdin)))))))  # noqa: T201 - read by who started it
