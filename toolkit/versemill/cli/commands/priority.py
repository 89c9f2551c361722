"""`priority`: changes how urgent a job is that waits."""

from __future__ import annotations

import click

from versemill.cli.job_options import PRIORITIES
from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import label


@click.command()
@click.argument("job")
@click.argument("priority", type=PRIORITIES)
def priority(job: str, priority: str) -> None:
    """Change how urgent a job is that waits: low, normal, high or urgent.

    It keeps the time it has waited. Urgent is for admins, and for members up to a limit.

    \b
    Example:  versemill priority my-job high
    """
    from versemill.cli.installation import installation, note_all, note_waiting
    from versemill.jobs import service
    from versemill.jobs.states import Priority

    with installation() as here:
        queued = service.set_priority(
            here.store, here.job(job).id, Priority(priority), here.principal, wake=here.wake
        )
        note_all(queued.notices)
        say(f"{label(queued.job)} has priority {queued.job.priority}")
        note_waiting(here, queued.job)
