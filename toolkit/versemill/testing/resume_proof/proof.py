"""Both runs of a proof, undisturbed and killed, and what comes of comparing them."""

from __future__ import annotations

import contextlib
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from versemill.errors import ResumeProofError
from versemill.jobs import service
from versemill.jobs.service.local_worker import LocalWorker
from versemill.jobs.storage.unit_of_work import Store
from versemill.phrases import counted
from versemill.testing.resume_proof.comparison import first_difference, read_record
from versemill.testing.resume_proof.kills import Killer, kill_points
from versemill.testing.resume_proof.progress import (
    FewerKills,
    KillsBegin,
    Proved,
    Restarted,
    Training,
    UndisturbedDone,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from versemill.jobs.service import Submission
    from versemill.jobs.views import JobDetails
    from versemill.settings import Settings
    from versemill.testing.resume_proof.progress import Progress

    Steps = Generator[Progress, None, JobDetails]
    """What happens while a job is trained; returns the job as it has ended."""
    KilledSteps = Generator[Progress, None, tuple[JobDetails, int]]

_POLL_SECONDS = 0.1
_CHECKPOINTS_PER_KILL = 3

_Run = Literal["undisturbed", "to be killed"]


def prove(
    settings: Settings, submission: Submission, *, kills: int
) -> Generator[Progress, None, None]:
    """Trains a job twice, once with kills, and compares all that is left of both.

    It does so in an installation of its own, which is gone at the end. Closing the iterator ends
    every process it started.

    Args:
        settings: those of the installation whose job it is; its database is left alone.
        submission: the job.
        kills: how often to kill.

    Returns:
        What happens, as it happens; `Proved` at the end.

    Raises:
        ResumeProofError: something differs, or nothing could be proved.
        VersemillError: no worker could be started.
    """
    config = replace(submission.config, trackers=())  # nobody has to follow a trial
    submission = replace(submission, config=config, name=None)  # it is submitted twice
    with _temporary_installation(settings) as (temporary, store):
        yield from _Proof(settings=temporary, store=store, submission=submission).run(kills)


@contextmanager
def _temporary_installation(settings: Settings) -> Generator[tuple[Settings, Store], None, None]:
    """An installation with a database of its own and no broker; gone at the end."""
    with tempfile.TemporaryDirectory(prefix="versemill-") as folder:
        home = Path(folder)
        url = f"sqlite:///{home / 'versemill.db'}"
        temporary = replace(
            settings,
            home=home,
            database_url=url,
            broker_url="memory://localhost",
            checkpoint_limit=None,
        )
        store = Store.open(url)
        try:
            yield temporary, store
        finally:
            store.close()


@dataclass(frozen=True, kw_only=True)
class _Proof:
    settings: Settings
    store: Store
    submission: Submission

    def run(self, kills: int) -> Generator[Progress, None, None]:
        first = yield from self._run_undisturbed()
        second, survived = yield from self._run_with_kills(first, kills)
        yield self._compare(first, second, survived)

    def _run_undisturbed(self) -> Steps:
        details = yield from self._train("undisturbed", self.settings)
        _require_undisturbed(details)
        yield UndisturbedDone(seconds=_seconds(details), steps=details.job.step)
        return details

    def _run_with_kills(self, undisturbed: JobDetails, kills: int) -> KilledSteps:
        """The job as it has ended, and how many kills it survived."""
        seconds = _seconds(undisturbed)
        killer = Killer(kill_points(undisturbed.job.step, kills, seconds))
        every = max(1, int(seconds / (kills * _CHECKPOINTS_PER_KILL)))
        every = min(every, self.settings.checkpoint_seconds)
        yield KillsBegin(checkpoint_seconds=every)
        settings = replace(self.settings, checkpoint_seconds=every)
        details = yield from self._train("to be killed", settings, killer)
        survived = killer.survived(details)
        if details.job.state != "succeeded":
            what = f"the job {details.job.state}: {details.job.error}"
            raise ResumeProofError(f"not the same after {counted(survived, 'kill')}: {what}")
        if not survived:
            raise ResumeProofError(
                f"nothing was proved: the job trains in {seconds:.1f} s, which leaves no time for "
                f"a kill between two checkpoints, {every} s apart; give it more epochs"
            )
        if survived < kills:
            yield FewerKills(survived=survived)
        return details, survived

    def _compare(self, first: JobDetails, second: JobDetails, survived: int) -> Proved:
        one, other = (read_record(self.store, run.job.id) for run in (first, second))
        difference = first_difference(one, other)
        if difference is not None:
            raise ResumeProofError(f"not the same after {counted(survived, 'kill')}: {difference}")
        return Proved(
            survived=survived,
            tensors=one.tensors,
            checkpoints=tuple(one.checkpoints),
            reports=len(one.reports),
            lyrics=len(one.lyrics),
        )

    def _train(self, run: _Run, settings: Settings, killer: Killer | None = None) -> Steps:
        """Trains the job to its end and returns it."""
        queued = service.enqueue(self.store, self.submission, service.Principal(settings.user))
        with _worker(settings, queued.job.id) as worker:
            while True:
                details = service.details(self.store, queued.job.id)
                if killer is not None:
                    yield from killer.look(details, worker)
                if details.job.state.ended:
                    return details
                yield Training(run=run, job=details.job)
                restarted = worker.restart_if_ended()
                if restarted is not None:
                    yield Restarted(worker=restarted)
                time.sleep(_POLL_SECONDS)


@contextmanager
def _worker(settings: Settings, job_id: int) -> Generator[LocalWorker, None, None]:
    """A worker that ends with the job; at once, and its trainer too, when something goes wrong."""
    with LocalWorker(settings, job_id) as worker:
        try:
            yield worker
        except BaseException:
            _end(worker.pid)
            raise


def _end(worker: int) -> None:
    """Ends a worker and all its processes; nothing of it writes a file afterwards."""
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(worker)
        family = [parent, *parent.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)


def _require_undisturbed(details: JobDetails) -> None:
    """Raises `ResumeProofError` unless the job was trained to its end in one go."""
    if details.job.state != "succeeded":
        raise ResumeProofError(
            f"nothing was proved: undisturbed, the job {details.job.state}: {details.job.error}"
        )
    if details.job.attempt > 1:
        first = details.attempts[0]
        raise ResumeProofError(
            f"nothing was proved: the undisturbed run was disturbed at step {first.last_step}, "
            f"its trainer was {first.exit or first.outcome}; try again"
        )


def _seconds(details: JobDetails) -> float:
    """How long the one attempt took."""
    (attempt,) = details.attempts
    assert attempt.ended_at is not None  # noqa: S101 - the job has ended
    return (attempt.ended_at - attempt.started_at).total_seconds()
