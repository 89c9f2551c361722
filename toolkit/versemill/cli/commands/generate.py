"""`lyrics` shows what was written while training; `generate` writes anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from versemill.cli.installation import Installation
    from versemill.generation.model import TrainedModel
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
            click.echo("\n".join(lyric_lines(lyric)))


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


@click.command()
@click.argument("job")
@click.option("--at", default="best", show_default=True, help="Weights: best, last, or a step.")
@click.option("--prefix", "prefixes", multiple=True, help="Go on from this text; repeatable.")
@click.option("--length", type=int, help="At most so many characters after the prefix.")
@click.option("--lines", type=int, help="Stop after so many lines; 0 for no limit.")
@click.option("--seed", type=int, help="The same seed writes the same text.")
@click.option("--count", type=click.IntRange(1, 1000), default=1, help="So many different texts.")
@click.option("--decoder", "decoders", multiple=True, help="Stage such as top-k=40; repeatable.")
@click.option("--temperature", type=float, help="Short for --decoder temperature=T.")
@click.option("--top-k", type=int, help="Short for --decoder top-k=K.")
@click.option("--top-p", type=float, help="Short for --decoder top-p=P.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def generate(
    job: str,
    at: str,
    prefixes: tuple[str, ...],
    length: int | None,
    lines: int | None,
    seed: int | None,
    count: int,
    as_json: bool,
    **chain: Any,
) -> None:
    """Write lyrics with a job's model.

    JOB may also be an exported model (FILE.safetensors). What is not given comes from the job;
    without --prefix, each of its prefixes is taken.

    \b
    Examples:  versemill generate @last --prefix 分开 --length 100 --seed 7
               versemill generate my-job --temperature 0.7 --top-k 20 --count 3
    """
    from versemill.cli.terminal.tables import harmless
    from versemill.normalisation import prepared

    model = _model(job, at)
    options = {
        "length": length,
        "lines": lines,
        "seed": seed,
        "decoders": _chain(**chain) or None,
    }
    given = prefixes or model.config.prefixes or ("",)
    asked = [prepared(prefix, "prefix") for prefix in given]
    if as_json:
        _generate_json(model, asked, count, options)
    elif count == 1:
        for prefix in asked:
            _stream(model, prefix, options)
    else:
        for prefix in asked:
            for text in model.generate_batch(prefix, count, **options):
                click.echo(harmless(text) + "\n")


def _model(job: str, at: str) -> TrainedModel:
    from versemill.jobs.service.trained_models import load

    return load(job, at=at)


def _chain(
    decoders: tuple[str, ...], temperature: float | None, top_k: int | None, top_p: float | None
) -> list[str]:
    short = {"temperature": temperature, "top-k": top_k, "top-p": top_p}
    return [*decoders, *(f"{name}={value}" for name, value in short.items() if value is not None)]


def _stream(model: TrainedModel, prefix: str, options: dict[str, Any]) -> None:
    """Prints each character as it is drawn; line ends at the very end are left out."""
    from versemill.cli.terminal.tables import harmless

    pieces = model.stream(prefix, **options)
    first = next(pieces, "")  # a wrong option is refused before anything is printed
    click.echo(harmless(prefix), nl=False)
    for piece in _without_last_newlines(_chained(first, pieces)):
        click.echo(harmless(piece), nl=False)
    click.echo("\n")


def _chained(first: str, rest: Iterable[str]) -> Iterable[str]:
    yield first
    yield from rest


def _without_last_newlines(pieces: Iterable[str]) -> Iterable[str]:
    held = ""
    for piece in pieces:
        text = held + piece
        kept = text.rstrip("\n")
        held = text[len(kept) :]
        if kept:
            yield kept


def _generate_json(
    model: TrainedModel, prefixes: Iterable[str], count: int, options: dict[str, Any]
) -> None:
    from versemill.cli.terminal.tables import print_json

    chosen = model.config.generation
    seed = chosen.seed if options["seed"] is None else options["seed"]
    decoder = ",".join(options["decoders"] or chosen.decoders)
    print_json(
        [
            {
                "step": model.step,
                "prefix": prefix,
                "text": text,
                "seed": seed,
                "number": number,
                "decoder": decoder,
            }
            for prefix in prefixes
            for number, text in enumerate(model.generate_batch(prefix, count, **options), 1)
        ]
    )
