"""What does not come to an end is interrupted, and other people's timers go on."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from versemill.plugins.isolation import OverdueError, limited


def test_what_is_soon_done_is_left_alone() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with limited(60):
        done = 6 * 7
    assert done == 42
    assert signal.getsignal(signal.SIGALRM) is handler


def test_what_takes_longer_is_interrupted_and_told_where() -> None:
    begun = time.monotonic()
    message = r"stopped after 0\.05 s at .*test_isolation_time_limit\.py, line"
    with pytest.raises(OverdueError, match=message), limited(0.05):
        time.sleep(60)
    assert time.monotonic() - begun < 30


def test_an_older_timer_goes_on() -> None:
    rung: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    before = signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with limited(60):
            time.sleep(0.3)  # it comes due meanwhile
        begun = time.monotonic()
        while not rung and time.monotonic() - begun < 30:
            time.sleep(0.01)
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *before)
    assert rung == [signal.SIGALRM]


def test_another_thread_is_not_limited() -> None:
    ended: list[bool] = []

    def work() -> None:
        with limited(0.01):
            time.sleep(0.1)
        ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(30)
    assert ended == [True]
