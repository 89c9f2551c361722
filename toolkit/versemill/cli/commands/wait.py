"""`wait`: until a job has ended."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from versemill.cli.installation import Installation
    from versemill.jobs.service import JobsMeant
    from versemill.jobs.views import JobView

_POLL_SECONDS = 0.5


@click.command()
@click.argument("job")
@click.option("--timeout", type=click.FloatRange(0), help="Give up after so many seconds.")
@click.pass_context
def wait(ctx: click.Context, job: str, timeout: float | None) -> None:
    """Wait until a job has ended.

    Exit code 0 only if it succeeded. The name of an array means all its jobs.

    \b
    Example:  versemill wait my-job --timeout 3600 && versemill lyrics my-job
    """
    from versemill.cli.installation import installation, note_waiting
    from versemill.errors import JobStateError

    end = None if timeout is None else time.monotonic() + timeout
    with installation() as here:
        meant = here.jobs(job)
        found = _open(meant.jobs)
        if meant.array is None:
            note_waiting(here, meant.jobs[0])
        while found:
            if end is not None and time.monotonic() >= end:
                raise JobStateError(f"{_still(found)} after {timeout:g} s")
            time.sleep(_POLL_SECONDS)
            meant = here.jobs(job) if meant.array else here.jobs(str(meant.jobs[0].id))
            found = _open(meant.jobs)
        ending = _ending(here, meant)
    say(ending)
    ctx.exit(0 if all(each.state == "succeeded" for each in meant.jobs) else 1)


def _open(jobs: Iterable[JobView]) -> list[JobView]:
    """Those that neither have ended nor are paused."""
    return [job for job in jobs if not job.state.ended and job.state != "paused"]


def _still(jobs: list[JobView]) -> str:
    more = f", and {len(jobs) - 1:,} more are not over," if len(jobs) > 1 else ""
    return f"{label(jobs[0])} is still {jobs[0].state_shown}{more}"


def _ending(here: Installation, meant: JobsMeant) -> str:
    from versemill.cli.installation import ending_text

    if meant.array is None:
        return ending_text(here, meant.jobs[0])
    counts = Counter(job.state for job in meant.jobs)
    states = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    return (
        f"array {meant.array}: {states}; `versemill jobs --array {meant.array} --sort loss` ranks "
        "them"
    )
