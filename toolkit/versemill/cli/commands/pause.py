"""`pause`: stops jobs for now, a running one after a checkpoint."""

from __future__ import annotations

import click

from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import asked


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
            state = service.request_pause(here.store, found.id, here.principal)
            say(asked(found, state, "paused"))
