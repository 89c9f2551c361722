"""Kills that a job has to survive, at random steps."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Literal

from versemill.testing.resume_proof.progress import Killed, Resumed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from versemill.jobs.service.local_worker import LocalWorker
    from versemill.jobs.views import JobDetails

WORKER_FROM = 3
"""So many kills or more, and the last of them takes the worker."""

_LAST_SECONDS = 2.0
_LAST_SHARE = 0.25


def kill_points(steps: int, kills: int, seconds: float) -> list[int]:
    """A random step in each of `kills` equal parts of a run.

    The last two seconds of it (a quarter at most) are left out: progress is recorded twice a
    second, and a kill that comes after the end proves nothing.

    Args:
        steps: of the whole run.
        kills: how many are wanted.
        seconds: that the whole run takes.
    """
    reach = steps * (1 - min(_LAST_SHARE, _LAST_SECONDS / max(seconds, _LAST_SECONDS)))
    part = reach / kills
    return [int(part * (number + random.random())) for number in range(kills)]  # noqa: S311


class Killer:
    """Sends SIGKILL to the trainers of one job, at last perhaps to the worker.

    Each kill waits for a checkpoint of the attempt it ends, and for progress beyond it: every
    resume then goes on from another checkpoint and has something to repeat, and failures never
    come in a row, of which only so many are tried again.

    Args:
        points: steps after which to kill.
    """

    def __init__(self, points: Sequence[int]) -> None:
        self._points = points
        self._kills: list[int] = []  # attempts
        self._results = 0  # kills whose resume was reported

    def survived(self, details: JobDetails) -> int:
        """How many kills the job was resumed after; the last may have come too late."""
        return sum(killed < details.job.attempt for killed in self._kills)

    def look(self, details: JobDetails, worker: LocalWorker) -> Iterator[Killed | Resumed]:
        """Kills if the time has come; reports that, and the resume."""
        yield from self._resume(details)
        if not self._due(details):
            return
        number, total = len(self._kills) + 1, len(self._points)
        whole = number == total >= WORKER_FROM
        if not _kill(worker.pid, whole=whole):
            return
        self._kills.append(details.job.attempt)
        process: Literal["worker", "trainer"] = "worker" if whole else "trainer"
        yield Killed(number=number, total=total, step=details.job.step, process=process)

    def _resume(self, details: JobDetails) -> Iterator[Resumed]:
        """Reports where the job went on after the last kill, once it has."""
        if self._results == len(self._kills):
            return
        before = self._kills[-1]
        if details.job.attempt <= before:
            return
        killed, resumed = details.attempts[before - 1], details.attempts[before]
        if resumed.first_step is not None:
            repeated = (killed.last_step or 0) - resumed.first_step
            self._results += 1
            yield Resumed(step=resumed.first_step, repeated=repeated)

    def _due(self, details: JobDetails) -> bool:
        job = details.job
        if len(self._kills) == len(self._points) or job.state != "running":
            return False
        if self._kills and job.attempt == self._kills[-1]:
            return False  # it is dying already
        start = details.attempts[-1].first_step
        newest = max((kept.step for kept in details.checkpoints if "last" in kept.kinds), default=0)
        fresh = start is not None and start < newest < job.step
        return fresh and job.step >= self._points[len(self._kills)]


def _kill(worker: int, *, whole: bool) -> bool:
    """Kills the worker, or its trainer: the child of its fork server. Whether it was there."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        processes = [psutil.Process(worker)]
        if not whole:
            processes = [child for server in processes[0].children() for child in server.children()]
        for process in processes:
            process.kill()
        return bool(processes)
    return False
