"""`verify-resume`: proves on this very machine that a killed job ends as if nothing had been."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.job_options import job_options, job_source
from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.cli.terminal.screen import Screen
    from versemill.testing.resume_proof.progress import Progress


@click.command("verify-resume")
@click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[JOB.toml]")
@job_options
@click.option(
    "--kills", type=click.IntRange(1), default=3, show_default=True, help="How often to kill."
)
def verify_resume(file: Path | None, kills: int, **options: Any) -> None:
    """Prove that a killed job ends as if nothing had happened.

    Trains the job twice in a throw-away installation; your own jobs and database stay as they
    are. First undisturbed, then with SIGKILLs at random steps, each after another checkpoint. Of
    three kills or more the last takes the whole worker, the others the trainer. Then checkpoints,
    curve, lyrics and result must be the same, bit for bit.

    Takes twice as long as the job, a few seconds for each kill, and about 40 s for the worker's
    lease. Exit code 0 only if nothing differs.

    \b
    Examples:  versemill verify-resume job.toml
               versemill verify-resume --cell lstm --epochs 4 --kills 2
    """
    from versemill.cli.installation import installation, note_all
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.cli.terminal.screen import screen
    from versemill.jobs import service
    from versemill.testing.resume_proof.proof import prove

    with installation() as here:
        settings = here.settings
        source = job_source(file, options)
        submission = service.prepare(
            here.store,
            source.table,
            here.sources(source.named),
            based_on=here.job_id(source.base),
        )
    note_all(submission.notices)
    with (
        Interrupts() as interrupts,
        closing(prove(settings, submission, kills=kills)) as progress,
        screen() as shown,
    ):
        for event in progress:
            _show(event, shown)
            if interrupts.count:
                raise click.Abort


def _show(progress: Progress, shown: Screen) -> None:
    from versemill.cli.terminal.wording import status_line
    from versemill.testing.resume_proof.progress import Training

    if isinstance(progress, Training):
        shown.status(f"{progress.run}: {status_line(progress.job)}")
    else:
        shown.line(_line(progress))


def _line(progress: Progress) -> str:
    from versemill.cli.terminal.tables import duration
    from versemill.testing.resume_proof import progress as events

    match progress:
        case events.UndisturbedDone(seconds=seconds, steps=steps):
            line = f"undisturbed: {duration(seconds)} to step {steps:,}"
        case events.KillsBegin(checkpoint_seconds=every):
            line = f"once more, to be killed: a checkpoint every {every} s"
        case events.Killed(number=number, total=total, step=step, process=process):
            lease = ", whose lease has to run out" if process == "worker" else ""
            line = f"kill {number} of {total}: at step {step:,}, the {process}{lease}"
        case events.Resumed(step=step, repeated=repeated):
            line = f"  resumed from step {step:,}; {counted(repeated, 'step')} repeated"
        case events.Restarted(worker=restarted):
            line = f"  {restarted}"
        case events.FewerKills(survived=survived):
            line = f"the job is too short for more than {counted(survived, 'kill')}"
        case events.Proved():
            line = (
                f"the same bit for bit after {counted(progress.survived, 'kill')}: "
                f"{counted(progress.tensors, 'tensor')} of "
                f"{counted(len(progress.checkpoints), 'checkpoint')} "
                f"({'; '.join(progress.checkpoints)}), {counted(progress.reports, 'report')}, "
                f"{counted(progress.lyrics, 'lyric')}, and the result"
            )
        case events.Training():
            line = ""
    return line
