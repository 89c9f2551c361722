"""`reserve`: keeps a worker or a GPU for somebody over a period."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from versemill.cli.terminal.output import say


@click.command()
@click.argument("target")
@click.option("--for", "owner", metavar="OWNER", help="Whose jobs may start there.")
@click.option("--label", help="Or: what jobs that may start there ask for.")
@click.option("--from", "start", metavar="TIME", default="+0s", help="22:00, a date and time, +2h.")
@click.option("--until", "end", metavar="TIME", required=True, help="As --from; after the start.")
def reserve(target: str, owner: str | None, label: str | None, start: str, end: str) -> None:
    """Keep a worker or a GPU for an owner or a label. For admins.

    TARGET is the name of a worker, or the UUID of a GPU. Jobs of others that run there when it
    begins make a checkpoint, and wait for another place.

    \b
    Examples:  versemill reserve gpu-1 --for bo --from 22:00 --until 2027-01-31T08:00
               versemill reserve attic --label course --until +2h
    """
    from versemill.cli.installation import installation, note_all
    from versemill.cli.times import seconds_until
    from versemill.jobs import service

    if (owner is None) == (label is None):
        raise click.UsageError("Give either --for OWNER or --label LABEL.")
    now = datetime.now().astimezone()
    starts_in = 0.0 if start == "+0s" else seconds_until(start, now, "--from")
    if "-" in end:  # a date
        ends_in = seconds_until(end, now, "--until")
    else:
        ends_in = starts_in + seconds_until(end, now + timedelta(seconds=starts_in), "--until")
    if ends_in <= starts_in:
        raise click.UsageError(f"--until {end} is not after --from {start}.")
    with installation() as here:
        made, notices = service.reserve(
            here.store,
            target,
            here.principal,
            starts_in=starts_in,
            ends_in=ends_in,
            owner=owner,
            label=label,
        )
        note_all(notices)
    say(str(made))
