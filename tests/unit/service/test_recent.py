"""The last hour by the minute: what is kept and for how long, quantiles against numpy's, several processes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from service.recent import MINUTE_S, MINUTES, Minute, Recent, bin_of, quantile, sum_up
from service.recent_files import RecentFiles


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def bins_of(minute: Minute) -> dict[int, int]:
    return {one: int(count) for one, count in enumerate(minute.times["search"]) if count}


def test_an_hour_is_kept_and_no_more() -> None:
    clock = Clock()
    recent = Recent(clock)
    first = recent.minute
    for _ in range(3 * MINUTES):
        recent.count("searches")
        recent.time("search", 5.0)
        clock.now += MINUTE_S
    clock.now -= MINUTE_S
    kept = recent.read()
    assert list(kept) == list(range(first + 2 * MINUTES, first + 3 * MINUTES))
    assert {minute.counts["searches"] for minute in kept.values()} == {1}
    clock.now += 30 * MINUTE_S
    assert len(recent.read()) == MINUTES - 30
    clock.now += MINUTES * MINUTE_S
    assert recent.read() == {}


def test_what_was_read_does_not_change_with_what_follows() -> None:
    recent = Recent(Clock())
    recent.time("search", 5.0)
    before = recent.read()
    recent.time("search", 5.0)
    assert bins_of(sum_up(before.values())) == {bin_of(5.0): 1}
    assert bins_of(sum_up(recent.read().values())) == {bin_of(5.0): 2}


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_quantile_is_within_five_percent(share: float) -> None:
    random = np.random.default_rng(7)
    for scale in (0.05, 3.0, 400.0):
        times = random.lognormal(np.log(scale), 1.0, 20_000)
        recent = Recent(Clock())
        for one in times:
            recent.time("search", float(one))
        found = quantile(sum_up(recent.read().values()).times["search"], share)
        assert found is not None
        assert found == pytest.approx(float(np.quantile(times, share)), rel=0.055)


def test_quantiles_of_few_and_of_none() -> None:
    assert quantile(None, 0.5) is None
    minute = Minute()
    assert quantile(minute.bins("search"), 0.5) is None
    minute.bins("search")[[bin_of(ms) for ms in (10.0, 20.0, 1_000.0)]] = 1
    assert quantile(minute.times["search"], 0.5) == pytest.approx(20.0, rel=0.05)
    assert quantile(minute.times["search"], 0.95) == pytest.approx(1_000.0, rel=0.05)
    for extreme, told in ((0.0, 0.01), (-1.0, 0.01), (1e12, 1e7)):  # no logarithm of nothing, and no bin beyond
        one = Minute()
        one.bins("search")[bin_of(extreme)] = 1
        assert quantile(one.times["search"], 0.5) == pytest.approx(told, rel=0.05)


def test_processes_add_up_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    clock = Clock()
    one, other = Recent(clock), Recent(clock)
    files, of_other = RecentFiles(one, tmp_path / "recent"), RecentFiles(other, tmp_path / "recent")
    one.count("searches", 2)
    one.time("search", 10.0)
    files.save()
    other.count("searches")
    other.time("search", 10.0)
    assert of_other.read()[other.minute].counts["searches"] == 3
    assert bins_of(of_other.read()[other.minute]) == {bin_of(10.0): 2}
    one.count("searches")
    files.save()
    assert of_other.read()[other.minute].counts["searches"] == 4
    assert files.living() == {os.getpid()}

    clock.now += 10 * MINUTE_S
    again = RecentFiles(Recent(clock), tmp_path / "recent")
    assert [minute.counts["searches"] for minute in again.read().values()] == [3]  # the other wrote nothing
    clock.now += MINUTES * MINUTE_S
    assert again.read() == {}


def test_files_that_are_damaged_or_old_are_left_out(tmp_path: Path) -> None:
    recent = Recent()
    files = RecentFiles(recent, tmp_path)
    for name, said in (("1-a", "{"), ("2-b", '{"1": {"counts": 3}}'), ("3-c", "[1]"), ("4-d", '{"x": {}}')):
        (tmp_path / f"{name}.json").write_text(said)
    beyond = '{"28333333": {"counts": {}, "times": {"search": [[99999], [1]]}}}'
    (tmp_path / "6-f.json").write_text(beyond)
    old = tmp_path / "5-e.json"
    old.write_text("{}")
    os.utime(old, (0, 0))
    assert files.read() == {}
    recent.count("searches")
    files.save()
    assert not old.exists()
    assert len(list(tmp_path.glob("*.part"))) == 0
    assert [minute.counts["searches"] for minute in files.read().values()] == [1]


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    recent = Recent()
    files = RecentFiles(recent, tmp_path / "file" / "recent")
    recent.count("searches")
    files.save()
    recent.count("searches")
    files.save()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert files.read()[recent.minute].counts["searches"] == 2
