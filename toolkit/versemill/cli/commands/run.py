"""`run`: submit, work on this job alone, follow it, all in one process tree."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.exit_codes import INTERRUPTED
from versemill.cli.job_options import changed_epochs, job_options, job_source
from versemill.cli.terminal.output import say
from versemill.errors import VersemillError
from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import Screen
    from versemill.jobs.service.local_worker import LocalWorker
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
    from versemill.cli.installation import installation, note_all
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.jobs import service
    from versemill.jobs.service.local_fit import require_fit

    with installation() as here:
        if source is not None and not _is_file(source):
            _refuse_new_settings(options)
            known, devices = require_fit(
                here.store, here.job(source), inexact=inexact, accept_change=accept_change
            )
            with Interrupts() as interrupts:
                queued = service.resume_or_retry(
                    here.store,
                    known.id,
                    here.principal,
                    inexact=inexact,
                    accept_change=accept_change,
                    wake=here.wake,
                    **changed_epochs(options["epochs"]),
                )
                note_all(queued.notices)
                waited = known.state == "queued"
                ctx.exit(train_here(here, queued.job, interrupts, devices=devices, waited=waited))
        described = job_source(None if source is None else Path(source), options)
        submission = service.prepare(
            here.store,
            described.table,
            here.sources(described.named),
            based_on=here.job_id(described.base),
        )
        with Interrupts() as interrupts:  # from here on Ctrl-C pauses what was submitted
            queued = service.enqueue(here.store, submission, here.principal, wake=here.wake)
            note_all(queued.notices)
            ctx.exit(train_here(here, queued.job, interrupts))


def _is_file(source: str) -> bool:
    return source.endswith(".toml") or "/" in source or Path(source).is_file()


def _refuse_new_settings(options: dict[str, Any]) -> None:
    given = [key for key, value in options.items() if value not in (None, ()) and key != "epochs"]
    if given:
        names = {"base": "from", "prefixes": "prefix", "settings": "set", "trackers": "track"}
        option = names.get(given[0], given[0])
        raise click.UsageError(
            f"--{option} cannot change a job that is there already; only --epochs can."
        )


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
    from versemill.cli.installation import ending_text, note
    from versemill.cli.terminal.streams import LOST, output_trouble
    from versemill.jobs.service.local_worker import LocalWorker

    trouble = ""
    with LocalWorker(here.settings, job.id, devices=devices) as worker:
        follow = _Following(here, job, worker, interrupts, waited=waited)
        try:
            say(f"job {job.id} ({job.name}), {counted(job.epochs, 'epoch')}")
            job = follow.shown()
        except LOST as error:
            trouble = output_trouble(error)
            job = follow.paused()
        if interrupts.count > 1:
            worker.leave()
            note(f"job {job.id} ({job.name}) is handed over; `versemill run {job.id}` carries on")
            return INTERRUPTED
    if trouble:
        raise VersemillError(f"{trouble}; {ending_text(here, job)}")
    note(ending_text(here, job))
    if job.state == "paused" and interrupts.count:
        return INTERRUPTED
    return 0 if job.state == "succeeded" else 1


class _Following:
    """Follows a job until it has stopped, or until Ctrl-C was pressed twice."""

    def __init__(
        self,
        here: Installation,
        job: JobView,
        worker: LocalWorker,
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
        from versemill.cli.follow import NewsOnScreen
        from versemill.jobs.service.following import follow

        on_screen = NewsOnScreen(shown)
        for news in follow(self._here.store, self._job):
            on_screen.show(news)
            self._job = news.job
            if news.stopped or self._interrupts.count > 1:
                break
            if self._interrupts.count and not self._asked:
                self._pause()
                shown.line("pausing: waiting for the checkpoint; Ctrl-C once more leaves at once")
                continue
            self._require_plugins(news.job)
            restarted = self._worker.restart_if_ended()
            if restarted is not None:
                shown.line(str(restarted))
        return self._job

    def _require_plugins(self, job: JobView) -> None:
        """Gives up a job that was handed back, since its checkpoint needs what is not here.

        Raises:
            JobStateError: it is; the job is as it was.
        """
        from versemill.errors import JobStateError
        from versemill.jobs import service
        from versemill.jobs.service.local_fit import require_plugins

        if job.state != "queued" or job.attempt == self._attempts:
            return
        self._attempts = job.attempt
        try:
            require_plugins(service.details(self._here.store, job.id))
        except JobStateError:
            if not self._waited:
                self._pause()
            raise

    def _pause(self) -> None:
        """Asks for a pause; a job that has just ended needs none."""
        from versemill.errors import JobStateError
        from versemill.jobs import service

        self._asked = True
        with contextlib.suppress(JobStateError):
            service.request_pause(self._here.store, self._job.id, self._here.principal)
