"""Following a run from outside: what a tracker is told, and when.

A tracker runs in a process of its own beside the training, never within it. Whatever it does, the
training neither waits for it nor fails because of it: what it is too slow for is dropped, and one
that raises or takes more than `CALL_SECONDS` over a call is left out for the rest of the attempt,
which the job's story (`versemill show JOB`) then says.
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
        step: optimizer steps done before; 0 unless it goes on from a checkpoint. Progress that an
            earlier attempt told of later steps is told again.
        reported: step of the last epoch's end before; 0 if there was none. Reports of later steps
            are told again, that of `step` itself too if it lies beyond.
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
            `failed`, or `lost` (the trainer was gone without a word).
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
        folder: the job's own folder, which is there; the same one in every attempt that runs on
            the same data directory. Write nowhere else.
        options: values of its options class, as keywords (`__init__(self, folder, *, every)`).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def started(self, run: AttemptStart) -> None:
        """The attempt begins, or goes on from `run.step`."""

    def progressed(self, progress: Progress) -> None:
        """A sign of life, about every 0.5 s."""

    def reported(self, report: EpochReport) -> None:
        """An epoch has ended: its figures, and lyrics when they were due."""

    def ended(self, ending: Ending) -> None:
        """The attempt is over; this process ends next. Not called after a kill of this process."""
