"""`run`: submit, work on this job alone, follow it, all in one process tree."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.exit_codes import INTERRUPTED
from versemill.cli.job_options import changed_epochs, job_options, job_table

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
    from versemill.cli.installation import installation, note_all
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.jobs import service

    with installation() as here:
        if source is not None and not _is_file(source):
            _refuse_new_settings(options)
            known = here.job(source)
            with Interrupts() as interrupts:
                queued = service.carry_on(
                    here.store,
                    known.id,
                    here.principal,
                    inexact=inexact,
                    accept_change=accept_change,
                    wake=here.wake,
                    **changed_epochs(options["epochs"]),
                )
                note_all(queued.notices)
                ctx.exit(train_here(here, queued.job, interrupts))
        table = job_table(None if source is None else Path(source), options)
        submission = service.prepare(here.store, table, corpus_limit=here.settings.corpus_limit)
        with Interrupts() as interrupts:  # from here on Ctrl-C pauses what was submitted
            queued = service.enqueue(here.store, submission, here.principal, wake=here.wake)
            note_all(queued.notices)
            ctx.exit(train_here(here, queued.job, interrupts))


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


def train_here(here: Installation, job: JobView, interrupts: Interrupts) -> int:
    """Starts a worker for this job, follows until the job has stopped; returns the exit code."""
    from versemill.cli.installation import note
    from versemill.cli.terminal.screen import screen
    from versemill.cli.terminal.wording import ending
    from versemill.jobs.service.local_worker import TetheredWorker

    click.echo(f"job {job.id} ({job.name}), {job.epochs} epochs")
    with TetheredWorker(here.settings, job.id) as worker:
        with screen() as shown:
            job = _followed(here, job, worker, interrupts, shown)
        if interrupts.count > 1:
            worker.leave()
            note(f"job {job.id} ({job.name}) is handed over; `versemill run {job.id}` carries on")
            return INTERRUPTED
    note(ending(job))
    if job.state == "paused" and interrupts.count:
        return INTERRUPTED
    return 0 if job.state == "succeeded" else 1


def _followed(
    here: Installation,
    job: JobView,
    worker: TetheredWorker,
    interrupts: Interrupts,
    shown: Screen,
) -> JobView:
    """Follows until the job has stopped, or until Ctrl-C was pressed twice."""
    from versemill.cli.follow import NewsOnScreen
    from versemill.jobs.service.following import follow

    on_screen = NewsOnScreen(shown)
    asked = False
    for news in follow(here.store, job):
        on_screen.show(news)
        job = news.job
        if news.stopped or interrupts.count > 1:
            break
        if interrupts.count and not asked:
            asked = True
            _pause(here, job)
            shown.line("pausing: waiting for the checkpoint; Ctrl-C once more leaves at once")
            continue
        restarted = worker.keep_alive()
        if restarted is not None:
            shown.line(str(restarted))
    return job


def _pause(here: Installation, job: JobView) -> None:
    """Asks for a pause; a job that has just ended needs none."""
    from versemill.errors import JobStateError
    from versemill.jobs import service

    with contextlib.suppress(JobStateError):
        service.request_pause(here.store, job.id, here.principal)
