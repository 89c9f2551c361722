"""`logs`: what a job's trainers printed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say_text

if TYPE_CHECKING:
    from versemill.cli.installation import Installation

_POLL_SECONDS = 0.5


@click.command()
@click.argument("job")
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the job has ended.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list, one object per attempt.")
def logs(job: str, follow: bool, as_json: bool) -> None:
    """Print what a job's trainers have printed.

    The last 64 KiB of each attempt are kept.

    \b
    Example:  versemill logs -f my-job
    """
    from versemill.cli.installation import installation, note
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs import service

    with installation() as here:
        found = here.job(job)
        if as_json:
            print_json([view.to_json() for view in service.output(here.store, found.id)])
            return
        printed = _print_output(here, found.id, {})
        while follow and not found.state.ended and found.state != "paused":
            time.sleep(_POLL_SECONDS)
            found = service.find(here.store, str(found.id))
            printed = _print_output(here, found.id, printed)
        if not any(printed.values()):
            note(f"job {found.id} ({found.name}) has printed nothing; state: {found.state_shown}")


def _print_output(here: Installation, job_id: int, printed: dict[int, str]) -> dict[int, str]:
    """Prints what is new of each attempt, and returns what has been printed."""
    from versemill.cli.installation import note
    from versemill.jobs import service

    now: dict[int, str] = {}
    for view in service.output(here.store, job_id):
        before = printed.get(view.attempt, "")
        if view.output and not before:
            note(f"--- attempt {view.attempt} on {view.worker}")
        fresh = _added(before, view.output).replace("\r\n", "\n")
        say_text(fresh, end="")
        now[view.attempt] = view.output
    return now


def _added(before: str, after: str) -> str:
    """What came after `before`, of which the database may have dropped the head."""
    if after.startswith(before):
        return after[len(before) :]
    tail = before[-1024:]
    at = after.rfind(tail)
    return after[at + len(tail) :] if at >= 0 else after
