"""`lyrics`: what a job wrote while it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from versemill.cli.terminal.output import say

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.views import JobView


@click.command()
@click.argument("job")
@click.option(
    "--step", type=click.IntRange(0, 2**31), help="Those of one step; default: the last report."
)
@click.option("--all", "everything", is_flag=True, help="Those of every report.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects, every report.")
def lyrics(job: str, step: int | None, everything: bool, as_json: bool) -> None:
    """Print the lyrics that a job wrote while it was trained.

    \b
    Example:  versemill lyrics @last
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import print_json
    from versemill.jobs import service

    with installation() as here:
        found = here.job(job)
        written = service.lyrics(here.store, found.id, step=step)
        if not written:
            raise _none_yet(here, found, step)
    if as_json:
        print_json([lyric.to_json() for lyric in written])
        return
    from versemill.cli.terminal.wording import lyric_lines

    newest = max(lyric.step for lyric in written)
    for lyric in written:
        if everything or lyric.step == newest:
            say(*lyric_lines(lyric))


def _none_yet(here: Installation, job: JobView, step: int | None) -> Exception:
    from versemill.errors import VersemillError
    from versemill.jobs import service

    name = f"job {job.id} ({job.name})"
    steps = sorted({lyric.step for lyric in service.lyrics(here.store, job.id)})
    if steps and step is not None:
        listed = ", ".join(map(str, steps))
        return VersemillError(f"{name} wrote no lyrics at step {step}; it did at {listed}")
    if job.state.ended:
        return VersemillError(f"{name} has {job.state} before its first lyrics")
    every = service.details(here.store, job.id).config["training"]["report_every"]
    due = min(job.epochs, (max(job.epoch - 1, 0) // every + 1) * every)
    return VersemillError(
        f"{name} is {job.state_shown} in epoch {job.epoch} and has written no lyrics yet; "
        f"the first come with epoch {due}"
    )
