"""`jobs`: what there is, newest first, an array as one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from versemill.cli.terminal.output import say, say_text
from versemill.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from versemill.jobs.views import ArrayView, JobView

_SHOWN = 50
STATES = ("queued", "running", "paused", "succeeded", "failed", "cancelled")
_HEADER = (
    "ID", "NAME", "STATE", "CORPUS", "CELL", "EPOCH", "TRAINING", "VALIDATION", "LEFT", "CREATED"
)  # fmt: skip
_MEMBERS = ("ID", "NAME", "STATE", "EPOCH", "TRAINING", "VALIDATION", "LEFT", "SETTINGS")


@click.command()
@click.option("--limit", type=click.IntRange(1, 2**31), help="At most; 50 without --json.")
@click.option("--all", "everything", is_flag=True, help="However many there are.")
@click.option("--state", "states", type=click.Choice(STATES), multiple=True, help="Only these.")
@click.option("--mine", is_flag=True, help="Only those that you submitted.")
@click.option("--array", metavar="NAME", help="Only the jobs of this array.")
@click.option("--unfold", is_flag=True, help="Each job of an array on a line of its own.")
@click.option("--sort", type=click.Choice(("newest", "loss")), help="Newest first, or best first.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects, nothing folded.")
def jobs(
    limit: int | None,
    everything: bool,
    states: tuple[str, ...],
    mine: bool,
    array: str | None,
    unfold: bool,
    sort: str | None,
    as_json: bool,
) -> None:
    """List jobs, newest first; an array is one line.

    TRAINING is perplexity on the training text, which alone only shows memorising; VALIDATION is
    on text held out (of an array: the best of its jobs). Both are per character. WAITS tells the
    place of a waiting job in the queue, why it waits, and from when to when it is expected to
    start.

    \b
    Examples:  versemill jobs --state running --state queued
               versemill jobs --array lr --sort loss
    """
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs.states import State
    from versemill.settings import Settings

    settings = Settings.from_environment()
    wanted: dict[str, Any] = {
        "limit": None if everything else limit or (None if as_json or array else _SHOWN),
        "states": [State(state) for state in states] or None,
        "owner": settings.user if mine else None,
    }
    if array is None and not (unfold or as_json or sort == "loss"):
        lines = _folded(settings.database_url, wanted)
    else:
        wanted |= {"array": array, "best_first": sort == "loss"}
        found = _found(settings.database_url, wanted)
        if as_json:
            print_json([job.to_json() for job in found])
            return
        lines = list(found)
    if lines:
        say_text(_members(found) if array is not None else _table(lines))
    elif states or mine or array:
        say("no such jobs; `versemill jobs` lists them all", err=True)
    else:
        say("no jobs yet; try `versemill demo`", err=True)


def _folded(database_url: str, wanted: dict[str, Any]) -> Sequence[JobView | ArrayView]:
    from versemill.jobs.storage import job_listing
    from versemill.jobs.waiting.queue_listing import with_outlook

    found = job_listing.folded(database_url, **wanted, outlook=with_outlook)
    if found is None:
        from versemill.cli.installation import installation
        from versemill.jobs import service

        with installation() as here:
            found = service.folded(here.store, **wanted)
    return found


def _found(database_url: str, wanted: dict[str, Any]) -> list[JobView]:
    """Raises `UnknownNameError` where there is no such array."""
    from versemill.jobs.storage import job_listing
    from versemill.jobs.waiting.queue_listing import with_outlook

    found = job_listing.jobs(database_url, **wanted, outlook=with_outlook)
    if found is None or (not found and wanted["array"]):
        from versemill.cli.installation import installation
        from versemill.jobs import service

        with installation() as here:
            found = service.jobs(here.store, **wanted)
            array = wanted["array"]
            if not found and array and service.array_named(here.store, array) is None:
                raise UnknownNameError("array", array, service.recent_arrays(here.store))
    return found


def _table(found: Sequence[JobView | ArrayView]) -> str:
    from versemill.cli.terminal.tables import table
    from versemill.jobs.views import ArrayView, JobView

    rows = [_array(line) if isinstance(line, ArrayView) else _job(line) for line in found]
    header: tuple[str, ...] = (*_HEADER, "WAITS")
    if not any(isinstance(line, JobView) and line.state == "queued" for line in found):
        header, rows = _HEADER, [row[:-1] for row in rows]
    return table(header, rows, right="ID EPOCH TRAINING VALIDATION LEFT")


def _job(job: JobView) -> tuple[object, ...]:
    from versemill.cli.terminal.tables import ago, duration, perplexity
    from versemill.cli.terminal.wording import waiting_text

    return (
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
        waiting_text(job),
    )


def _array(array: ArrayView) -> tuple[object, ...]:
    from versemill.cli.terminal.tables import ago, perplexity
    from versemill.jobs.states import State
    from versemill.phrases import counted

    ids = sorted({array.first_id, array.last_id})
    counts = [f"{array.counts[state]:,} {state}" for state in State if state in array.counts]
    return (
        "–".join(map(str, ids)),
        f"{array.name} ({counted(array.jobs, 'job')})",
        ", ".join(counts),
        array.corpus or "several",
        array.cell or "several",
        None,
        None,
        perplexity(array.valid_perplexity),
        None,
        ago(array.created_at),
        None,
    )


def _members(found: list[JobView]) -> str:
    """Members of an array, with the settings in which they differ."""
    from versemill.cli.terminal.tables import duration, perplexity, table
    from versemill.cli.terminal.wording import settings_line

    rows = [
        (
            job.id,
            job.name,
            job.state_shown,
            f"{job.epoch}/{job.epochs}",
            perplexity(job.train_perplexity),
            perplexity(job.valid_perplexity),
            duration(job.seconds_left),
            settings_line(job.array_values or {}),
        )
        for job in found
    ]
    return table(_MEMBERS, rows, right="ID EPOCH TRAINING VALIDATION LEFT")
