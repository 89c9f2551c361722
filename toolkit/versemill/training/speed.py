"""How fast a run is. Has no influence on what a run computes."""

from __future__ import annotations

import math
import time

_YIELD_SECONDS = 0.5


class Clock:
    """Measures the training speed and says when to report progress."""

    def __init__(self) -> None:
        self._mark = time.monotonic()
        self._last_yield = -math.inf  # the first step is reported at once
        self._seconds = 0.0
        self._characters = 0.0
        self._steps = 0

    def trained(self, characters: float) -> None:
        """Records one step since the last mark, on this number of characters."""
        now = time.monotonic()
        self._seconds += now - self._mark
        self._mark = now
        self._characters += characters
        self._steps += 1

    def pause_over(self) -> None:
        """Sets the mark: the time since the last one was not training."""
        self._mark = time.monotonic()

    def due(self) -> bool:
        """Whether to report progress now; true once every 0.5 s."""
        now = time.monotonic()
        if now - self._last_yield < _YIELD_SECONDS:
            return False
        self._last_yield = now
        return True

    def speed(self) -> float | None:
        """Characters trained on per second; None before the first step."""
        return self._characters / self._seconds if self._seconds else None

    def seconds_for(self, steps: int) -> float | None:
        """Seconds that this number of steps will take; None before the first step."""
        return self._seconds / self._steps * steps if self._steps else None
