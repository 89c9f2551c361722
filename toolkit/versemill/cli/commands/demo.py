"""`demo`: the whole way once, on a bundled corpus, in about a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

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
    from versemill.cli.commands.submit import prepare, queue
    from versemill.cli.installation import installation
    from versemill.cli.terminal.interrupts import Interrupts
    from versemill.jobs import service

    with installation() as here:
        submission = prepare(here, None, _options())
        click.echo(
            f"corpus {submission.config.corpus}: "
            f"{counted(submission.text.characters, 'character')}, "
            f"{counted(len(submission.text.songs), 'song')}, some of them held out"
        )
        with Interrupts() as interrupts:
            job = queue(here, submission)
            code = train_here(here, job, interrupts)
        if code == 0:
            details = service.details(here.store, job.id)
            _print_outcome(here, details, submission.text)
            _print_next_steps(details.job)
    ctx.exit(code)


def _options() -> dict[str, Any]:
    unset: dict[str, Any] = dict.fromkeys(("cell", "sampler", "tokenizer", "name", "epochs"))
    unset |= dict.fromkeys(("prefixes", "trackers"), ())
    return unset | {"corpus": "starter-zh", "recipe": "default", "settings": SETTINGS}


def _print_outcome(here: Installation, details: JobDetails, text: Text) -> None:
    from versemill.cli.commands.show import held_out_line
    from versemill.jobs import service

    written = service.lyrics(here.store, details.job.id)
    newest = max(lyric.step for lyric in written)
    click.echo("\nfinal lyrics")
    for lyric in written:
        if lyric.step == newest:
            _print_lyric(lyric, "\n".join(text.songs))
    click.echo()
    for part, figures in (details.result or {}).get("held_out", {}).items():
        click.echo(held_out_line(part, figures))


def _print_lyric(lyric: LyricView, corpus: str) -> None:
    from versemill.cli.terminal.wording import indented
    from versemill.evaluation.originality import copied_share, distinct

    click.echo(f"\n  after {lyric.prefix!r}:")
    click.echo("\n".join(indented(lyric.text)))
    click.echo(
        f"  distinct-2 {distinct(lyric.text):.2f}, "
        f"copied from the corpus {copied_share(lyric.text, corpus):.0%}"
    )


def _print_next_steps(job: JobView) -> None:
    steps = {
        f"versemill generate {job.id} --prefix 春天 --lines 8 --seed 7": "write anew",
        f"versemill curve {job.id}": "how the perplexities developed",
        f"versemill evaluate {job.id}": "measure it on held-out text",
        f"versemill run {job.id} --epochs +10": "train it further",
        "versemill run --corpus PATH --cell lstm": "train on a text of your own",
        "versemill --help": "everything else",
    }
    from versemill.cli.terminal.tables import table

    rows = [(f"  {command}", what) for command, what in steps.items()]
    click.echo("\ntry next")
    click.echo("\n".join(table(("", ""), rows).splitlines()[1:]))
