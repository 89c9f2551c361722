"""`rm`: deletes jobs and all that belongs to them."""

from __future__ import annotations

import sys

import click

from versemill.cli.terminal.wording import label
from versemill.escaping import one_line
from versemill.phrases import counted, listed


@click.command()
@click.argument("jobs", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_context
def rm(ctx: click.Context, /, jobs: tuple[str, ...], yes: bool) -> None:
    """Delete jobs and all that belongs to them.

    The name of an array means all its jobs.

    \b
    Example:  versemill rm 3 4 --yes
    """
    from versemill.cli.installation import installation
    from versemill.cli.steering import remove

    with installation() as here:
        meant = [here.jobs(key) for key in jobs]
        found = list({job.id: job for each in meant for job in each.jobs}.values())
        if not yes and sys.stdin.isatty():
            names = listed([each.array or label(each.jobs[0]) for each in meant])
            number = counted(len(found), "job")
            click.confirm(f"delete {one_line(names)} ({number}) for good?", abort=True, err=True)
        code = remove(here, meant)
    ctx.exit(code)
