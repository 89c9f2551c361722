"""Ctrl-C as a flag, for commands that have something to finish first."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from versemill.cli.exit_codes import INTERRUPTED

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_MAX_INTERRUPTS = 3


class Interrupts:
    """Counts Ctrl-C inside its block. The third ends the process, whatever it is waiting for."""

    def __init__(self) -> None:
        self.count = 0
        self._before: signal._HANDLER = None
        self._installed = False

    def __enter__(self) -> Interrupts:
        main = threading.current_thread() is threading.main_thread()
        self._installed = main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if self._installed:
            self._before = signal.signal(signal.SIGINT, self._take)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)

    def _take(self, _signal: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count >= _MAX_INTERRUPTS:
            os._exit(INTERRUPTED)
