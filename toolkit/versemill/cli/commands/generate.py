"""`generate`: writes anew with a job's model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from versemill.cli.terminal.output import say_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from versemill.generation.model import TrainedModel


@click.command()
@click.argument("job")
@click.option("--at", default="best", show_default=True, help="Weights: best, last, or a step.")
@click.option("--prefix", "prefixes", multiple=True, help="Go on from this text; repeatable.")
@click.option("--length", type=int, help="At most so many tokens (characters) after the prefix.")
@click.option(
    "--lines",
    type=int,
    help="End the text with so many lines, the prefix's counted; 0 for no limit.",
)
@click.option(
    "--stop",
    multiple=True,
    help="End the text before this is written; repeatable; '' for none of the job's.",
)
@click.option("--seed", type=int, help="The same seed writes the same text.")
@click.option("--count", type=click.IntRange(1, 1000), default=1, help="So many different texts.")
@click.option(
    "--decoder", "decoders", multiple=True, help="The whole chain, stage by stage; repeatable."
)
@click.option("--temperature", type=float, help="Below 1 sharpens, above 1 flattens; 0: greedy.")
@click.option("--top-k", type=int, help="Draw from so many most likely tokens.")
@click.option("--top-p", type=float, help="Draw from the fewest that reach this probability.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of objects.")
def generate(
    job: str, at: str, prefixes: tuple[str, ...], count: int, as_json: bool, **given: Any
) -> None:
    """Write lyrics with a job's model.

    JOB may also be an exported model (FILE.safetensors). What is not given comes from the job;
    without --prefix, each of its prefixes is taken.

    --temperature, --top-k and --top-p go into the job's chain of decoders, or into the one that
    --decoder gives: each replaces the stage of its name or joins it, and greedy goes.

    \b
    Examples:  versemill generate @last --prefix 分开 --length 100 --seed 7
               versemill generate my-job --temperature 0.7 --top-k 20 --count 3
               versemill generate my-job --temperature 0 --stop 。 --stop ！
    """
    from dataclasses import asdict

    from versemill.normalisation import prepared

    model = _model(job, at)
    wanted = prefixes or model.config.prefixes or ("",)
    asked = [prepared(prefix, "prefix") for prefix in wanted]
    chosen = model.options(**_options(**given))  # a wrong one is refused before anything is said
    _note_unknown(model, asked, chosen.stop)
    options = asdict(chosen)
    if as_json:
        _generate_json(model, asked, count, options)
    elif count == 1:
        for prefix in asked:
            _stream(model, prefix, options)
    else:
        for prefix in asked:
            for text in model.generate_batch(prefix, count, **options):
                say_text(text, end="\n\n")


def _model(job: str, at: str) -> TrainedModel:
    from versemill.jobs.service.trained_models import load

    return load(job, at=at)


def _note_unknown(model: TrainedModel, prefixes: Sequence[str], stop: Sequence[str]) -> None:
    """Names the characters by which the model cannot go, in one line on stderr."""
    from versemill.cli.installation import note
    from versemill.text.unknown_characters import described

    if unknown := model.unknown_in("".join((*prefixes, *stop))):
        where = "prefixes and stop texts" if stop else "prefixes"
        note(f"characters of the {where} that the model does not know: {described(unknown)}")


def _options(
    *,
    stop: tuple[str, ...],
    decoders: tuple[str, ...],
    temperature: float | None,
    top_k: int | None,
    top_p: float | None,
    **given: int | None,
) -> dict[str, Any]:
    """What `TrainedModel.options` takes; stages in the order in which they join a chain."""
    short = {"temperature": temperature, "top-k": top_k, "top-p": top_p}
    return {
        **given,
        "stop": [text for text in stop if text] if stop else None,
        "decoders": decoders or None,
        "stages": [f"{name}={value}" for name, value in short.items() if value is not None],
    }


def _stream(model: TrainedModel, prefix: str, options: dict[str, Any]) -> None:
    """Prints each character as it is drawn; line ends at the very end are left out."""
    from itertools import chain

    pieces = model.stream(prefix, **options)
    first = next(
        pieces, ""
    )  # a decoder that cannot be built is reported before anything is printed
    for piece in _without_last_newlines(chain((prefix, first), pieces)):
        say_text(piece, end="")
    say_text("\n")


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

    print_json(
        [
            {
                "step": model.step,
                "prefix": prefix,
                "text": text,
                "seed": options["seed"],
                "number": number,
                "decoder": ",".join(options["decoders"]),
            }
            for prefix in prefixes
            for number, text in enumerate(model.generate_batch(prefix, count, **options), 1)
        ]
    )
