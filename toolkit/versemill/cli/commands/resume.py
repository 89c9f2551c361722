"""`resume`: queues a paused job again, or a finished one with more epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from versemill.cli.job_options import EPOCHS, changed_epochs
from versemill.cli.times import duration

if TYPE_CHECKING:
    from versemill.cli.job_options import EpochsChange


@click.command()
@click.argument("job")
@click.option("--epochs", type=EPOCHS, help="New total of epochs, or +N more.")
@click.option("--time-limit", metavar="TIME", help="New limit of device time in all: 2h, 30m.")
@click.option("--inexact", is_flag=True, help="Even on a machine that computes in another way.")
@click.option("--accept-change", is_flag=True, help="Even with other versions of its plugins.")
@click.pass_context
def resume(
    ctx: click.Context,
    /,
    job: str,
    epochs: EpochsChange | None,
    time_limit: str | None,
    inexact: bool,
    accept_change: bool,
) -> None:
    """Carry on a paused job, or a finished one.

    A finished one needs more epochs, and one that its time limit ended a higher limit. Workers
    take it up when its turn has come. The name of an array means all its jobs.

    \b
    Example:  versemill resume my-job --epochs +50
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import requeue
    from versemill.jobs import service

    limit = None if time_limit is None else duration(time_limit, "--time-limit")
    with installation() as here:
        code = requeue(
            here,
            job,
            lambda found, wake: service.resume(
                here.store,
                found.id,
                here.principal,
                inexact=inexact,
                time_limit=limit,
                accept_change=accept_change,
                wake=wake,
                **changed_epochs(epochs),
            ),
        )
    ctx.exit(code)
