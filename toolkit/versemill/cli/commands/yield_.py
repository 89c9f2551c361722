"""`yield`: lets running jobs make room for those that wait."""

from __future__ import annotations

import click

from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import asked


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
            state = service.request_yield(here.store, found.id, here.principal)
            say(asked(found, state, "queued again"))
