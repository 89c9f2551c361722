"""`checkpoints`: what is kept of a job, and how to take it away."""

from __future__ import annotations

from pathlib import Path

import click

from versemill.cli.terminal.output import say_text


@click.group()
def checkpoints() -> None:
    """List and export checkpoints."""


@checkpoints.command("list")
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def list_(job: str, as_json: bool) -> None:
    """List the checkpoints a job has: the last, the best, the final one.

    \b
    Example:  versemill checkpoints list @last
    """
    from versemill.cli.installation import installation, note
    from versemill.cli.terminal.tables import ago, print_json, size, table
    from versemill.jobs import service

    with installation() as here:
        found = here.job(job)
        kept = service.details(here.store, found.id).checkpoints
    if as_json:
        print_json([view.to_json() for view in kept])
        return
    if not kept:
        note(f"job {found.id} ({found.name}) is {found.state_shown} and has no checkpoint yet")
        return
    rows = [(v.step, v.epoch, ", ".join(v.kinds), size(v.size), ago(v.created_at)) for v in kept]
    say_text(table(("STEP", "EPOCH", "KIND", "SIZE", "MADE"), rows, right="STEP EPOCH SIZE"))


@checkpoints.command()
@click.argument("job")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--at", default="best", show_default=True, help="Which: best, last, or a step.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def export(job: str, file: Path, at: str, force: bool) -> None:
    """Write a checkpoint to FILE, for `versemill generate FILE` or `versemill.load(FILE)`.

    \b
    Example:  versemill checkpoints export my-job my-job.safetensors
    """
    from versemill.cli.installation import installation, note
    from versemill.errors import CheckpointError
    from versemill.files import replacing
    from versemill.jobs import service
    from versemill.jobs.service.trained_models import SUFFIX, choose_checkpoint, save_checkpoint

    if file.suffix != SUFFIX:
        raise click.UsageError(f"FILE must end in {SUFFIX}, got {str(file)!r}.")
    with installation() as here:
        found = here.job(job)
        chosen = choose_checkpoint(found, service.details(here.store, found.id).checkpoints, at)
        if file.exists() and not force:
            raise CheckpointError(f"{file} is there already; --force replaces it")
        with replacing(file) as written:
            save_checkpoint(here.store, chosen, written)
    note(f"wrote {file}: job {found.id} ({found.name}), step {chosen.step:,}")
