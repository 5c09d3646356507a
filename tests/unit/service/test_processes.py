"""Processes that are kept running, on small programs in place of the service."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.processes import Pool, Program

# Says that it is ready as the API does, and ends on SIGTERM; a file `broken` makes it end at once.
API = """
import os, pathlib, signal, sys
if pathlib.Path("broken").exists():
    sys.exit(7)
os.write(int(os.environ["SHARPWAVE_READY_FD"]), b".")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    signal.pause()
"""
DEAF = """
import os, pathlib, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path("deaf").touch()
while True:
    signal.pause()
"""


def until(look: Callable[[], object], pool: Pool) -> None:
    deadline = time.monotonic() + 30
    while not look():
        assert time.monotonic() < deadline
        pool.tick()
        time.sleep(0.01)


@pytest.fixture
def make_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pool]]:
    monkeypatch.chdir(tmp_path)
    made: list[Pool] = []

    def make(
        code: str = API, count: int = 1, end_s: float = 20, *, listens: bool = True, desk: socket.socket | None = None
    ) -> Pool:
        listener = socket.create_server(("127.0.0.1", 0)) if listens else None
        program = Program(
            name="test", command=[sys.executable, "-c", code], environment=os.environ.copy(), end_s=end_s, count=count,
            listener=listener, desk=desk,
        )  # fmt: skip
        made.append(Pool(program))
        return made[-1]

    yield make
    for pool in made:
        pool.kill()
        if pool.program.listener is not None:
            pool.program.listener.close()


def pids(pool: Pool) -> list[int]:
    return [slot.process.pid for slot in pool._slots if slot.process is not None]


def all_ready(pool: Pool) -> bool:
    return all(slot.process is not None and slot.process.is_ready for slot in pool._slots)


def test_one_that_dies_is_replaced_and_the_others_are_left_alone(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(count=3)
    until(lambda: all_ready(pool), pool)
    before = pids(pool)
    os.kill(before[1], signal.SIGKILL)
    until(lambda: before[1] not in pids(pool) and all_ready(pool) and len(pids(pool)) == 3, pool)
    after = pids(pool)
    assert (after[0], after[2]) == (before[0], before[2])
    assert pool.last_status == -signal.SIGKILL


def test_a_restart_replaces_one_after_another_and_never_has_fewer(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(count=2)
    until(lambda: all_ready(pool), pool)
    before = set(pids(pool))
    pool.restart()
    counts = set()

    def look() -> bool:
        counts.add(len([one for one in pool._processes() if one.look() is None]))
        assert all_ready(pool)  # whatever serves has answered before
        return pool.restarts == 1

    until(look, pool)
    assert not before & set(pids(pool))
    assert counts <= {2, 3}
    assert pool.refusal == ""


def test_a_new_process_that_cannot_start_leaves_the_old_ones(make_pool: Callable[..., Pool], tmp_path: Path) -> None:
    pool = make_pool(count=2)
    until(lambda: all_ready(pool), pool)
    before = pids(pool)
    (tmp_path / "broken").touch()
    pool.restart()
    until(lambda: pool.restarts == 1, pool)
    assert "status 7" in pool.refusal
    assert pids(pool) == before
    (tmp_path / "broken").unlink()
    pool.restart()
    until(lambda: pool.restarts == 2, pool)
    assert (pool.refusal, set(before) & set(pids(pool))) == ("", set())


def test_without_a_listener_the_old_one_leaves_first(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool("import time; time.sleep(600)", listens=False)
    until(lambda: pids(pool), pool)
    before = pids(pool)
    pool.restart()
    until(lambda: pids(pool) and pids(pool) != before, pool)
    assert not Path(f"/proc/{before[0]}").exists()
    assert pool.last_status is None  # it was asked to end: no fault, and no pause


def test_one_that_does_not_end_is_killed(make_pool: Callable[..., Pool]) -> None:
    pool = make_pool(DEAF, end_s=0.1, listens=False)
    until(lambda: Path("deaf").exists(), pool)
    (process,) = pool._processes()
    pool.terminate()
    until_ended = time.monotonic() + 30
    while not pool.has_ended():
        assert time.monotonic() < until_ended
        time.sleep(0.01)
    assert process.look() == -signal.SIGKILL


def test_one_that_cannot_run_is_tried_again_after_a_pause(make_pool: Callable[..., Pool], tmp_path: Path) -> None:
    (tmp_path / "broken").touch()
    pool = make_pool()
    until(lambda: pool.last_status is not None, pool)
    assert (pool.last_status, pids(pool), pool.was_ready) == (7, [], False)
    pool.tick()
    assert pids(pool) == []  # not at once


def test_the_first_one_alone_has_the_desk_whoever_is_replaced(make_pool: Callable[..., Pool], tmp_path: Path) -> None:
    code = "import os, pathlib; pathlib.Path(f'desk {os.getpid()}').write_text(os.environ.get('SHARPWAVE_DESK_FD', ''))"

    def with_desk() -> list[bool]:
        return [bool((tmp_path / f"desk {pid}").read_text()) for pid in pids(pool)]

    with socket.create_server(("127.0.0.1", 0)) as desk:
        pool = make_pool(code + API, count=3, desk=desk)
        until(lambda: all_ready(pool), pool)
        assert with_desk() == [True, False, False]
        pool.restart()
        until(lambda: pool.restarts == 1, pool)
        assert with_desk() == [True, False, False]
        os.kill(pids(pool)[0], signal.SIGKILL)
        gone = pids(pool)[0]
        until(lambda: all_ready(pool) and gone not in pids(pool), pool)
        assert with_desk() == [True, False, False]
