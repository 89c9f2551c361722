"""`submit`: queues a job for the workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from versemill.cli.device_options import device_needs, device_options
from versemill.cli.job_options import PRIORITIES, job_options, job_source
from versemill.cli.terminal.output import say


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@job_options
@device_options
@click.option(
    "--priority",
    type=PRIORITIES,
    default="normal",
    show_default=True,
    help="How urgent it is; urgent for admins, and for members up to a limit.",
)
@click.option("--follow", is_flag=True, help="Show the progress; Ctrl-C leaves the job alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as a JSON object.")
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    file: Path | None,
    priority: str,
    follow: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Queue a job for the workers.

    It comes from a job file (FILE, in TOML), from options, or both; or with --from from another
    job, whose settings it has but for those given, and whose text unless --corpus names another.

    \b
    Examples:  versemill submit --corpus starter-zh --cell lstm --set training.epochs=50
               versemill submit job.toml --name second-try --follow
               versemill submit --from 3 --set training.learning_rate=0.0003
    """
    from versemill.cli.installation import installation, note_all, note_waiting
    from versemill.cli.terminal.streams import despite_lost_output
    from versemill.jobs import service
    from versemill.jobs.states import Priority

    source, needs = job_source(file, options), device_needs(options)
    with installation() as here:
        queued = service.submit(
            here.store,
            source.table,
            here.principal,
            here.sources(source.named),
            based_on=here.job_id(source.base),
            needs=needs,
            priority=Priority(priority),
            wake=here.wake,
        )
        note_all(queued.notices)
        job = queued.job
        stored = f"submitted job {job.id} ({job.name})"
        with despite_lost_output(stored):
            if as_json:
                from versemill.cli.terminal.tables import print_json

                print_json(job.to_json())
            else:
                say(stored)
            note_waiting(here, job)
            if follow:
                from versemill.cli.follow import follow_to_end

                ctx.exit(follow_to_end(here, job))
