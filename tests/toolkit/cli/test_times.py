"""Times as people write them; local times are those of a zone with summer time."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click
import pytest

from versemill.cli.times import duration, seconds_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def central_europe(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks go from 2:00 to 3:00 on 29 March 2026, and from 3:00 to 2:00 on 25 October."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def until(value: str, now: str) -> timedelta:
    return timedelta(seconds=seconds_until(value, datetime.fromisoformat(now), "--begin"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1.5h", 5400)],
)
def test_durations(value: str, seconds: float) -> None:
    assert duration(value, "--time-limit") == seconds


@pytest.mark.parametrize("value", ["", "2", "h", "-2h", "2 h", "2w", "1e3s", "nan", "２h"])
def test_what_is_no_duration_is_refused_in_one_line(value: str) -> None:
    with pytest.raises(click.UsageError, match="write 2h, 30m, 90s"):
        duration(value, "--time-limit")


@pytest.mark.parametrize(
    ("value", "now", "hours"),
    [
        ("22:00", "2026-06-01T20:30+02:00", 1.5),
        ("22:00", "2026-06-01T22:00+02:00", 24),
        ("7:00", "2026-06-01T20:00+02:00", 11),
        ("+2h", "2026-06-01T20:30+02:00", 2),
        ("2026-06-02T20:30", "2026-06-01T20:30+02:00", 24),
        ("2026-06-01 21:30", "2026-06-01T20:30+02:00", 1),
        ("2026-06-01T21:30+00:00", "2026-06-01T20:30+02:00", 3),
        ("2026-06-01T21:30Z", "2026-06-01T20:30+02:00", 3),
        # Summer time begins or ends in between: elapsed hours count.
        ("2026-03-29T12:00", "2026-03-28T12:00+01:00", 23),
        ("2026-10-25T12:00", "2026-10-24T12:00+02:00", 25),
        ("6:00", "2026-03-28T22:00+01:00", 7),
    ],
)
def test_begin(value: str, now: str, hours: float) -> None:
    assert until(value, now) == timedelta(hours=hours)


@pytest.mark.parametrize("value", ["2:30", "2026-03-29T02:30"])
def test_a_time_that_clocks_skip_is_as_much_later(value: str) -> None:
    assert until(value, "2026-03-29T01:00+01:00") == timedelta(hours=1, minutes=30)  # 3:30 CEST


@pytest.mark.parametrize("value", ["2:30", "2026-10-25T02:30"])
def test_of_a_time_that_comes_twice_the_next_is_meant(value: str) -> None:
    assert until(value, "2026-10-25T01:30+02:00") == timedelta(hours=1)
    assert until(value, "2026-10-25T02:45+02:00") == timedelta(minutes=45)
    if value == "2:30":
        assert until(value, "2026-10-25T02:45+01:00") == timedelta(hours=23, minutes=45)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("2026-06-01T20:29", "is past; it is 2026-06-01 20:30 now"),
        ("2026-06-01T18:29Z", "is past"),
        ("25:00", "write 22:00"),
        ("22", "write 22:00"),
        ("2026-06-02", "write 22:00"),
        ("tomorrow", "write 22:00"),
        ("+2", "write 2h"),
        ("-2h", "write 22:00"),
        ("0001-01-01T00:00", "past|no such time"),
    ],
)
def test_what_is_past_or_no_time_is_refused_in_one_line(value: str, why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        until(value, "2026-06-01T20:30+02:00")
