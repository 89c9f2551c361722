"""A time limit on strangers' code, as far as Python can interrupt it."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SOON = 1e-3


class OverdueError(BaseException):
    """Time is up. Not an `Exception`, so that the code it interrupts seldom keeps it."""


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Interrupts what runs longer, with the line at which it stood.

    A timer that somebody has set before goes on afterwards. In other threads than the main one,
    where Python delivers no signals, nothing is limited.

    Raises:
        OverdueError: time is up.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_signal: int, frame: FrameType | None) -> None:
        where = f" at {frame.f_code.co_filename}, line {frame.f_lineno}" if frame else ""
        raise OverdueError(f"it does not come to an end: stopped after {seconds:g} s{where}")

    begun = time.monotonic()
    handler = signal.signal(signal.SIGALRM, interrupt)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            left = max(_SOON, left - (time.monotonic() - begun))
            signal.setitimer(signal.ITIMER_REAL, left, interval)
