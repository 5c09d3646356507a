"""Buckets that processes share: what is taken is taken for all, whoever dies and whenever."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.buckets import SLOTS, Buckets
from tests.forks import FORKS

STANDING = 1000.0  # a clock that does not go


class Clock:
    def __init__(self) -> None:
        self.now = STANDING

    def __call__(self) -> float:
        return self.now


def taken(file: Path, clock: Callable[[], float], tries: int, capacity: int) -> int:
    buckets = Buckets(file, clock)
    return sum(buckets.take("key", capacity) == 0 for _ in range(tries))


def take_many(file: Path, counted: Path) -> None:
    counted.write_text(str(taken(file, Clock(), 2_000, 1_000)))


def hold(file: Path, ready: Path) -> None:
    buckets = Buckets(file, Clock())
    buckets.take("key", 10)
    with buckets._locked():
        ready.touch()
        time.sleep(600)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "rates"


def test_a_bucket_is_empty_when_its_capacity_was_taken_and_fills_evenly() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    assert [buckets.take("key", 3) for _ in range(4)] == [0, 0, 0, 20]
    clock.now += 19
    assert buckets.take("key", 3) == pytest.approx(1)
    clock.now += 1
    assert [buckets.take("key", 3) for _ in range(2)] == [0, pytest.approx(20)]
    clock.now += 3600
    assert buckets.level("key", 3) == 3


def test_keys_have_buckets_of_their_own_and_a_new_limit_begins_full() -> None:
    buckets = Buckets(clock=Clock())
    assert [buckets.take("one", 1), buckets.take("other", 1)] == [0, 0]
    assert buckets.take("one", 1) == 60
    assert [buckets.take("one", 2) for _ in range(3)] == [0, 0, 30]


def test_more_keys_than_slots_are_each_counted_while_they_ask() -> None:
    clock = Clock()
    buckets = Buckets(clock=clock)
    for number in range(4 * SLOTS):
        assert buckets.take(f"key {number}", 2) == 0
        clock.now += 1
        if number % 16 == 0:  # one that goes on asking keeps its slot
            buckets.take("busy", 60)
            assert buckets.level("busy", 60) < 60


def test_processes_share_what_there_is(file: Path, tmp_path: Path) -> None:
    counted = [tmp_path / str(number) for number in range(4)]
    processes = [FORKS.Process(target=take_many, args=(file, one)) for one in counted]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
        assert one.exitcode == 0
    assert sum(int(one.read_text()) for one in counted) == 1_000
    assert taken(file, Clock(), 1, 1_000) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_who_dies_or_stands_still_with_the_lock_holds_nobody_up(
    file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    process = FORKS.Process(target=hold, args=(file, ready))
    process.start()
    while not ready.exists():
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid or 0, number)
    assert taken(file, Clock(), 20, 10) == 9  # one was taken there
    process.kill()
    process.join(60)


def test_a_torn_slot_and_one_of_before_the_host_started_anew_are_full(file: Path) -> None:
    assert taken(file, Clock(), 5, 5) == 5
    earlier = Clock()
    earlier.now = 1.0
    assert Buckets(file, earlier).level("key", 5) == 5
    content = bytearray(file.read_bytes())
    at = next(at for at in range(0, len(content), 40) if any(content[at : at + 16]))
    content[at + 24 : at + 32] = b"\xff" * 8  # its level is no number
    file.write_bytes(content)
    assert taken(file, Clock(), 6, 5) == 5


def test_without_a_place_for_the_file_a_process_counts_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").write_text("no folder")
    buckets = Buckets(tmp_path / "data" / "rates", Clock())
    assert [buckets.take("key", 1) for _ in range(2)] == [0, 60]
    assert "rates are counted by this process alone" in caplog.text
