"""`rm`: deletes jobs and all that belongs to them."""

from __future__ import annotations

import sys

import click

from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import label
from versemill.escaping import one_line


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def rm(jobs: tuple[str, ...], yes: bool) -> None:
    """Delete jobs and all that belongs to them.

    \b
    Example:  versemill rm 3 4 --yes
    """
    from versemill.cli.installation import installation
    from versemill.jobs import service

    with installation() as here:
        found = list({job.id: job for job in map(here.job, jobs)}.values())
        if not yes and sys.stdin.isatty():
            names = ", ".join(label(job) for job in found)
            click.confirm(f"delete {one_line(names)} for good?", abort=True, err=True)
        for job in found:
            service.remove(here.store, job.id, here.principal)
            say(f"removed {label(job)}")
