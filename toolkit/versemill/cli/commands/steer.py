"""Steering jobs: wait, pause, yield, resume, cancel, retry, rm."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from versemill.cli.commands.submit import EPOCHS, EpochsChange
from versemill.cli.terminal.wording import ending, label

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.states import State
    from versemill.jobs.views import JobView

_POLL_SECONDS = 0.5


@click.command()
@click.argument("job")
@click.option("--timeout", type=click.FloatRange(0), help="Give up after so many seconds.")
@click.pass_context
def wait(ctx: click.Context, job: str, timeout: float | None) -> None:
    """Wait until a job has ended.

    Exit code 0 only if it succeeded.

    \b
    Example:  versemill wait my-job --timeout 3600 && versemill lyrics my-job
    """
    from versemill.cli.installation import installation, note_waiting
    from versemill.cli.terminal.tables import harmless
    from versemill.errors import JobStateError
    from versemill.jobs import service

    end = None if timeout is None else time.monotonic() + timeout
    with installation() as here:
        found = here.job(job)
        note_waiting(here, found)
        while not found.state.ended and found.state != "paused":
            if end is not None and time.monotonic() >= end:
                raise JobStateError(
                    f"{label(found)} is still {found.state_shown} after {timeout:g} s"
                )
            time.sleep(_POLL_SECONDS)
            found = service.find(here.store, str(found.id))
    click.echo(harmless(ending(found)))
    ctx.exit(0 if found.state == "succeeded" else 1)


@click.command()
@click.argument("jobs", nargs=-1, required=True)
def cancel(jobs: tuple[str, ...]) -> None:
    """Cancel jobs.

    A running one keeps its last checkpoint and can be retried.

    \b
    Example:  versemill cancel 3 4
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        for key in jobs:
            found = here.job(key)
            state = service.request_cancel(here.store, found.id, here.settings.user)
            click.echo(_asked(found, state, "cancelled"))


@click.command()
@click.argument("jobs", nargs=-1, required=True)
def pause(jobs: tuple[str, ...]) -> None:
    """Pause jobs; a running one stops after a checkpoint.

    \b
    Example:  versemill pause @last
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        for key in jobs:
            found = here.job(key)
            state = service.request_pause(here.store, found.id, here.settings.user)
            click.echo(_asked(found, state, "paused"))


@click.command("yield")
@click.argument("jobs", nargs=-1, required=True)
def yield_(jobs: tuple[str, ...]) -> None:
    """Let running jobs make room for those that wait.

    Each is checkpointed and queued again, behind the others.

    \b
    Example:  versemill yield my-long-job
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        for key in jobs:
            found = here.job(key)
            state = service.request_yield(here.store, found.id, here.settings.user)
            click.echo(_asked(found, state, "queued again"))


@click.command()
@click.argument("job")
@click.option("--epochs", type=EPOCHS, help="New total of epochs, or +N more.")
@click.option("--inexact", is_flag=True, help="Even on a machine that computes in another way.")
@click.option("--accept-change", is_flag=True, help="Even with other versions of its plugins.")
def resume(job: str, epochs: EpochsChange | None, inexact: bool, accept_change: bool) -> None:
    """Carry on a paused job, or a finished one.

    A finished one needs more epochs. Workers take it up when its turn has come.

    \b
    Example:  versemill resume my-job --epochs +50
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        found = here.job(job)
        view = service.resume(
            here.store,
            found.id,
            here.settings.user,
            epochs=None if epochs is None else epochs.total(found.epochs),
            inexact=inexact,
            accept_change=accept_change,
            wake=here.wake,
        )
        _queued(here, view)


@click.command()
@click.argument("job")
@click.option("--from-scratch", is_flag=True, help="Forget checkpoints, curve and lyrics.")
@click.option("--inexact", is_flag=True, help="Even on a machine that computes in another way.")
@click.option("--accept-change", is_flag=True, help="Even with other versions of its plugins.")
def retry(job: str, from_scratch: bool, inexact: bool, accept_change: bool) -> None:
    """Queue a failed or cancelled job again.

    It goes on from its last checkpoint.

    \b
    Example:  versemill retry 3
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        view = service.retry(
            here.store,
            here.job(job).id,
            here.settings.user,
            from_scratch=from_scratch,
            inexact=inexact,
            accept_change=accept_change,
            wake=here.wake,
        )
        _queued(here, view)


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(jobs: tuple[str, ...], yes: bool) -> None:
    """Delete jobs and all that belongs to them.

    \b
    Example:  versemill rm 3 4 --yes
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        found = list({job.id: job for job in map(here.job, jobs)}.values())
        if not yes and sys.stdin.isatty():
            names = ", ".join(label(job) for job in found)
            click.confirm(f"delete {names} for good?", abort=True, err=True)
        for job in found:
            service.remove(here.store, job.id)
            click.echo(f"removed {label(job)}")


def _asked(job: JobView, state: State, participle: str) -> str:
    if state == "running":
        return f"{label(job)} is running: it will be {participle} after a checkpoint"
    return f"{label(job)} is {state}"


def _queued(here: Installation, job: JobView) -> None:
    from versemill.cli.installation import note_waiting

    click.echo(f"{label(job)} is queued, at epoch {job.epoch} of {job.epochs}")
    note_waiting(here, job)
