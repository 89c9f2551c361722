"""From options and a job file to a queued job; the command `submit`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from versemill.cli.installation import Installation
    from versemill.config.job import JobConfig
    from versemill.jobs.views import JobView
    from versemill.plugins.registry import Registry
    from versemill.text.corpus import Text
    from versemill.text.unknown_characters import UnknownCharacter

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True)
class EpochsChange:
    """What `--epochs` says: a total (`80`), or so many more (`+50`)."""

    number: int
    more: bool

    def total(self, planned: int) -> int:
        """The new total for a job that has planned so many."""
        return planned + self.number if self.more else self.number


if TYPE_CHECKING:
    _ParamType = click.ParamType[EpochsChange]
else:
    _ParamType = click.ParamType  # cannot be subscripted in older versions of click


class _Epochs(_ParamType):
    name = "N|+N"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> EpochsChange:
        found = re.fullmatch(r"(\+?)([0-9]{1,9})", str(value))
        if found is None or int(found[2]) == 0:
            self.fail(f"{value!r} is not a whole number of at least 1, or +N.", param, ctx)
        return EpochsChange(int(found[2]), more=bool(found[1]))


EPOCHS = _Epochs()

_OPTIONS = (
    click.option("--corpus", help="A corpus by name, the path of a text, zip or folder, or -."),
    click.option("--cell", help="Recurrent cell: rnn, gru, lstm, or a plugin's."),
    click.option("--sampler", help="Training windows: random, consecutive, or a plugin's."),
    click.option("--recipe", help="Where other values come from: default or classic."),
    click.option("--tokenizer", help="char, or a plugin's."),
    click.option("--name", help="A unique name; made up when not given."),
    click.option("--prefix", "prefixes", multiple=True, help="Write after this text; repeatable."),
    click.option(
        "--track", "trackers", multiple=True, help="Have tensorboard or jsonl follow; repeatable."
    ),
    click.option("--epochs", type=EPOCHS, help="Passes over the text; +N more for a known job."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="SECTION.KEY=VALUE",
        help="Any setting of a job file; repeatable.",
    ),
)
_TOP_LEVEL = ("corpus", "cell", "sampler", "recipe", "tokenizer", "name")


def job_options(command: F) -> F:
    """The options that `run` and `submit` share."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A job that has passed every check.

    Attributes:
        plugins: records of the plugins it needs.
        name: None to have one made up.
        unknown: characters of its prefixes and stop texts that the training text does not have.
    """

    config: JobConfig
    text: Text
    plugins: list[dict[str, Any]]
    name: str | None
    unknown: tuple[UnknownCharacter, ...]


def prepare(here: Installation, file: Path | None, options: Mapping[str, Any]) -> Submission:
    """Puts a job together and checks whatever can be checked before it waits in a queue.

    Args:
        here: the installation.
        file: a job file.
        options: values of `job_options`; they override the file, and `--set` overrides them.

    Raises:
        VersemillError: anything that would keep the job from being trained.
    """
    from versemill.config.prefixes import chosen_prefixes
    from versemill.config.validation import validated
    from versemill.plugins.registry import Registry
    from versemill.plugins.resolution import resolve
    from versemill.text.unknown_characters import unknown_characters
    from versemill.training.feasibility import check

    from_file = {} if file is None else read_job_file(file)
    table = _overridden(from_file, options)
    registry = Registry.discover()
    name = validated(_Named, {"name": table.get("name")}, where="").name
    config = resolve(table, registry)
    from versemill.cli.texts import FROM_STDIN, NamedByFile, find_text
    from versemill.text.reading import STANDARD_INPUT

    named = (
        None if file is None else NamedByFile(file=file, values=_corpus_values(from_file, options))
    )
    place = str(table.get("corpus", config.corpus))
    text = find_text(here, config, registry, named=named, place=place)
    if place == FROM_STDIN:
        config = replace(config, corpus=STANDARD_INPUT)
    parts = check(text, config)
    if "prefixes" not in table:
        config = replace(config, prefixes=chosen_prefixes(config, text, parts))
    known = set(parts.training).__contains__
    return Submission(
        config=config,
        text=text,
        plugins=_plugin_records(config, registry),
        name=name,
        unknown=unknown_characters("".join((*config.prefixes, *config.generation.stop)), known),
    )


def queue(here: Installation, submission: Submission) -> JobView:
    """Submits it; once this returns, the job is safe in the database."""
    from versemill.jobs import service

    if submission.unknown:
        from versemill.cli.installation import note
        from versemill.cli.terminal.wording import unknown_line

        note(
            "characters of its prefixes or stop texts that the training text does not have: "
            f"{unknown_line(submission.unknown)}"
        )
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


def _corpus_values(from_file: Mapping[str, Any], options: Mapping[str, Any]) -> frozenset[str]:
    """The texts that a job file says of its corpus, and that no option has replaced."""
    from versemill.normalisation import spellings

    def said(table: Mapping[str, Any]) -> dict[str, Any]:
        return {"corpus": table.get("corpus")} | dict(table.get("corpus_options", {}))

    replaced = {key for key, value in said(_overridden({}, options)).items() if value is not None}
    values = (value for key, value in said(from_file).items() if key not in replaced)
    # Options are compared once they are in NFC; a path is opened as it is written.
    return frozenset(
        form for value in values if isinstance(value, str) for form in spellings(value)
    )


def _overridden(table: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A job table with what options say in it."""
    from versemill.config.recipes import apply_overrides

    overrides = {key: options[key] for key in _TOP_LEVEL if options[key] is not None}
    if options["prefixes"]:
        overrides["prefixes"] = list(options["prefixes"])
    if options["trackers"]:
        overrides["trackers"] = list(options["trackers"])
    epochs: EpochsChange | None = options["epochs"]
    if epochs is not None:
        if epochs.more:
            raise click.UsageError(
                f"--epochs +{epochs.number} adds to a job that is there already."
            )
        overrides["training.epochs"] = epochs.number
    return apply_overrides(
        apply_overrides(table, overrides), dict(map(setting, options["settings"]))
    )


def setting(assignment: str) -> tuple[str, Any]:
    """Reads one `--set SECTION.KEY=VALUE`: TOML values, bare words as text."""
    from versemill.config.bounded_toml import BoundError, parsed
    from versemill.errors import ConfigError
    from versemill.phrases import shortened

    name, equals, value = assignment.partition("=")
    if not equals or not name.strip():
        raise click.UsageError(f"--set {shortened(assignment)}: write SECTION.KEY=VALUE.")
    try:
        read = parsed(f"value = {value}")
    except BoundError as error:
        raise ConfigError(name.strip(), value, str(error)) from None
    except ValueError:  # not TOML, or a number without measure
        read = {}
    # More than one key means that a line end smuggled in another: then it was no value.
    return name.strip(), read["value"] if read.keys() == {"value"} else value


def read_job_file(file: Path) -> dict[str, Any]:
    """A job file's table; a relative corpus path that exists beside the file means that one.

    Raises:
        VersemillError: it cannot be read, or is not TOML.
    """
    from versemill.config.bounded_toml import BoundError, parsed
    from versemill.errors import VersemillError
    from versemill.phrases import shortened

    try:
        table = parsed(_content(file).decode("utf-8-sig"))
    except OSError as error:
        raise VersemillError(f"job file {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise VersemillError(
            f"job file {file} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset "
            f"{error.start:,}; convert it to UTF-8"
        ) from None
    except BoundError as error:
        raise VersemillError(f"job file {file} is refused: {error}; write it shorter") from None
    except ValueError as error:
        reason = shortened(str(error))
        raise VersemillError(f"job file {file} is not valid TOML: {reason}") from None
    corpus = table.get("corpus")
    if isinstance(corpus, str) and corpus and "\0" not in corpus:
        beside = file.parent / corpus
        if beside.exists() and not Path(corpus).is_absolute():
            table["corpus"] = str(beside)
    return table


def _content(file: Path) -> bytes:
    """The bytes of a job file, one more than allowed at most: a device may never end."""
    from versemill.config.bounded_toml import MOST_BYTES, BoundError

    with file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BoundError(f"it has more than {MOST_BYTES:,} bytes")
    return content


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
    from versemill.cli.terminal.streams import despite_lost_output

    with installation() as here:
        job = queue(here, prepare(here, file, options))
        stored = f"submitted job {job.id} ({job.name})"
        with despite_lost_output(stored):
            if as_json:
                from versemill.cli.terminal.tables import print_json

                print_json(job.to_json())
            else:
                click.echo(stored)
            note_waiting(here, job)
            if follow:
                from versemill.cli.follow import follow_to_end

                ctx.exit(follow_to_end(here, job))
