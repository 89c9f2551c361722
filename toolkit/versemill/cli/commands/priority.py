"""`priority`: changes how urgent a job is that waits."""

from __future__ import annotations

import click

from versemill.cli.job_options import PRIORITIES


@click.command()
@click.argument("job")
@click.argument("priority", type=PRIORITIES)
@click.pass_context
def priority(ctx: click.Context, /, job: str, priority: str) -> None:
    """Change how urgent a job is that waits: low, normal, high or urgent.

    It keeps the time it has waited. Urgent is for admins, and for members up to a limit.
    The name of an array means all its jobs.

    \b
    Example:  versemill priority my-job high
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import prioritize
    from versemill.jobs import service
    from versemill.jobs.states import Priority

    wanted = Priority(priority)
    with installation() as here:
        code = prioritize(
            here,
            job,
            lambda found, wake: service.set_priority(
                here.store, found.id, wanted, here.principal, wake=wake
            ),
        )
    ctx.exit(code)
