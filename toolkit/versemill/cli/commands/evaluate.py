"""`evaluate`: held-out figures, the measure by which jobs may be compared."""

from __future__ import annotations

import click

from versemill.cli.terminal.output import say

PARTS = ("validation", "test")


@click.command()
@click.argument("job")
@click.option("--at", default="best", show_default=True, help="Weights: best, last, or a step.")
@click.option("--part", type=click.Choice(PARTS), help="Default: test if there is one.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def evaluate(job: str, at: str, part: str | None, as_json: bool) -> None:
    """Measure a job's model on held-out text.

    Every held-out character is scored once, from zero state; the figures are per character,
    whatever the tokenizer.

    \b
    Example:  versemill evaluate @last --part validation
    """
    from versemill.cli.installation import installation
    from versemill.cli.terminal.tables import perplexity, print_json
    from versemill.errors import CorpusError
    from versemill.jobs import service
    from versemill.jobs.service.trained_models import load_job
    from versemill.plugins.registry import Registry
    from versemill.text.splitting import split

    with installation() as here:
        found = here.job(job)
        model = load_job(here.store, found, Registry.discover(), at=at)
        content_hash = service.details(here.store, found.id).content_hash
        text = service.text_by_hash(here.store, content_hash)
    parts = split(text, model.config.text)
    chosen = part or ("test" if parts.test else "validation")
    segments = parts.test if chosen == "test" else parts.validation
    if not segments:
        raise CorpusError(
            f"job {found.id} ({found.name}) has no {chosen} text: corpus_options.holdout = "
            f"{model.config.text.holdout} leaves none; submit it again with some held out"
        )
    figures = model.evaluate(segments, part=chosen)
    if as_json:
        print_json(figures.to_json())
        return
    say(f"job {found.id} ({found.name}), weights of step {model.step:,} ({at}), {chosen}")
    say(f"  perplexity          {perplexity(figures.perplexity)} per character")
    say(f"  bits per character  {figures.bits_per_character:.4f}")
    say(f"  nats per character  {figures.nats_per_character:.4f}")
    say(f"  characters          {figures.characters:,}")
    say(f"  unknown             {figures.unknown_share:.2%}")
