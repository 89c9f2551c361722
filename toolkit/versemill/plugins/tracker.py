"""The contract of trackers: which events of a run they get, and when.

A tracker runs in a separate process beside the training. The training neither waits for it nor
fails because of it. If a tracker is too slow, some events are dropped. If it raises or takes more
than `CALL_SECONDS` for a call, it is not used for the rest of the attempt; an event of the job
(`versemill show JOB`) then says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from versemill.plugins.run_events import EpochReport, Finished, Progress

CALL_SECONDS = 10.0
"""Time a tracker has for one call."""

HowEnded = Literal["finished", "stopped", "failed", "lost"]


@dataclass(frozen=True, kw_only=True)
class AttemptStart:
    """An attempt at a job, as it begins.

    Attributes:
        job: the job's number.
        name: the job's name.
        attempt: number of this attempt, from 1.
        step: optimizer steps done before; 0 unless it continues from a checkpoint. Progress of
            later steps comes again, if an earlier attempt has made these steps.
        reported: step at which the last epoch before ended; 0 if there was none. Reports of later
            steps come again, also that of `step` itself if it is later.
        config: the job's configuration as JSON values (`JobConfig.to_json`).
    """

    job: int
    name: str
    attempt: int
    step: int
    reported: int
    config: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How an attempt ended.

    Attributes:
        outcome: `finished` (trained to its end), `stopped` (paused, cancelled or handed over),
            `failed`, or `lost` (the trainer was killed or crashed).
        error: what went wrong, if it `failed`.
        result: the figures of the best weights, if it `finished`.
    """

    outcome: HowEnded
    error: str | None = None
    result: Finished | None = None


class Tracker:
    """Base class: override what you need. One instance follows one attempt.

    The calls come from one thread, in the order of this class: `started` once, then `progressed`
    and `reported` by step, then `ended` once. What it prints goes to the job's log (`versemill
    logs JOB`).

    Args:
        folder: the job's own folder, which exists. Attempts with the same tracking folder get the
            same one. Write nowhere else.
        options: values of its options class, as keywords (`__init__(self, folder, *, every)`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def started(self, run: AttemptStart) -> None:
        """The attempt begins, or continues from `run.step`."""

    def progressed(self, progress: Progress) -> None:
        """The present figures, about every 0.5 s."""

    def reported(self, report: EpochReport) -> None:
        """An epoch has ended: its figures, and lyrics when they were due."""

    def ended(self, ending: Ending) -> None:
        """The attempt is over; this process ends next. Not called after a kill of this process."""
