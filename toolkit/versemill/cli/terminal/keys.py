"""Single keys of a terminal, read without Enter."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Makes a terminal give keys at once; as it was before when the block ends.

    Yields:
        Waits so many seconds for a key and returns it; the empty string if none was pressed, and
        wherever standard input is no terminal.
    """
    try:
        import termios
        import tty

        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
    except (ImportError, AttributeError, ValueError, OSError):  # no terminal, or not of this kind
        yield _no_key
        return
    except termios.error:
        yield _no_key
        return

    def key(seconds: float) -> str:
        ready, _, _ = select.select([number], [], [], max(0.0, seconds))
        return os.read(number, 16).decode("utf-8", "replace") if ready else ""

    try:
        tty.setcbreak(number)
        yield key
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(max(0.0, seconds))
    return ""
