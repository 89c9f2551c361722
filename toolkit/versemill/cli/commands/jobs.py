"""`jobs`: what there is, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say, say_text

if TYPE_CHECKING:
    from versemill.jobs.views import JobView

_SHOWN = 50
STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
_HEADER = (
    "ID", "NAME", "STATE", "CORPUS", "CELL", "EPOCH", "TRAINING", "VALIDATION", "LEFT", "CREATED"
)  # fmt: skip


@click.command()
@click.option("--limit", type=click.IntRange(1, 2**31), help="At most; 50 without --json.")
@click.option("--all", "everything", is_flag=True, help="However many there are.")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these.")
@click.option("--mine", is_flag=True, help="Only those that you submitted.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def jobs(
    limit: int | None, everything: bool, states: tuple[str, ...], mine: bool, as_json: bool
) -> None:
    """List jobs, newest first.

    TRAINING is perplexity on the training text, which alone only shows memorising; VALIDATION is
    on text held out. Both are per character. WAITS tells the place of a waiting job in the queue,
    why it waits, and from when to when it is expected to start.

    \b
    Example:  versemill jobs --state running --state queued
    """
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs.states import State
    from versemill.jobs.storage import job_listing
    from versemill.jobs.waiting.queue_listing import with_outlook
    from versemill.settings import Settings

    settings = Settings.from_environment()
    most = None if everything else limit or (None if as_json else _SHOWN)
    wanted = [State(state) for state in states] or None
    owner = settings.user if mine else None
    url = settings.database_url
    found = job_listing.jobs(url, limit=most, states=wanted, owner=owner, outlook=with_outlook)
    if found is None:
        from versemill.cli.installation import installation
        from versemill.jobs import service

        with installation() as here:
            found = service.jobs(here.store, limit=most, states=wanted, owner=owner)
    if as_json:
        print_json([job.to_json() for job in found])
    elif found:
        say_text(_table(found))
    elif states or mine:
        say("no such jobs; `versemill jobs` lists them all", err=True)
    else:
        say("no jobs yet; try `versemill demo`", err=True)


def _table(found: list[JobView]) -> str:
    from versemill.cli.terminal.tables import ago, duration, perplexity, table
    from versemill.cli.terminal.wording import waiting_text

    waits = any(job.state == "queued" for job in found)
    rows = [
        (
            job.id,
            job.name,
            job.state_shown,
            job.corpus,
            job.cell,
            f"{job.epoch}/{job.epochs}",
            perplexity(job.train_perplexity),
            perplexity(job.valid_perplexity),
            duration(job.seconds_left),
            ago(job.created_at),
            *((waiting_text(job),) if waits else ()),
        )
        for job in found
    ]
    header = (*_HEADER, "WAITS") if waits else _HEADER
    return table(header, rows, right="ID EPOCH TRAINING VALIDATION LEFT")
