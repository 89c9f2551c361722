"""Running a plugin's code: its output kept off stdout, its time limited.

stdout belongs to what a command prints, which programs read.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SOON = 1e-3


class Printed:
    """What was printed within `captured`; complete once that is left."""

    text: str = ""


@contextlib.contextmanager
def captured() -> Iterator[Printed]:
    """Keeps what is printed from Python; what comes from below it goes to stderr.

    Yields:
        Where the text is found afterwards.
    """
    printed = Printed()
    # Never closed by us: who has taken hold of it meanwhile can go on writing, to nowhere.
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace", write_through=True)
    try:
        with contextlib.redirect_stdout(stream), _descriptor_to_stderr():
            yield printed
    finally:
        with contextlib.suppress(ValueError):  # somebody has closed it
            stream.seek(0)
            printed.text = stream.read()


@contextlib.contextmanager
def _descriptor_to_stderr() -> Iterator[None]:
    try:
        kept = os.dup(1)
    except OSError:  # there is no stdout
        yield
        return
    try:
        with contextlib.suppress(OSError):  # there is no stderr
            os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


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
