"""`run`: submit, work on this job alone, follow it, all in one process tree."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.commands.submit import EpochsChange, job_options
from versemill.cli.exit_codes import INTERRUPTED
from versemill.errors import VersemillError
from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import Screen
    from versemill.jobs.service.local_worker import TetheredWorker
    from versemill.jobs.views import JobView


@click.command()
@click.argument("source", required=False, metavar="[JOB.toml | JOB]")
@job_options
@click.option("--inexact", is_flag=True, help="Carry on even if this machine computes otherwise.")
@click.option("--accept-change", is_flag=True, help="Carry on with other versions of its plugins.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    source: str | None,
    inexact: bool,
    accept_change: bool,
    **options: Any,
) -> None:
    """Train a job here and now, and follow it.

    With a job file or options: a new job. With the id or name of a job (or @last): carry it on,
    be it paused, failed, cancelled, or finished and wanting more epochs. Ctrl-C leaves the job
    paused, after a checkpoint. Exit code 0 only if the job succeeds.

    \b
    Examples:  versemill run --corpus lyrics.txt --cell gru --prefix 分开
               versemill run job.toml --set training.epochs=5
               versemill run @last --epochs +50
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.interrupts import Interrupts

    with installation() as here:
        if source is not None and not _is_file(source):
            _refuse_new_settings(options)
            from versemill.cli.local_fit import require_fit

            allowed = {"inexact": inexact, "accept_change": accept_change}
            known, devices = require_fit(here, here.job(source), **allowed)
            with Interrupts() as interrupts:
                job = _carried_on(here, known, options["epochs"], allowed)
                waited = known.state == "queued"
                ctx.exit(train_here(here, job, interrupts, devices=devices, waited=waited))
        from versemill.cli.commands.submit import prepare, queue

        submission = prepare(here, None if source is None else Path(source), options)
        with Interrupts() as interrupts:  # from here on Ctrl-C pauses what was submitted
            job = queue(here, submission)
            ctx.exit(train_here(here, job, interrupts))


def _is_file(source: str) -> bool:
    return source.endswith(".toml") or "/" in source or Path(source).is_file()


def _refuse_new_settings(options: dict[str, Any]) -> None:
    given = [key for key, value in options.items() if value not in (None, ()) and key != "epochs"]
    if given:
        names = {"prefixes": "prefix", "settings": "set", "trackers": "track"}
        option = names.get(given[0], given[0])
        raise click.UsageError(
            f"--{option} cannot change a job that is there already; only --epochs can."
        )


def _carried_on(
    here: Installation, job: JobView, epochs: EpochsChange | None, allowed: dict[str, bool]
) -> JobView:
    """Queues a job again that had stopped; leaves one alone that waits or runs.

    Whatever a waiting one is newly allowed reaches it by a pause.
    """
    from versemill.errors import JobStateError
    from versemill.jobs import service

    label = f"job {job.id} ({job.name})"
    user = here.settings.user
    total = None if epochs is None else epochs.total(job.epochs)
    paused = job.state == "paused"
    if job.state == "queued" and any(allowed.values()):
        paused = service.request_pause(here.store, job.id, user) == "paused"
    if paused or job.state == "succeeded":
        return service.resume(here.store, job.id, user, epochs=total, wake=here.wake, **allowed)
    if total is not None:
        raise JobStateError(
            f"{label} is {job.state_shown}; only paused and succeeded jobs can get other epochs"
        )
    if job.state in {"failed", "cancelled"}:
        return service.retry(here.store, job.id, user, wake=here.wake, **allowed)
    return job


def train_here(
    here: Installation,
    job: JobView,
    interrupts: Interrupts,
    *,
    devices: str = "auto",
    waited: bool = False,
) -> int:
    """Starts a worker for this job, and follows until the job has stopped.

    Args:
        here: the installation.
        job: a job that is queued.
        interrupts: counts Ctrl-C.
        devices: those of the worker.
        waited: whether the job was queued before, and is left so if this worker cannot take it.

    Returns:
        The exit code.

    Raises:
        VersemillError: standard output cannot be written, and the job has been paused; or it turns
            out that this worker lacks a plugin.
    """
    from versemill.cli.installation import note
    from versemill.cli.terminal.streams import LOST, output_trouble
    from versemill.cli.terminal.wording import ending
    from versemill.jobs.service.local_worker import TetheredWorker

    trouble = ""
    with TetheredWorker(here.settings, job.id, devices=devices) as worker:
        follow = _Following(here, job, worker, interrupts, waited=waited)
        try:
            click.echo(f"job {job.id} ({job.name}), {counted(job.epochs, 'epoch')}")
            job = follow.shown()
        except LOST as error:
            trouble = output_trouble(error)
            job = follow.paused()
        if interrupts.count > 1:
            worker.leave()
            note(f"job {job.id} ({job.name}) is handed over; `versemill run {job.id}` carries on")
            return INTERRUPTED
    if trouble:
        raise VersemillError(f"{trouble}; {ending(job)}")
    note(ending(job))
    if job.state == "paused" and interrupts.count:
        return INTERRUPTED
    return 0 if job.state == "succeeded" else 1


class _Following:
    """Follows a job until it has stopped, or until Ctrl-C was pressed twice."""

    def __init__(
        self,
        here: Installation,
        job: JobView,
        worker: TetheredWorker,
        interrupts: Interrupts,
        *,
        waited: bool,
    ) -> None:
        self._here = here
        self._job = job
        self._worker = worker
        self._interrupts = interrupts
        self._waited = waited
        self._asked = False  # for a pause
        self._attempts = job.attempt

    def shown(self) -> JobView:
        """Shows what happens; the first Ctrl-C pauses the job."""
        from versemill.cli.terminal.screen import screen

        with screen() as shown:
            return self._follow(shown)

    def paused(self) -> JobView:
        """Pauses the job, and shows nothing."""
        from versemill.cli.terminal.screen import NoScreen

        self._pause()
        return self._follow(NoScreen())

    def _follow(self, shown: Screen) -> JobView:
        from versemill.cli.follow import POLL_SECONDS, Follower

        follower = Follower(self._here, self._job, shown)
        while True:
            job = follower.poll()
            if job.state.ended or job.state == "paused" or self._interrupts.count > 1:
                return job
            if self._interrupts.count and not self._asked:
                self._pause()
                shown.line("pausing: waiting for the checkpoint; Ctrl-C once more leaves at once")
                continue
            self._require_plugins(job)
            remark = self._worker.keep_alive()
            if remark is not None:
                shown.line(remark)
            time.sleep(POLL_SECONDS)

    def _require_plugins(self, job: JobView) -> None:
        """Gives up a job that was handed back, since its checkpoint needs what is not here.

        Raises:
            JobStateError: it is; the job is as it was.
        """
        from versemill.cli.local_fit import missing_plugins
        from versemill.errors import JobStateError
        from versemill.jobs import service

        if job.state != "queued" or job.attempt == self._attempts:
            return
        self._attempts = job.attempt
        missing = missing_plugins(service.details(self._here.store, job.id))
        if missing is not None:
            if not self._waited:
                self._pause()
            raise JobStateError(missing)

    def _pause(self) -> None:
        """Asks for a pause; a job that has just ended needs none."""
        from versemill.errors import JobStateError
        from versemill.jobs import service

        self._asked = True
        with contextlib.suppress(JobStateError):
            service.request_pause(self._here.store, self._job.id, self._here.settings.user)
