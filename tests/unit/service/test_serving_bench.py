"""The load generator counts what a service says, and the figures are those of its answers."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress

import pytest

from evaluation.load_generator import Load, Outcome, run
from evaluation.serving_bench import Phase, _tell, ratios
from service.commands.serving import make_questions

GOOD = json.dumps({"timings_ms": {"total": 1.5}})
PROBLEM = json.dumps({"code": "overloaded"})


class Server:
    """Answers one search in three with 429 and hangs up on every fourth; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.heads: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                self.heads.append(head)
                length = int(head.split("Content-Length: ")[1].split("\r\n")[0])
                self.asked.append((await reader.readexactly(length)).decode())
                if len(self.asked) % 4 == 0:
                    break
                refuses = len(self.asked) % 3 == 0
                status, body = ("429 Too Many Requests", PROBLEM) if refuses else ("200 OK", GOOD)
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _ask(load: Load) -> tuple[Outcome, Server]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        url = f"http://127.0.0.1:{port}/v1/collections/books/search"
        outcome = await run(Load(**{**load.__dict__, "url": url}))
    return outcome, server


@pytest.mark.parametrize("how", [{"clients": 3}, {"per_s": 200.0}])
def test_every_request_is_told_with_its_status(how: dict[str, float]) -> None:
    load = Load(url="", bodies=["a", "bb"], seconds=0.3, key="secret", **how)  # type: ignore[arg-type]
    outcome, server = asyncio.run(_ask(load))
    assert sum(map(len, outcome.spent_ms.values())) == len(server.asked)
    assert len(outcome.spent_ms["0"]) == len(server.asked) // 4
    assert outcome.worked_ms == [1.5] * len(outcome.spent_ms["200"])
    assert set(outcome.spent_ms) == {"0", "200", "429"}
    assert set(server.asked) == {"a", "bb"}
    assert "POST /v1/collections/books/search HTTP/1.1" in server.heads[0]
    assert "Authorization: Bearer secret" in server.heads[0]


def _phase(name: str, rate: float, p95: float, p99: float) -> Phase:
    spent = [p95] * 100
    outcome = Outcome(
        spent_ms={"200": spent, "429": [1.0], "500": [2.0]}, worked_ms=[p95 - 2] * 100, seconds=100 / rate
    )
    phase = _tell(name, Load(url="", bodies=[], seconds=1), outcome, os.getpid())
    return Phase(**{**phase.__dict__, "p99_ms": p99, "resident_mb": 100.0})


def test_the_figures_are_those_of_what_was_answered() -> None:
    phase = _phase("one client", 50.0, 10.0, 10.0)
    assert (phase.answered, phase.refused, phase.errors) == (100, 1, 1)
    assert phase.answered_per_s == pytest.approx(50.0)
    assert (phase.p50_ms, phase.p95_ms, phase.refused_p99_ms, phase.over_work_ms) == (10.0, 10.0, 1.0, 2.0)


def test_ratios_compare_the_loads() -> None:
    phases = [
        _phase("one client", 10.0, 50.0, 60.0),
        _phase("crowded", 20.0, 900.0, 1000.0),
        _phase("overloaded", 18.0, 1500.0, 2000.0),
        _phase("one client again", 10.0, 50.0, 60.0),
        _phase("one client while learning", 8.0, 75.0, 90.0),
    ]
    found = ratios(phases)
    assert found["crowded / one client, answers a second"] == pytest.approx(2.0)
    assert found["overloaded / crowded, answers a second"] == pytest.approx(0.9)
    assert found["overloaded / crowded, 99 of 100 below"] == pytest.approx(2.0)
    assert found["learning / quiet, 95 of 100 below"] == pytest.approx(1.5)
    assert ratios(phases[:4])["learning / quiet, 95 of 100 below"] is None


def test_questions_differ_and_are_pieces_of_texts() -> None:
    texts = [f"word{n} " + " ".join(f"w{n}x{m}" for m in range(20)) for n in range(5)] + ["too short"]
    questions = make_questions(texts)
    assert len(questions) == len(set(questions)) == 5
    assert all(len(question.split()) == 12 and question.endswith("?") for question in questions)
    assert make_questions(texts) == questions
