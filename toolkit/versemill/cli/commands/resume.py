"""`resume`: queues a paused job again, or a finished one with more epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from versemill.cli.job_options import EPOCHS, changed_epochs

if TYPE_CHECKING:
    from versemill.cli.job_options import EpochsChange


@click.command()
@click.argument("job")
@click.option("--epochs", type=EPOCHS, help="New total of epochs, or +N more.")
@click.option("--inexact", is_flag=True, help="Even on a machine that computes in another way.")
@click.option("--accept-change", is_flag=True, help="Even with other versions of its plugins.")
@click.pass_context
def resume(
    ctx: click.Context,
    /,
    job: str,
    epochs: EpochsChange | None,
    inexact: bool,
    accept_change: bool,
) -> None:
    """Carry on a paused job, or a finished one.

    A finished one needs more epochs. Workers take it up when its turn has come. The name of an
    array means all its jobs.

    \b
    Example:  versemill resume my-job --epochs +50
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import requeue
    from versemill.jobs import service

    with installation() as here:
        code = requeue(
            here,
            job,
            lambda found: service.resume(
                here.store,
                found.id,
                here.principal,
                inexact=inexact,
                accept_change=accept_change,
                wake=here.wake,
                **changed_epochs(epochs),
            ),
        )
    ctx.exit(code)
