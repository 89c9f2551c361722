"""When a job may begin, after which others, and how long it may run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from versemill.errors import ConfigError

Condition = Literal["succeeded", "any"]
"""How the other job has to end: with success, or in whatever way."""

_LATEST = 10 * 366 * 86400.0  # seconds; a date beyond it is a slip


@dataclass(frozen=True, kw_only=True)
class After:
    """A job that another one waits for.

    Attributes:
        job: its id or name, or the name of an array: then all its jobs.
        condition: how it has to end.
    """

    job: str
    condition: Condition = "succeeded"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a submitter says of a job's beginning and end.

    Attributes:
        begin_in: seconds from now before which it is not started; None for as soon as possible.
            It counts on the database's clock, so that clocks that differ do no harm.
        after: jobs that have to end first.
        time_limit: most seconds of device time, over all attempts; None for no limit.

    Raises:
        ConfigError: a time that is past or too far away, or a limit below a second.
    """

    begin_in: float | None = None
    after: tuple[After, ...] = ()
    time_limit: float | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be meant."""
        begin, limit = self.begin_in, self.time_limit
        if begin is not None and not 0 <= begin <= _LATEST:
            raise ConfigError("begin", begin, "a number of seconds from now, at most ten years")
        if limit is not None and not (math.isfinite(limit) and limit >= 1):
            raise ConfigError("time limit", limit, "at least one second")


AT_ONCE = Timing()
