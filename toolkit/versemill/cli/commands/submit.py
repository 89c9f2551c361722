"""`submit`: queues a job, or an array of jobs, for the workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.array_options import varied
from versemill.cli.device_options import device_needs, device_options
from versemill.cli.job_options import PRIORITIES, job_options, job_source
from versemill.cli.terminal.output import say
from versemill.cli.timing_options import timing, timing_options

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.cli.job_options import JobSource
    from versemill.jobs.service import SubmitOptions, Varied


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@job_options
@device_options
@click.option(
    "--array",
    "arrays",
    multiple=True,
    metavar="SECTION.KEY=V1,V2",
    help="A job for each value, or for 1..5; repeatable: each combination.",
)
@timing_options
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
    arrays: tuple[str, ...],
    priority: str,
    follow: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Queue a job for the workers.

    It comes from a job file (FILE, in TOML), from options, or both; or with --from from another
    job, whose settings it has but for those given, and whose text unless --corpus names another.
    With --array it is as many jobs as there are combinations of the values.

    \b
    Examples:  versemill submit --corpus starter-zh --cell lstm --set training.epochs=50
               versemill submit job.toml --name second-try --follow
               versemill submit --from 3 --set training.learning_rate=0.0003
               versemill submit --name lr --array training.learning_rate=1e-3,3e-3
               versemill submit --after lr:any --begin 22:00 --time-limit 2h
    """
    from versemill.cli.installation import installation
    from versemill.jobs.states import Priority

    source, values = job_source(file, options), [*map(varied, arrays)]
    choices: SubmitOptions = {
        "needs": device_needs(options),
        "priority": Priority(priority),
        "timing": timing(options),
    }
    if values and follow:
        raise click.UsageError(
            "--follow shows one job, --array makes several; see `versemill wait`."
        )
    with installation() as here:
        if values:
            _submit_array(here, source, choices, values, as_json=as_json)
            return
        code = _submit_one(here, source, choices, follow=follow, as_json=as_json)
    ctx.exit(code)


def _submit_one(
    here: Installation, source: JobSource, choices: SubmitOptions, *, follow: bool, as_json: bool
) -> int:
    """Queues one job, and returns the exit code."""
    from versemill.cli.installation import note_all, note_waiting
    from versemill.cli.terminal.streams import despite_lost_output
    from versemill.jobs import service

    queued = service.submit(
        here.store,
        source.table,
        here.principal,
        here.sources(source.named),
        based_on=here.job_id(source.base),
        wake=here.wake,
        **choices,
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

            return follow_to_end(here, job)
    return 0


def _submit_array(
    here: Installation,
    source: JobSource,
    choices: SubmitOptions,
    values: list[Varied],
    *,
    as_json: bool,
) -> None:
    from versemill.cli.installation import note_all, note_waiting
    from versemill.cli.terminal.streams import despite_lost_output
    from versemill.jobs import service
    from versemill.phrases import counted

    queued = service.submit_array(
        here.store,
        source.table,
        values,
        here.principal,
        here.sources(source.named),
        based_on=here.job_id(source.base),
        wake=here.wake,
        **choices,
    )
    note_all(queued.notices)
    first, last = queued.jobs[0], queued.jobs[-1]
    ids = f"job {first.id}" if first is last else f"jobs {first.id} to {last.id}"
    stored = f"submitted array {queued.name}: {counted(len(queued.jobs), 'job')} ({ids})"
    with despite_lost_output(stored):
        if as_json:
            from versemill.cli.terminal.tables import print_json

            print_json([job.to_json() for job in queued.jobs])
        else:
            say(stored)
        note_waiting(here, first)
