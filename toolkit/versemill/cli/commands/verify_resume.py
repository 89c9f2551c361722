"""`verify-resume`: proves on this very machine that a killed job ends as if nothing had been."""

from __future__ import annotations

import contextlib
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.commands.submit import job_options
from versemill.phrases import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from versemill.cli.commands.submit import Submission
    from versemill.cli.installation import Installation
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import Screen
    from versemill.jobs.service.local_worker import TetheredWorker
    from versemill.jobs.views import JobDetails
    from versemill.settings import Settings
    from versemill.testing.resume_proof.kills import Killer

_POLL_SECONDS = 0.1
_CHECKPOINTS_PER_KILL = 3


@click.command("verify-resume")
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[JOB.toml]")
@job_options
@click.option(
    "--kills", type=click.IntRange(1), default=3, show_default=True, help="How often to kill."
)
def verify_resume(file: Path | None, kills: int, **options: Any) -> None:
    """Prove that a killed job ends as if nothing had happened.

    Trains the job twice in a throw-away installation; your own jobs and database stay as they
    are. First undisturbed, then with SIGKILLs at random steps, each after another checkpoint. Of
    three kills or more the last takes the whole worker, the others the trainer. Then checkpoints,
    curve, lyrics and result must be the same, bit for bit.

    Takes twice as long as the job, a few seconds for each kill, and about 40 s for the worker's
    lease. Exit code 0 only if nothing differs.

    \b
    Examples:  versemill verify-resume job.toml
               versemill verify-resume --cell lstm --epochs 4 --kills 2
    """
    from versemill.cli.commands.submit import prepare
    from versemill.cli.installation import installation
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import screen

    with installation() as here:
        submission = prepare(here, file, options)
        config = replace(submission.config, trackers=())  # nobody has to follow a trial
        submission = replace(submission, config=config, name=None)  # it is submitted twice
        settings = here.settings
    with Interrupts() as interrupts, _throw_away(settings) as here, screen() as shown:
        _Proof(here, submission, shown, interrupts).run(kills)


@contextmanager
def _throw_away(settings: Settings) -> Iterator[Installation]:
    """An installation with a database of its own and no broker; gone at the end."""
    from versemill.cli.installation import Installation
    from versemill.jobs.storage.unit_of_work import Store

    with tempfile.TemporaryDirectory(prefix="versemill-") as folder:
        home = Path(folder)
        url = f"sqlite:///{home / 'versemill.db'}"
        alone = replace(
            settings,
            home=home,
            database_url=url,
            broker_url="memory://localhost",
            checkpoint_limit=None,
        )
        store = Store.open(url)
        try:
            yield Installation(settings=alone, store=store)
        finally:
            store.close()


@dataclass(frozen=True)
class _Proof:
    """Both runs, and what comes of them.

    Attributes:
        here: the throw-away installation.
        submission: the job, without a name.
    """

    here: Installation
    submission: Submission
    shown: Screen
    interrupts: Interrupts

    def run(self, kills: int) -> None:
        """Raises `VersemillError` if something differs, or if nothing could be proved."""
        undisturbed = self._run_undisturbed()
        killed, times = self._run_with_kills(undisturbed, kills)
        self._compare(undisturbed, killed, times)

    def _run_undisturbed(self) -> JobDetails:
        from versemill.cli.terminal.tables import duration

        details = self._train("undisturbed", self.here.settings)
        _require_undisturbed(details)
        self.shown.line(f"undisturbed: {duration(_seconds(details))} to step {details.job.step:,}")
        return details

    def _run_with_kills(self, undisturbed: JobDetails, kills: int) -> tuple[JobDetails, str]:
        """The job as it has ended, and how many kills it survived, in words."""
        from versemill.errors import VersemillError
        from versemill.testing.resume_proof.kills import Killer, kill_points

        seconds = _seconds(undisturbed)
        killer = Killer(kill_points(undisturbed.job.step, kills, seconds), self.shown.line)
        every = max(1, int(seconds / (kills * _CHECKPOINTS_PER_KILL)))
        every = min(every, self.here.settings.checkpoint_seconds)
        self.shown.line(f"once more, to be killed: a checkpoint every {every} s")
        settings = replace(self.here.settings, checkpoint_seconds=every)
        details = self._train("to be killed", settings, killer)
        survived = killer.survived(details)
        times = counted(survived, "kill")
        if details.job.state != "succeeded":
            raise VersemillError(
                f"not the same after {times}: the job {details.job.state}: {details.job.error}"
            )
        if not survived:
            raise VersemillError(
                f"nothing was proved: the job trains in {seconds:.1f} s, which leaves no time for "
                f"a kill between two checkpoints, {every} s apart; give it more epochs"
            )
        if survived < kills:
            self.shown.line(f"the job is too short for more than {times}")
        return details, times

    def _compare(self, undisturbed: JobDetails, killed: JobDetails, times: str) -> None:
        from versemill.errors import VersemillError
        from versemill.testing.resume_proof.comparison import first_difference, read_record

        one, other = (read_record(self.here.store, run.job.id) for run in (undisturbed, killed))
        difference = first_difference(one, other)
        if difference is not None:
            raise VersemillError(f"not the same after {times}: {difference}")
        self.shown.line(
            f"the same bit for bit after {times}: {counted(one.tensors, 'tensor')} of "
            f"{counted(len(one.checkpoints), 'checkpoint')} ({'; '.join(one.checkpoints)}), "
            f"{counted(len(one.reports), 'report')}, {counted(len(one.lyrics), 'lyric')}, "
            "and the result"
        )

    def _train(self, which: str, settings: Settings, killer: Killer | None = None) -> JobDetails:
        """Trains the job to its end and returns it.

        Raises:
            click.Abort: Ctrl-C.
            VersemillError: no worker could be started.
        """
        from versemill.cli.commands.submit import queue
        from versemill.cli.terminal.wording import status_line
        from versemill.jobs import service

        job = queue(self.here, self.submission)
        with _worker(settings, job.id) as worker:
            while True:
                details = service.details(self.here.store, job.id)
                if killer is not None:
                    killer.look(details, worker)
                if details.job.state.ended:
                    return details
                if self.interrupts.count:
                    raise click.Abort
                self.shown.status(f"{which}: {status_line(details.job)}")
                remark = worker.keep_alive()
                if remark is not None:
                    self.shown.line(f"  {remark}")
                time.sleep(_POLL_SECONDS)


@contextmanager
def _worker(settings: Settings, job_id: int) -> Iterator[TetheredWorker]:
    """A worker that ends with the job; at once, and its trainer too, when something goes wrong."""
    from versemill.jobs.service.local_worker import TetheredWorker

    with TetheredWorker(settings, job_id) as worker:
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
    """Raises `VersemillError` unless the job was trained to its end in one go."""
    from versemill.errors import VersemillError

    if details.job.state != "succeeded":
        raise VersemillError(
            f"nothing was proved: undisturbed, the job {details.job.state}: {details.job.error}"
        )
    if details.job.attempt > 1:
        first = details.attempts[0]
        raise VersemillError(
            f"nothing was proved: the undisturbed run was disturbed at step {first.last_step}, "
            f"its trainer was {first.exit or first.outcome}; try again"
        )


def _seconds(details: JobDetails) -> float:
    """How long the one attempt took."""
    (attempt,) = details.attempts
    assert attempt.ended_at is not None  # noqa: S101 - the job has ended
    return (attempt.ended_at - attempt.started_at).total_seconds()
