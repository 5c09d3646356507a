"""What a server asks for by Retry-After."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from retrieval.failures import parse_retry_after


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, 0), ("", 0), ("7", 7), ("0.5", 0.5), ("-3", 0), ("nan", 0), ("inf", 0), ("soon", 0), ("1e999", 0)],
)
def test_seconds(value: str | None, seconds: float) -> None:
    assert parse_retry_after(value) == seconds


def test_a_date_is_counted_from_now_and_one_that_is_over_asks_nothing() -> None:
    assert parse_retry_after(formatdate(time.time() + 60, usegmt=True)) == pytest.approx(60, abs=2)
    assert parse_retry_after(formatdate(time.time() - 60, usegmt=True)) == 0
