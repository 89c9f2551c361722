"""`demo`: the whole way once, on a bundled corpus, in about a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from versemill.cli.job_options import job_source
from versemill.cli.terminal.output import say
from versemill.phrases import counted

if TYPE_CHECKING:
    from versemill.cli.installation import Installation
    from versemill.jobs.views import JobDetails, JobView, LyricView
    from versemill.text.corpus import Text

SETTINGS: tuple[str, ...] = ("training.epochs=12", "training.report_every=4", "training.patience=0")
"""What differs from the `default` recipe: short enough for a minute on two cores."""


@click.command()
@click.pass_context
def demo(ctx: click.Context) -> None:
    """Train on bundled lyrics for a minute, and print some.

    A real job, made and kept like any other: it is submitted, trained by a worker of its own, and
    everything about it is in the database afterwards.

    \b
    Example:  versemill demo
    """
    from versemill.cli.commands.run import train_here
    from versemill.cli.installation import installation, note_all
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.jobs import service

    with installation() as here:
        table = job_source(None, _options()).table
        submission = service.prepare(here.store, table, here.sources())
        say(
            f"corpus {submission.config.corpus}: "
            f"{counted(submission.text.characters, 'character')}, "
            f"{counted(len(submission.text.songs), 'song')}, some of them held out"
        )
        with Interrupts() as interrupts:
            queued = service.enqueue(here.store, submission, here.principal, wake=here.wake)
            note_all(queued.notices)
            code = train_here(here, queued.job, interrupts)
        if code == 0:
            details = service.details(here.store, queued.job.id)
            _print_outcome(here, details, submission.text)
            _print_next_steps(details.job)
    ctx.exit(code)


def _options() -> dict[str, Any]:
    unset: dict[str, Any] = dict.fromkeys(
        ("base", "cell", "sampler", "tokenizer", "name", "epochs")
    )
    unset |= dict.fromkeys(("prefixes", "trackers"), ())
    return unset | {"corpus": "starter-zh", "recipe": "default", "settings": SETTINGS}


def _print_outcome(here: Installation, details: JobDetails, text: Text) -> None:
    from versemill.cli.commands.show import held_out_line
    from versemill.jobs import service

    written = service.lyrics(here.store, details.job.id)
    newest = max(lyric.step for lyric in written)
    say("", "final lyrics")
    for lyric in written:
        if lyric.step == newest:
            _print_lyric(lyric, "\n".join(text.songs))
    say("")
    for part, figures in (details.result or {}).get("held_out", {}).items():
        say(held_out_line(part, figures))


def _print_lyric(lyric: LyricView, corpus: str) -> None:
    from versemill.cli.terminal.wording import indented
    from versemill.evaluation.originality import copied_share, distinct

    say("", f"  after {lyric.prefix!r}:")
    say(*indented(lyric.text))
    say(
        f"  distinct-2 {distinct(lyric.text):.2f}, "
        f"copied from the corpus {copied_share(lyric.text, corpus):.0%}"
    )


def next_steps(job: JobView) -> dict[str, str]:
    """Commands to try next, and what each does."""
    return {
        f"versemill generate {job.id} --prefix 春天 --lines 8 --seed 7": "write another text",
        f"versemill curve {job.id}": "how the perplexities developed",
        f"versemill evaluate {job.id}": "measure it on held-out text",
        f"versemill run {job.id} --epochs +10": "train it further",
        "versemill run --corpus PATH --cell lstm": "train on a text of your own",
        "versemill --help": "everything else",
    }


def _print_next_steps(job: JobView) -> None:
    from versemill.cli.terminal.tables import table

    rows = [(f"  {command}", what) for command, what in next_steps(job).items()]
    say("", "try next")
    say(*table(("", ""), rows).splitlines()[1:])
