"""The options and the file that describe a job: what `run`, `submit` and `verify-resume` share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from versemill.jobs.service import NamedByFile

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True)
class EpochsChange:
    """What `--epochs` says: a total (`80`), or so many more (`+50`)."""

    number: int
    more: bool


def changed_epochs(change: EpochsChange | None) -> dict[str, int]:
    """The change as the service's functions take it."""
    if change is None:
        return {}
    return {"more_epochs" if change.more else "epochs": change.number}


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
PRIORITIES = click.Choice(["low", "normal", "high", "urgent"])

_OPTIONS = (
    click.option(
        "--from", "base", metavar="JOB", help="Take the settings and text of this job; see --set."
    ),
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
class JobSource:
    """A job as a file and options describe it.

    Attributes:
        table: the job table.
        named: what of its corpus the file says, and no option.
        base: the job whose settings it takes, as somebody named it.
    """

    table: dict[str, Any]
    named: NamedByFile | None
    base: str | None


def job_source(file: Path | None, options: Mapping[str, Any]) -> JobSource:
    """The job that a file and options describe together.

    Args:
        file: a job file.
        options: values of `job_options`; they override the file, and `--set` overrides them.

    Raises:
        VersemillError: the file cannot be read, or is not TOML.
        UsageError: options that say nothing.
    """
    from versemill.jobs.service import NamedByFile

    base = options["base"]
    if base is not None and (file is not None or options["recipe"] is not None):
        other = "--recipe" if file is None else "a job file"
        raise click.UsageError(f"--from and {other} exclude each other.")
    from_file = {} if file is None else read_job_file(file)
    named = None
    if file is not None:
        named = NamedByFile(file=file, values=_corpus_values(from_file, options))
    return JobSource(table=_overridden(from_file, options), named=named, base=base)


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
    if isinstance(corpus, str) and corpus and "\0" not in corpus and "text" not in table:
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
