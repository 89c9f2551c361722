"""From options and a job file to a queued job; the command `submit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from versemill.cli.job_options import job_options, job_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from versemill.cli.installation import Installation
    from versemill.config.job import JobConfig
    from versemill.jobs.views import JobView
    from versemill.plugins.registry import Registry
    from versemill.text.corpus import Text


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job that has passed every check.

    Attributes:
        plugins: records of the plugins it needs.
        name: None to have one made up.
    """

    config: JobConfig
    text: Text
    plugins: list[dict[str, Any]]
    name: str | None


def prepare(here: Installation, file: Path | None, options: Mapping[str, Any]) -> Submission:
    """Puts a job together and checks whatever can be checked before it waits in a queue.

    Args:
        here: the installation.
        file: a job file.
        options: values of `job_options`; they override the file, and `--set` overrides them.

    Raises:
        VersemillError: anything that would keep the job from being trained.
    """
    from versemill.config.validation import validated
    from versemill.plugins.registry import Registry
    from versemill.plugins.resolution import resolve
    from versemill.training.feasibility import check

    table = job_table(file, options)
    registry = Registry.discover()
    name = validated(_Named, {"name": table.get("name")}, where="").name
    config = resolve(table, registry)
    from versemill.cli.texts import find_text

    text = find_text(here, config, registry)
    check(text, config)
    return Submission(
        config=config, text=text, plugins=_plugin_records(config, registry), name=name
    )


def queue(here: Installation, submission: Submission) -> JobView:
    """Submits it; once this returns, the job is safe in the database."""
    from versemill.jobs import service

    return service.submit(
        here.store,
        submission.config,
        submission.text,
        submission.plugins,
        owner=here.settings.user,
        name=submission.name,
        wake=here.wake,
    )


@dataclass(frozen=True, kw_only=True)
class _Named:
    name: str | None


def _plugin_records(config: JobConfig, registry: Registry) -> list[dict[str, Any]]:
    """The plugins it names, with the options it was submitted with."""
    from versemill.plugins.registry import Kind, parse_spec

    named: list[tuple[Kind, str, dict[str, Any]]] = [
        ("tokenizer", config.tokenizer, config.tokenizer_options),
        ("sampler", config.sampler, config.sampler_options),
        ("cell", config.cell, config.cell_options),
    ]
    if registry.has("corpus", config.corpus):
        named.insert(0, ("corpus", config.corpus, config.corpus_options))
    for spec in config.generation.decoders:
        registration, options = parse_spec("decoder", spec, registry)
        named.append(("decoder", registration.name, options))
    for spec in config.trackers:
        registration, options = parse_spec("tracker", spec, registry)
        named.append(("tracker", registration.name, options))
    return [registry.find(kind, name).record(options) for kind, name, options in named]


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@job_options
@click.option("--follow", is_flag=True, help="Show the progress; Ctrl-C leaves the job alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the job as a JSON object.")
@click.pass_context
def submit(
    ctx: click.Context,
    /,
    file: Path | None,
    follow: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Queue a job for the workers.

    It comes from a job file (FILE, in TOML), from options, or both.

    \b
    Examples:  versemill submit --corpus starter-zh --cell lstm --set training.epochs=50
               versemill submit job.toml --name second-try --follow
    """
    from versemill.cli.installation import installation, note_waiting

    with installation() as here:
        job = queue(here, prepare(here, file, options))
        if as_json:
            from versemill.cli.terminal.tables import print_json

            print_json(job.to_json())
        else:
            click.echo(f"submitted job {job.id} ({job.name})")
        note_waiting(here, job)
        if follow:
            from versemill.cli.follow import follow_to_end

            ctx.exit(follow_to_end(here, job))
