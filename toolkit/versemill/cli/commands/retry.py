"""`retry`: queues a failed or cancelled job again."""

from __future__ import annotations

import click


@click.command()
@click.argument("job")
@click.option("--from-scratch", is_flag=True, help="Forget checkpoints, curve and lyrics.")
@click.option("--inexact", is_flag=True, help="Even on a machine that computes in another way.")
@click.option("--accept-change", is_flag=True, help="Even with other versions of its plugins.")
@click.pass_context
def retry(
    ctx: click.Context, /, job: str, from_scratch: bool, inexact: bool, accept_change: bool
) -> None:
    """Queue a failed or cancelled job again.

    It goes on from its last checkpoint. The name of an array means all its jobs.

    \b
    Example:  versemill retry 3
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import requeue
    from versemill.jobs import service

    with installation() as here:
        code = requeue(
            here,
            job,
            lambda found, wake: service.retry(
                here.store,
                found.id,
                here.principal,
                from_scratch=from_scratch,
                inexact=inexact,
                accept_change=accept_change,
                wake=wake,
            ),
        )
    ctx.exit(code)
