"""How a command ends: the one place that turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

import click

from versemill.cli.exit_codes import FAILED, INTERRUPTED, USAGE
from versemill.cli.terminal.output import say
from versemill.cli.terminal.streams import OutputError
from versemill.errors import VersemillError
from versemill.phrases import shown

if TYPE_CHECKING:
    from collections.abc import Sequence


def perform(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code; errors are printed in one line on stderr."""
    from versemill.cli.program import program

    for stream in (sys.stdout, sys.stderr):
        _replace_unencodable(stream)
    try:
        _refuse_unreadable(arguments)
        code = program.main(list(arguments), prog_name="versemill", standalone_mode=False)
        sys.stdout.flush()
    except (click.ClickException, VersemillError) as error:
        return _print_error(error)
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        return _print_system_error(error)
    except SystemExit as end:  # click's own way when a pipe breaks
        return end.code if isinstance(end.code, int) else FAILED
    except Exception as error:  # noqa: BLE001 - raised again unless a plugin raised it
        code = _report_plugin(error)
    return code if isinstance(code, int) else 0


def _refuse_unreadable(arguments: Sequence[str]) -> None:
    """Raises `VersemillError` for bytes that are no text, which nothing could look up or store."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise VersemillError(
                f"the argument {shown(argument)} is not valid UTF-8; write it in UTF-8, and rename "
                "a file of such a name"
            ) from None


def _print_error(error: click.ClickException | VersemillError) -> int:
    """Tells it in one line and returns the exit code."""
    if isinstance(error, click.UsageError):
        message = _with_help_hint(error)
    elif isinstance(error, click.ClickException):
        message = error.format_message()
    else:
        from versemill.cli.terminal.advice import with_advice

        message = with_advice(error)
    message = " ".join(message.split())
    say(f"versemill: {message}", err=True)
    return USAGE if isinstance(error, click.UsageError) else FAILED


def _print_system_error(error: OSError) -> int:
    """Tells of an output that failed, or of a file that somebody named; raises what is neither."""
    if isinstance(error, BrokenPipeError):
        return _discard_output()
    if isinstance(error, OutputError):
        lost = f"; not written: {error.lost}" if error.lost else ""
        return _print_error(VersemillError(f"{error}{lost}"))
    if error.filename is None:
        raise error
    return _print_error(VersemillError(f"{error.filename}: {error.strerror}"))


def _report_plugin(error: Exception) -> int:
    """Prints in one line which plugin an error came from; one of our own is a defect of ours."""
    from versemill.errors import PluginError
    from versemill.plugins.attribution import culprit
    from versemill.plugins.registry import Registry, in_short

    plugin = culprit(error, Registry.discover())
    if plugin is None or plugin.distribution == "versemill":
        raise error
    return _print_error(PluginError(f"{plugin.label} raised {in_short(error)}"))


def _with_help_hint(error: click.UsageError) -> str:
    """The message with the command that prints the help."""
    path = error.ctx.command_path if error.ctx else "versemill"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}{'' if message.endswith('?') else ';'} see `{path} --help`"


def _replace_unencodable(stream: TextIO) -> None:
    """Lyrics may hold what the terminal's encoding lacks; a `?` is better than an error."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")


def _discard_output() -> int:
    """`versemill jobs | head`: quiet, also when the interpreter flushes once more."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    return FAILED
