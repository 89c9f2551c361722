"""`yield`: lets running jobs make room for those that wait."""

from __future__ import annotations

import click


@click.command("yield")
@click.argument("jobs", nargs=-1, required=True)
@click.pass_context
def yield_(ctx: click.Context, /, jobs: tuple[str, ...]) -> None:
    """Let running jobs make room for those that wait.

    Each is checkpointed and queued again, behind the others. The name of an array means
    all its jobs.

    \b
    Example:  versemill yield my-long-job
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import request
    from versemill.jobs import service

    with installation() as here:
        code = request(here, jobs, service.request_yield, "queued again")
    ctx.exit(code)
