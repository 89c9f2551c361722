"""`cancel`: stops jobs for good, a running one after a checkpoint."""

from __future__ import annotations

import click

from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import asked


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
            state = service.request_cancel(here.store, found.id, here.principal)
            say(asked(found, state, "cancelled"))
