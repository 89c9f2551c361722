"""`pause`: stops jobs for now, a running one after a checkpoint."""

from __future__ import annotations

import click


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.pass_context
def pause(ctx: click.Context, /, jobs: tuple[str, ...]) -> None:
    """Pause jobs; a running one stops after a checkpoint.

    The name of an array means all its jobs.

    \b
    Example:  versemill pause @last
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import request
    from versemill.jobs import service

    with installation() as here:
        code = request(here, jobs, service.request_pause, "paused")
    ctx.exit(code)
