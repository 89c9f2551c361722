"""`cancel`: stops jobs for good, a running one after a checkpoint."""

from __future__ import annotations

import click


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.pass_context
def cancel(ctx: click.Context, /, jobs: tuple[str, ...]) -> None:
    """Cancel jobs.

    A running one keeps its last checkpoint and can be retried. The name of an array
    means all its jobs.

    \b
    Example:  versemill cancel 3 4
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import request
    from versemill.jobs import service

    with installation() as here:
        code = request(here, jobs, service.request_cancel, "cancelled")
    ctx.exit(code)
