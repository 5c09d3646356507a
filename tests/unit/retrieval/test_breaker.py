"""The circuit breaker, by a clock that only the tests turn."""

from __future__ import annotations

from retrieval.breaker import Breaker, BreakerParams


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        attempt = breaker.enter()
        attempt.fail("refused")
        attempt.leave()


def _breaker(failures: int = 3, rest_s: float = 10.0) -> tuple[Breaker, Clock]:
    clock = Clock()
    return Breaker(BreakerParams(failures=failures, rest_s=rest_s), clock), clock


def test_it_opens_after_so_many_failures_in_a_row_and_says_until_when() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 2)
    assert breaker.refusal() is None
    _fail(breaker)
    assert breaker.refusal() == "refused, after 3 failures in a row; asked again in 10 s"
    clock.now += 9.5
    assert breaker.refusal() == "refused, after 3 failures in a row; asked again in 1 s"
    clock.now += 0.5
    assert breaker.refusal() is None


def test_a_success_between_failures_starts_the_count_anew() -> None:
    breaker, _ = _breaker()
    for _ in range(3):
        _fail(breaker, 2)
        attempt = breaker.enter()
        attempt.succeed()
        attempt.leave()
    assert breaker.refusal() is None


def test_one_call_tries_and_its_success_lets_all_pass() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 3)
    clock.now += 10
    probe = breaker.enter()
    assert "one call tries it now" in (breaker.refusal() or "")
    probe.succeed()
    probe.leave()
    assert breaker.refusal() is None
    _fail(breaker, 2)
    assert breaker.refusal() is None


def test_one_call_tries_and_its_failure_begins_the_rest_anew() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 3)
    clock.now += 10
    _fail(breaker)
    assert breaker.refusal() == "refused, after 4 failures in a row; asked again in 10 s"


def test_a_probe_whose_caller_went_away_leaves_the_next_one_to_try() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 3)
    clock.now += 10
    breaker.enter().leave()
    assert breaker.refusal() is None
    _fail(breaker)  # the next probe
    assert breaker.refusal() is not None


def test_the_first_piece_of_a_stream_lets_others_pass_on_trial() -> None:
    breaker, clock = _breaker()
    _fail(breaker, 3)
    clock.now += 10
    probe = breaker.enter()
    probe.begin()
    assert breaker.refusal() is None
    probe.fail("broke off")
    probe.leave()
    assert (breaker.refusal() or "").startswith("broke off, after 3 failures")


def test_calls_from_before_it_opened_neither_close_it_nor_prolong_the_rest() -> None:
    breaker, clock = _breaker()
    late, later = breaker.enter(), breaker.enter()
    _fail(breaker, 3)
    clock.now += 5
    late.succeed()
    later.fail("late")
    for attempt in (late, later):
        attempt.leave()
    assert breaker.refusal() == "refused, after 3 failures in a row; asked again in 5 s"


def test_none_failures_turn_it_off() -> None:
    breaker, _ = _breaker(failures=0)
    _fail(breaker, 100)
    assert breaker.refusal() is None
