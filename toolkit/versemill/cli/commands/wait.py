"""`wait`: until a job has ended."""

from __future__ import annotations

import time

import click

from versemill.cli.terminal.output import say
from versemill.cli.terminal.wording import label

_POLL_SECONDS = 0.5


@click.command()
@click.argument("job")
@click.option("--timeout", type=click.FloatRange(0), help="Give up after so many seconds.")
@click.pass_context
def wait(ctx: click.Context, job: str, timeout: float | None) -> None:
    """Wait until a job has ended.

    Exit code 0 only if it succeeded.

    \b
    Example:  versemill wait my-job --timeout 3600 && versemill lyrics my-job
    """
    from versemill.cli.installation import ending_text, installation, note_waiting
    from versemill.errors import JobStateError
    from versemill.jobs import service

    end = None if timeout is None else time.monotonic() + timeout
    with installation() as here:
        found = here.job(job)
        note_waiting(here, found)
        while not found.state.ended and found.state != "paused":
            if end is not None and time.monotonic() >= end:
                raise JobStateError(
                    f"{label(found)} is still {found.state_shown} after {timeout:g} s"
                )
            time.sleep(_POLL_SECONDS)
            found = service.find(here.store, str(found.id))
        ending = ending_text(here, found)
    say(ending)
    ctx.exit(0 if found.state == "succeeded" else 1)
