"""`run`: submit, work on this job alone, follow it, all in one process tree."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.commands.submit import EpochsChange, job_options
from versemill.cli.exit_codes import INTERRUPTED

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
            known = here.job(source)
            allowed = {"inexact": inexact, "accept_change": accept_change}
            with Interrupts() as interrupts:
                job = _carried_on(here, known, options["epochs"], allowed)
                ctx.exit(train_here(here, job, interrupts))
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
    from versemill.cli.follow import POLL_SECONDS, Follower

    follower = Follower(here, job, shown)
    asked = False
    while True:
        job = follower.poll()
        if job.state.ended or job.state == "paused" or interrupts.count > 1:
            return job
        if interrupts.count and not asked:
            asked = True
            _pause(here, job)
            shown.line("pausing: waiting for the checkpoint; Ctrl-C once more leaves at once")
            continue
        remark = worker.keep_alive()
        if remark is not None:
            shown.line(remark)
        time.sleep(POLL_SECONDS)


def _pause(here: Installation, job: JobView) -> None:
    """Asks for a pause; a job that has just ended needs none."""
    from versemill.errors import JobStateError
    from versemill.jobs import service

    with contextlib.suppress(JobStateError):
        service.request_pause(here.store, job.id, here.settings.user)
